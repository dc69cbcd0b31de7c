//! The promises, one module for each kind.

pub(crate) mod books;
pub(crate) mod cards;
pub(crate) mod drains;
pub(crate) mod effects;
pub(crate) mod figures;
pub(crate) mod order;
pub(crate) mod reads;
pub(crate) mod refusals;
pub(crate) mod trades;
pub(crate) mod writes;
