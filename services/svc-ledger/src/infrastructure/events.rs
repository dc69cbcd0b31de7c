//! The event of a posted transaction.

use ledger_domain::{AccountType, Direction, TransactionKind};
use lp_contracts::{ledger::v1, time::to_wire, topics::LEDGER_TRANSACTIONS};
use lp_outbox::NewEvent;
use lp_types::AssetCode;
use prost::Message as _;

use super::postgres::transactions::PostedTransaction;

/// The CloudEvents type of [`v1::TransactionPosted`].
pub const TRANSACTION_POSTED: &str = "localplus.ledger.v1.TransactionPosted";

/// The event of `posted`: keyed by each customer account that it touches, or by the merchant where it
/// touches none. Internal accounts get no record of their own: one partition would fill.
pub fn transaction_posted(
    posted: &PostedTransaction,
    epoch: i64,
    exponent_of: impl Fn(&AssetCode) -> u8,
    traceparent: Option<String>,
) -> NewEvent {
    let mut keys: Vec<String> = Vec::new();
    for entry in posted
        .entries
        .iter()
        .filter(|e| e.account_type == AccountType::Customer)
    {
        let key = entry.account.to_string();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        keys.push(posted.merchant.to_string());
    }
    let entries = posted.entries.iter().map(|entry| v1::PostedEntry {
        account_id: entry.account.to_string(),
        account_type: account_type(entry.account_type).into(),
        direction: direction(entry.direction).into(),
        minor_units: entry.amount.get(),
        asset_code: entry.asset.as_str().to_owned(),
        asset_exponent: exponent_of(&entry.asset).into(),
        account_sequence: entry.account_sequence,
        balance_after: entry.balance_after.get(),
    });
    let payload = v1::TransactionPosted {
        transaction_id: posted.id.to_string(),
        merchant_id: posted.merchant.to_string(),
        kind: kind(posted.kind).into(),
        posted_at: Some(to_wire(posted.posted_at)),
        epoch,
        entries: entries.collect(),
    };
    NewEvent {
        topic: LEDGER_TRANSACTIONS,
        event_id: posted.id.to_string(),
        event_type: TRANSACTION_POSTED,
        merchant: posted.merchant,
        keys,
        payload: payload.encode_to_vec(),
        traceparent,
        occurred_at: posted.posted_at,
    }
}

/// As the contract names it.
pub fn account_type(of: AccountType) -> v1::AccountType {
    match of {
        AccountType::Customer => v1::AccountType::Customer,
        AccountType::Issuance => v1::AccountType::Issuance,
        AccountType::Redemption => v1::AccountType::Redemption,
        AccountType::External => v1::AccountType::External,
        AccountType::GiftCard => v1::AccountType::GiftCard,
        AccountType::Sales => v1::AccountType::Sales,
        AccountType::LoyaltyCost => v1::AccountType::LoyaltyCost,
        AccountType::Breakage => v1::AccountType::Breakage,
    }
}

/// As the contract names it.
pub fn direction(of: Direction) -> v1::Direction {
    match of {
        Direction::Debit => v1::Direction::Debit,
        Direction::Credit => v1::Direction::Credit,
    }
}

/// As the contract names it.
pub fn kind(of: TransactionKind) -> v1::TransactionKind {
    match of {
        TransactionKind::General => v1::TransactionKind::General,
        TransactionKind::Earn => v1::TransactionKind::Earn,
        TransactionKind::Burn => v1::TransactionKind::Burn,
        TransactionKind::Capture => v1::TransactionKind::Capture,
        TransactionKind::Reversal => v1::TransactionKind::Reversal,
    }
}
