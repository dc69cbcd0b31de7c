//! Rows, events, the cache, other services.

pub mod balance_cache;
pub mod clients;
pub mod consumers;
pub mod events;
pub mod postgres;
