//! Refusals as clients see them.

use lp_contracts::giftcard::v1::ErrorReason;
use lp_error::{Code, Error};
use lp_types::ids::{CardId, ProductId};

use super::convert;
use crate::domain::refusal::Refusal;

/// The domain of this service's reasons.
const DOMAIN: &str = "giftcard.localplus";

fn not_found(reason: ErrorReason, message: String) -> Error {
    Error::new(Code::NotFound, DOMAIN, reason.reason(), message)
}

fn precondition(reason: ErrorReason, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::FailedPrecondition, DOMAIN, reason.reason(), message)
}

/// UNKNOWN_PRODUCT.
pub(super) fn unknown_product(product: ProductId) -> Error {
    not_found(
        ErrorReason::UnknownProduct,
        format!("product {product} is unknown"),
    )
    .with_field("productId", "no such product")
}

/// UNKNOWN_CARD.
pub(super) fn unknown_card(card: CardId) -> Error {
    not_found(ErrorReason::UnknownCard, format!("card {card} is unknown"))
        .with_field("cardId", "no such card")
}

/// CARD_REFUSED: the same whatever is wrong.
pub(super) fn card_refused() -> Error {
    precondition(ErrorReason::CardRefused, "the card was refused")
}

/// Any refusal.
pub(super) fn refusal(refusal: Refusal) -> Error {
    match refusal {
        Refusal::UnknownProduct(product) => unknown_product(product),
        Refusal::UnknownCard(card) => unknown_card(card),
        Refusal::NotADenomination => precondition(
            ErrorReason::NotADenomination,
            "the product's cards are not sold for this amount",
        )
        .with_field("amount", "is none of the product's denominations"),
        Refusal::WrongState(state) => {
            let name = convert::wire_state(state).as_str_name();
            let name = name.strip_prefix("CARD_STATE_").unwrap_or(name);
            let message = format!("the card is {name}, which does not allow this");
            precondition(ErrorReason::WrongState, message).with_metadata("state", name)
        }
        Refusal::CardRefused => card_refused(),
        Refusal::InsufficientFunds => {
            precondition(ErrorReason::InsufficientFunds, "the card holds less than that")
                .with_field("amount.minorUnits", "is more than the card holds")
        }
        Refusal::MerchantNotActive => {
            precondition(ErrorReason::MerchantNotActive, "the merchant is not active")
        }
        Refusal::ProductCurrency(currency) => precondition(
            ErrorReason::CurrencyMismatch,
            format!("the merchant trades in {currency}"),
        )
        .with_field("currencyCode", format!("must be {currency}")),
        Refusal::AmountCurrency(currency) => precondition(
            ErrorReason::CurrencyMismatch,
            format!("the card holds {currency}"),
        )
        .with_field("amount.assetCode", format!("must be {currency}")),
    }
}
