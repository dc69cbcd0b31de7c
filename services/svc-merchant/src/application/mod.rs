//! Use cases, a file each.

pub mod apply_merchant;
pub mod change_state;
pub mod publish_program;
pub mod submit_purchase;
