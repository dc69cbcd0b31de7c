//! The rules: what a transaction adds, and which quarter hours are a day. Pure.

pub mod days;
pub mod figures;
