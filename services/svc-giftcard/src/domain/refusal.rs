//! Why a request that is well formed is refused.

use lp_types::{
    AssetCode,
    ids::{CardId, ProductId},
};
use serde::{Deserialize, Serialize};

use super::card::CardState;

/// A refusal: an answer, which is recorded under the key of the write that it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The merchant has no such product.
    UnknownProduct(ProductId),
    /// The merchant has no such card.
    UnknownCard(CardId),
    /// The amount is none that the product has.
    NotADenomination,
    /// The card's state allows no sale, or none of another amount than the one under way.
    WrongState(CardState),
    /// The secret opens no card. It does not say why.
    CardRefused,
    /// The card holds less.
    InsufficientFunds,
    /// The merchant does not trade.
    MerchantNotActive,
    /// A product in another currency than the merchant's, which it names.
    ProductCurrency(AssetCode),
    /// An amount in another currency than the card's, which it names.
    AmountCurrency(AssetCode),
}
