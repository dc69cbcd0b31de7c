//! Rows, events, other services.

pub mod clients;
pub mod events;
pub mod postgres;
