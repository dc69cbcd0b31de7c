//! Refusals as clients see them.

use lp_contracts::merchant::v1::ErrorReason;
use lp_error::{Code, Error};
use lp_types::{AssetCode, Reference, ids::PurchaseId};

use super::convert::wire_state;
use crate::{
    application::submit_purchase::Why,
    domain::{program::Contradiction, purchase::PaymentError, state::State},
};

/// The domain of this service's reasons.
const DOMAIN: &str = "merchant.localplus";

fn error(code: Code, reason: ErrorReason, message: impl Into<String>) -> Error {
    Error::new(code, DOMAIN, reason.reason(), message.into())
}

/// A state as messages name it, for example `ACTIVE`.
fn name(state: State) -> &'static str {
    let name = wire_state(state).as_str_name();
    name.strip_prefix("MERCHANT_STATE_").unwrap_or(name)
}

/// UNKNOWN_MERCHANT.
pub(super) fn unknown_merchant() -> Error {
    error(
        Code::NotFound,
        ErrorReason::UnknownMerchant,
        "this merchant has not applied",
    )
}

/// MERCHANT_EXISTS.
pub(super) fn merchant_exists() -> Error {
    error(
        Code::AlreadyExists,
        ErrorReason::MerchantExists,
        "this merchant has applied already",
    )
}

/// WRONG_STATE.
pub(super) fn wrong_state(from: State, to: State) -> Error {
    let message = format!("there is no step from {} to {}", name(from), name(to));
    error(Code::FailedPrecondition, ErrorReason::WrongState, message)
        .with_field("toState", "no step leads there")
        .with_metadata("state", name(from))
}

/// MERCHANT_NOT_ACTIVE.
pub(super) fn not_active(state: State) -> Error {
    let message = format!("this merchant is {} and not ACTIVE", name(state));
    error(Code::FailedPrecondition, ErrorReason::MerchantNotActive, message)
        .with_metadata("state", name(state))
}

/// ASSET_UNUSABLE.
pub(super) fn asset_unusable(asset: &AssetCode) -> Error {
    let message = format!("the ledger's asset {asset} is of another kind or exponent");
    error(Code::FailedPrecondition, ErrorReason::AssetUnusable, message).with_metadata("asset", asset)
}

/// PROGRAM_INVALID.
pub(super) fn program_invalid(contradiction: Contradiction) -> Error {
    let invalid = error(
        Code::InvalidArgument,
        ErrorReason::ProgramInvalid,
        "the programme contradicts itself",
    );
    let faults = contradiction.0.into_iter();
    faults.fold(invalid, |error, fault| error.with_field(fault.field, fault.what))
}

/// PROGRAM_CHANGED.
pub(super) fn program_changed() -> Error {
    let message = "another version was published meanwhile";
    error(Code::Aborted, ErrorReason::ProgramChanged, message)
        .with_field("basedOnVersion", "is not the latest version")
}

/// NO_PROGRAM.
pub(super) fn no_program() -> Error {
    error(
        Code::FailedPrecondition,
        ErrorReason::NoProgram,
        "no such programme was published",
    )
}

/// Tenders that are no payment.
pub(super) fn payment(wrong: &PaymentError) -> Error {
    match wrong {
        PaymentError::Count => Error::invalid_field("tenders", wrong),
        PaymentError::SecondOfPoints(index) => Error::invalid_field(format!("tenders[{index}].kind"), wrong),
        PaymentError::Unbalanced { sum, amount } => error(
            Code::InvalidArgument,
            ErrorReason::TendersUnbalanced,
            wrong.to_string(),
        )
        .with_field("tenders", wrong.to_string())
        .with_metadata("sum", sum)
        .with_metadata("amount", amount),
    }
}

/// POINTS_NOT_A_MULTIPLE.
pub(super) fn not_a_multiple(tender: usize, burn_value: i64) -> Error {
    let message = format!("a tender of points must be a multiple of {burn_value} minor units");
    error(
        Code::InvalidArgument,
        ErrorReason::PointsNotAMultiple,
        message.clone(),
    )
    .with_field(format!("tenders[{tender}].minorUnits"), message)
    .with_metadata("burn_value", burn_value)
}

/// More points than can be moved: those of a tender, or those earned.
pub(super) fn too_many_points(tender: Option<usize>) -> Error {
    let field = tender.map_or("amount.minorUnits".to_owned(), |tender| {
        format!("tenders[{tender}].minorUnits")
    });
    Error::invalid_field(field, "would move more than 1000000000000000 points")
}

/// An amount in another currency than the merchant's.
pub(super) fn wrong_currency(currency: &AssetCode) -> Error {
    Error::invalid_field(
        "amount.assetCode",
        format!("must be the merchant's currency, {currency}"),
    )
}

/// REFERENCE_TAKEN.
pub(super) fn reference_taken(reference: &Reference) -> Error {
    let message = format!("reference {reference} is taken");
    error(Code::AlreadyExists, ErrorReason::ReferenceTaken, message).with_field("reference", "is taken")
}

/// A purchase that was refused.
pub(super) fn refused(purchase: PurchaseId, why: Why) -> Error {
    let (reason, field, what) = match why {
        Why::Wallet => (
            ErrorReason::WalletUnusable,
            "walletId".to_owned(),
            "no such wallet of the merchant's points",
        ),
        Why::Card(tender) => (
            ErrorReason::CardRefused,
            format!("tenders[{tender}]"),
            "the card was refused",
        ),
        Why::Tender(tender) => (
            ErrorReason::TenderRefused,
            format!("tenders[{tender}]"),
            "does not suffice",
        ),
        Why::Earnings => (
            ErrorReason::WalletUnusable,
            "walletId".to_owned(),
            "cannot take what it would earn",
        ),
        Why::Merchant => (
            ErrorReason::TenderRefused,
            "tenders".to_owned(),
            "the merchant's accounts cannot take it",
        ),
    };
    error(Code::FailedPrecondition, reason, format!("{field}: {what}"))
        .with_field(field, what)
        .with_metadata("purchase_id", purchase)
}
