//! The service's tables. Each file owns the statements of its own.

pub mod codes;
pub mod notifications;
