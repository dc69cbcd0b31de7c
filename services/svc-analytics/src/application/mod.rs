//! Use cases, a file each.

pub mod daily_figures;
