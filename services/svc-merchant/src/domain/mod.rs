//! The rules: a merchant's life, its programme, and what a purchase moves. Pure.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::float_arithmetic))]

pub mod profile;
pub mod program;
pub mod purchase;
pub mod state;
