//! The rules of cards: what a code is, what a product sells, which step a card's state allows.

pub mod card;
pub mod code;
pub mod product;
pub mod refusal;
