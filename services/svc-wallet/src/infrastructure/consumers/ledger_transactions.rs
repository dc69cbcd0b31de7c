//! Keeps the balance snapshots by what the ledger tells.

use std::sync::Arc;

use lp_contracts::{ledger::v1::TransactionPosted, time::from_wire};
use lp_kafka::{Event, HandleError, Handler};
use lp_outbox::Wake;
use lp_pg::{Database, UnitOfWork};
use lp_types::{AccountId, AssetCode};

use crate::infrastructure::{
    balance_cache::BalanceCache,
    events::balance_updated,
    postgres::snapshots::{self, Snapshot},
};

/// The handler of `ledger.transactions.v1`.
#[derive(Debug)]
pub struct Snapshots {
    database: Database,
    cache: Arc<BalanceCache>,
    wake_relay: Wake,
}

impl Snapshots {
    /// Refreshes `cache` and wakes the relay after each commit.
    pub fn new(database: Database, cache: Arc<BalanceCache>, wake_relay: Wake) -> Self {
        Self {
            database,
            cache,
            wake_relay,
        }
    }

    async fn refresh(&self, event: &Event, account: AccountId) -> lp_pg::Result<()> {
        let mut connection = self.database.acquire().await?;
        if let Some(balance) = snapshots::of_account(&mut connection, event.merchant, account).await? {
            drop(connection);
            self.cache.put(balance).await;
        }
        Ok(())
    }
}

/// The account that a record is about; a record keyed by a merchant is about none.
fn account_of(event: &Event) -> Option<AccountId> {
    event.key.parse().ok()
}

/// Where the record's account stands after the transaction: its last entry there.
fn snapshot(event: &Event, account: AccountId) -> Result<Snapshot, HandleError> {
    let poison = |what: &str| HandleError::Poison(format!("{}: {what}", event.id));
    let posted: TransactionPosted = event.message()?;
    let key = account.to_string();
    let of_account = posted.entries.iter().filter(|entry| entry.account_id == key);
    let last = of_account
        .max_by_key(|entry| entry.account_sequence)
        .ok_or_else(|| poison("no entry of its key"))?;
    let posted_at = posted
        .posted_at
        .as_ref()
        .and_then(from_wire)
        .ok_or_else(|| poison("no posted_at"))?;
    Ok(Snapshot {
        account,
        merchant: event.merchant,
        asset: AssetCode::try_from(last.asset_code.clone()).map_err(|e| poison(&e.to_string()))?,
        version: (posted.epoch, last.account_sequence),
        balance: last.balance_after,
        posted_at,
    })
}

impl Handler for Snapshots {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        let Some(account) = account_of(event) else {
            return Ok(());
        };
        let snapshot = snapshot(event, account)?;
        if !snapshots::raise(work, &snapshot).await? {
            return Ok(());
        }
        if let Some(wallet) = snapshots::of_account(work, event.merchant, account).await? {
            let moved = balance_updated(&wallet, &snapshot, lp_telemetry::current_traceparent());
            lp_outbox::append(work, &[moved]).await?;
        }
        Ok(())
    }

    async fn committed(&self, event: &Event) {
        self.wake_relay.wake();
        let Some(account) = account_of(event) else { return };
        if let Err(error) = self.refresh(event, account).await {
            // The cache catches up by itself within its life, and tokens keep readers from going back.
            tracing::warn!(%error, id = event.id, "the balance cache was not refreshed");
        }
    }
}
