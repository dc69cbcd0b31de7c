//! The promises, one module for each kind.

pub(crate) mod books;
pub(crate) mod cards;
pub(crate) mod commands;
pub(crate) mod drains;
pub(crate) mod effects;
pub(crate) mod figures;
pub(crate) mod holds;
pub(crate) mod order;
pub(crate) mod reads;
pub(crate) mod refusals;
pub(crate) mod reversals;
pub(crate) mod states;
pub(crate) mod trades;
pub(crate) mod writes;
