//! Counts what the ledger tells.

use lp_contracts::{
    ledger::v1::{AccountType, Direction, PostedEntry, TransactionPosted},
    time::from_wire,
};
use lp_kafka::{Event, HandleError};
use lp_pg::UnitOfWork;
use lp_types::{Amount, AssetCode};

use super::{check_merchant, poison};
use crate::{
    domain::figures::{self, Account, Asset, Entry, Side},
    infrastructure::postgres,
};

/// Counts the transaction of `event`, if this is the record with which it counts.
pub(super) async fn count(work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
    if event.leg.index == 0 || event.leg.index > event.leg.count {
        return Err(poison(event, "no record of as many as it says"));
    }
    if !figures::counts_here(event.leg.index) {
        return Ok(());
    }
    let posted: TransactionPosted = event.message()?;
    check_merchant(event, &posted.merchant_id)?;
    let posted_at = posted
        .posted_at
        .as_ref()
        .and_then(from_wire)
        .ok_or_else(|| poison(event, "no posted_at"))?;
    let entries = posted.entries.into_iter().map(|posted| entry(event, posted));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(poison(event, "no entries"));
    }
    let assets = figures::of_transaction(&entries).map_err(|e| poison(event, e))?;
    let added = postgres::figures::add(work, event.merchant, posted_at, &assets).await;
    added.map_err(|error| match error.constraint() {
        Some(postgres::figures::IN_RANGE) => poison(event, figures::TooMuch),
        _ => error.into(),
    })
}

fn entry(event: &Event, posted: PostedEntry) -> Result<Entry, HandleError> {
    let account = match posted.account_type() {
        AccountType::Issuance => Account::Issuance,
        AccountType::Redemption => Account::Redemption,
        AccountType::GiftCard => Account::GiftCard,
        // A type that is newer than this version reads as unspecified: its transaction counts all the same.
        AccountType::Customer
        | AccountType::External
        | AccountType::Sales
        | AccountType::LoyaltyCost
        | AccountType::Breakage
        | AccountType::Unspecified => Account::Other,
    };
    let side = match posted.direction() {
        Direction::Debit => Side::Debit,
        Direction::Credit => Side::Credit,
        Direction::Unspecified => return Err(poison(event, "an entry without a side")),
    };
    let asset = Asset {
        code: AssetCode::try_from(posted.asset_code)
            .map_err(|e| poison(event, format!("an asset code {e}")))?,
        exponent: u8::try_from(posted.asset_exponent)
            .map_err(|_| poison(event, "an exponent out of range"))?,
    };
    let amount = Amount::try_from(posted.minor_units).map_err(|e| poison(event, format!("an amount {e}")))?;
    Ok(Entry {
        account,
        side,
        amount,
        asset,
    })
}
