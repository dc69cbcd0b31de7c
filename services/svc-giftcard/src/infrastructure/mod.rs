//! Rows, keys, PINs, other services.

pub mod clients;
pub mod keys;
pub mod pins;
pub mod postgres;
