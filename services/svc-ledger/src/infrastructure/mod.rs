//! Rows and events.

pub mod events;
pub mod postgres;
