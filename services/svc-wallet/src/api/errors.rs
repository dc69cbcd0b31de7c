//! Refusals as clients see them.

use lp_contracts::wallet::v1::ErrorReason;
use lp_error::{Code, Error};
use lp_types::{AssetCode, WalletId};

use crate::application::get_balance::NoBalance;

/// The domain of this service's reasons.
const DOMAIN: &str = "wallet.localplus";

fn error(code: Code, reason: ErrorReason, message: String) -> Error {
    Error::new(code, DOMAIN, reason.reason(), message)
}

/// UNKNOWN_WALLET.
pub(super) fn unknown_wallet(wallet: WalletId) -> Error {
    error(
        Code::NotFound,
        ErrorReason::UnknownWallet,
        format!("wallet {wallet} is unknown"),
    )
    .with_field("walletId", "no such wallet")
}

/// WALLET_EXISTS.
pub(super) fn wallet_exists(wallet: WalletId) -> Error {
    error(
        Code::AlreadyExists,
        ErrorReason::WalletExists,
        "the customer has a wallet of this asset".to_owned(),
    )
    .with_field("customerReference", "has a wallet of this asset")
    .with_metadata("wallet_id", wallet)
}

/// UNKNOWN_ASSET.
pub(super) fn unknown_asset(asset: &AssetCode) -> Error {
    error(
        Code::FailedPrecondition,
        ErrorReason::UnknownAsset,
        format!("the ledger does not know asset {asset}"),
    )
    .with_field("assetCode", "no such asset")
}

/// Why there is no balance.
pub(super) fn no_balance(why: &NoBalance, wallet: WalletId) -> Error {
    match why {
        NoBalance::UnknownWallet => unknown_wallet(wallet),
        NoBalance::Opening => {
            let message = format!("wallet {wallet} is still being opened; try again");
            error(Code::Unavailable, ErrorReason::WalletOpening, message)
        }
        NoBalance::ForeignToken => Error::invalid_field("consistencyToken", "belongs to another account"),
    }
}
