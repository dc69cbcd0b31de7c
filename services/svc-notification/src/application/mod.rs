//! Use cases, a file each.

pub mod deliver;
pub mod read;
