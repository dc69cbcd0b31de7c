//! Refusals as clients see them.

use ledger_domain::{Invalid, Refusal};
use lp_contracts::ledger::v1::ErrorReason;
use lp_error::{Code, Error};

/// The domain of this service's reasons.
const DOMAIN: &str = "ledger.localplus";

fn error(code: Code, reason: ErrorReason, message: String) -> Error {
    Error::new(code, DOMAIN, reason.reason(), message)
}

/// UNKNOWN_ACCOUNT.
pub(super) fn unknown_account(account: lp_types::AccountId, field: impl Into<String>) -> Error {
    error(
        Code::NotFound,
        ErrorReason::UnknownAccount,
        format!("account {account} is unknown"),
    )
    .with_field(field, "no such account")
}

/// UNKNOWN_ASSET.
pub(super) fn unknown_asset(asset: &lp_types::AssetCode, field: &str) -> Error {
    error(
        Code::NotFound,
        ErrorReason::UnknownAsset,
        format!("asset {asset} is unknown"),
    )
    .with_field(field, "no such asset")
}

/// ASSET_TAKEN.
pub(super) fn asset_taken() -> Error {
    error(
        Code::AlreadyExists,
        ErrorReason::AssetTaken,
        "the asset exists already".to_owned(),
    )
    .with_field("code", "is taken")
}

/// REFERENCE_TAKEN.
pub(super) fn reference_taken(reference: &lp_types::Reference) -> Error {
    error(
        Code::AlreadyExists,
        ErrorReason::ReferenceTaken,
        format!("reference {reference} is taken"),
    )
    .with_field("reference", "is taken")
}

/// Entries that can never be posted.
pub(super) fn invalid(invalid: &Invalid) -> Error {
    match invalid {
        Invalid::EntryCount => Error::invalid_field("entries", invalid),
        Invalid::Unbalanced {
            asset,
            debits,
            credits,
        } => error(
            Code::InvalidArgument,
            ErrorReason::Unbalanced,
            invalid.to_string(),
        )
        .with_field("entries", invalid.to_string())
        .with_metadata("asset", asset)
        .with_metadata("debits", debits)
        .with_metadata("credits", credits),
    }
}

/// A transaction that the state of things forbids.
pub(super) fn refused(refusal: &Refusal) -> Error {
    let message = refusal.to_string();
    let in_entry = |entry: &Option<usize>, field: &str| match entry {
        Some(index) => format!("entries[{index}].{field}"),
        None => field.to_owned(),
    };
    match refusal {
        Refusal::UnknownAccount { account, entry } => unknown_account(*account, in_entry(entry, "accountId")),
        Refusal::AssetMismatch { entry, .. } => {
            error(Code::InvalidArgument, ErrorReason::AssetMismatch, message.clone())
                .with_field(in_entry(entry, "amount.assetCode"), message)
        }
        Refusal::InsufficientFunds {
            account,
            would_be,
            min,
        } => error(Code::FailedPrecondition, ErrorReason::InsufficientFunds, message)
            .with_metadata("account", account)
            .with_metadata("would_be", would_be)
            .with_metadata("min_balance", min),
        Refusal::BalanceLimitExceeded {
            account,
            would_be,
            max,
        } => error(
            Code::FailedPrecondition,
            ErrorReason::BalanceLimitExceeded,
            message,
        )
        .with_metadata("account", account)
        .with_metadata("would_be", would_be)
        .with_metadata("max_balance", max),
        Refusal::BalanceOutOfRange { account } => {
            error(Code::FailedPrecondition, ErrorReason::BalanceOutOfRange, message)
                .with_metadata("account", account)
        }
        Refusal::NotAPointsAccount { .. } => error(
            Code::FailedPrecondition,
            ErrorReason::NotAPointsAccount,
            message.clone(),
        )
        .with_field("accountId", message),
        Refusal::ReferenceTaken { reference } => reference_taken(reference),
        Refusal::AccountFrozen { account } => {
            error(Code::FailedPrecondition, ErrorReason::AccountFrozen, message)
                .with_metadata("account", account)
        }
        Refusal::AccountClosed { account } => {
            error(Code::FailedPrecondition, ErrorReason::AccountClosed, message)
                .with_metadata("account", account)
        }
        Refusal::AccountNotEmpty { balance, held, .. } => {
            error(Code::FailedPrecondition, ErrorReason::AccountNotEmpty, message)
                .with_metadata("balance", balance)
                .with_metadata("held", held)
        }
        Refusal::UnknownHold { hold, entry: None } => unknown_hold(*hold),
        Refusal::UnknownHold { entry, .. } => error(Code::NotFound, ErrorReason::UnknownHold, message)
            .with_field(in_entry(entry, "holdId"), "no such hold"),
        Refusal::HoldNotOpen { hold, state } => {
            error(Code::FailedPrecondition, ErrorReason::HoldNotOpen, message)
                .with_metadata("hold", hold)
                .with_metadata("state", format!("{state:?}").to_uppercase())
        }
        Refusal::HoldExceeded { hold, remaining } => {
            error(Code::FailedPrecondition, ErrorReason::HoldExceeded, message)
                .with_metadata("hold", hold)
                .with_metadata("remaining", remaining)
        }
        Refusal::HoldMismatch { entry, .. } => {
            error(Code::InvalidArgument, ErrorReason::HoldMismatch, message.clone())
                .with_field(in_entry(entry, "holdId"), message)
        }
        Refusal::ExpiryPassed => Error::invalid_field("expiresAt", "must come after now"),
        Refusal::UnknownTransaction { transaction } => unknown_transaction(*transaction),
        Refusal::NotReversible { .. } => error(Code::FailedPrecondition, ErrorReason::NotReversible, message),
        Refusal::NothingToReverse { .. } => {
            error(Code::FailedPrecondition, ErrorReason::AlreadyReversed, message)
        }
        Refusal::ReversalExceeded { asset, left, .. } => {
            error(Code::FailedPrecondition, ErrorReason::ReversalExceeded, message)
                .with_metadata("asset", asset)
                .with_metadata("left", left)
        }
        Refusal::AssetNotInvolved { .. } => {
            error(Code::InvalidArgument, ErrorReason::AssetMismatch, message.clone())
                .with_field("amount.assetCode", message)
        }
    }
}

/// NOT_FOUND of a transaction.
pub(super) fn unknown_transaction(id: lp_types::TransactionId) -> Error {
    Error::not_found(id).with_field("transactionId", "no such transaction")
}

/// NOT_FOUND of an account's reference.
pub(super) fn unknown_reference(reference: &lp_types::Reference) -> Error {
    Error::not_found(format!("an account with the reference {reference}"))
        .with_field("reference", "no such account")
}

/// NOT_FOUND of a hold.
pub(super) fn unknown_hold(id: lp_types::HoldId) -> Error {
    Error::not_found(id).with_field("holdId", "no such hold")
}
