//! PostgreSQL, events, svc-wallet, the mail server, and the templates.

pub mod clients;
pub mod consumers;
pub mod mail;
pub mod postgres;
pub mod templates;
