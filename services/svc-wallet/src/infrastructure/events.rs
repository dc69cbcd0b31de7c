//! The event of a moved balance.

use lp_contracts::{common::v1::Money, time::to_wire, topics::WALLET_BALANCE_UPDATED, wallet::v1};
use lp_outbox::NewEvent;
use prost::Message as _;

use super::postgres::snapshots::{Snapshot, WalletBalance};

/// The CloudEvents type of [`v1::BalanceUpdated`].
pub const BALANCE_UPDATED: &str = "localplus.wallet.v1.BalanceUpdated";

/// The event of `wallet`, whose snapshot has become `snapshot`. Its id names the position, so that it is
/// the same whenever it is made again.
pub fn balance_updated(wallet: &WalletBalance, snapshot: &Snapshot, traceparent: Option<String>) -> NewEvent {
    let (epoch, sequence) = snapshot.version;
    let payload = v1::BalanceUpdated {
        wallet_id: wallet.wallet.to_string(),
        merchant_id: wallet.merchant.to_string(),
        customer_id: wallet.customer.to_string(),
        account_id: snapshot.account.to_string(),
        balance: Some(Money {
            minor_units: snapshot.balance,
            asset_code: snapshot.asset.to_string(),
        }),
        sequence,
        posted_at: Some(to_wire(snapshot.posted_at)),
        epoch,
    };
    NewEvent {
        topic: WALLET_BALANCE_UPDATED,
        event_id: format!("{}:{epoch}:{sequence}", wallet.wallet),
        event_type: BALANCE_UPDATED,
        merchant: wallet.merchant,
        keys: vec![wallet.wallet.to_string()],
        payload: payload.encode_to_vec(),
        traceparent,
        occurred_at: snapshot.posted_at,
    }
}
