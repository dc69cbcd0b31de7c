//! What a notification is, how points read, when to try again. Pure.

pub mod notification;
pub mod points;
pub mod retry;
