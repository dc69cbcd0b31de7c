//! Other services, as far as this one calls them.

pub mod wallet;
