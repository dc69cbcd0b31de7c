//! Rows and events.

pub mod consumers;
pub mod postgres;
