//! The merchant's tables. Each file owns the statements of its own.

mod codes;
pub mod merchant_events;
pub mod merchants;
pub mod programs;
pub mod purchases;

use codes::{Code, corrupt};
