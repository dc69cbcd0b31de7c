//! Reads a balance: process → Valkey → PostgreSQL, and the ledger where a token asks for more.

use std::time::Duration;

use lp_cache::{Hit, Source, Version, Versioned as _};
use lp_chassis::Call;
use lp_contracts::token::ConsistencyToken;
use lp_pg::Database;
use lp_types::{AccountId, MerchantId, WalletId};
use tokio::time::{Instant, sleep};

use crate::infrastructure::{
    balance_cache::BalanceCache,
    clients::ledger::Ledger,
    postgres::snapshots::{self, WalletBalance},
};

/// How long a read waits for the snapshot to reach its token before it asks the ledger.
const PATIENCE: Duration = Duration::from_millis(50);
const STEP: Duration = Duration::from_millis(10);

/// A balance, and from where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What the wallet holds.
    pub balance: WalletBalance,
    /// From where.
    pub origin: Origin,
    /// How long ago it was surely current.
    pub age: Duration,
}

/// From where a balance was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process.
    Local,
    /// Valkey.
    Shared,
    /// The snapshots.
    Database,
    /// svc-ledger.
    Ledger,
}

/// Why there is no balance.
#[derive(Debug, Clone, PartialEq)]
pub enum NoBalance {
    /// The merchant has no such wallet.
    UnknownWallet,
    /// It is still being opened.
    Opening,
    /// The token belongs to another account.
    ForeignToken,
}

/// Why a load gave nothing that may be cached.
enum NotLoaded {
    /// The merchant's wallet is still being opened.
    Opening(MerchantId),
    Failed(lp_error::Error),
}

/// Where balances are read.
#[derive(Debug)]
pub struct Balances {
    database: Database,
    ledger: Ledger,
    cache: std::sync::Arc<BalanceCache>,
}

impl Balances {
    /// From `cache`, `database` and `ledger`, in this order.
    pub fn new(database: Database, ledger: Ledger, cache: std::sync::Arc<BalanceCache>) -> Self {
        Self {
            database,
            ledger,
            cache,
        }
    }

    /// A wallet's balance: with a token never older than it.
    ///
    /// # Errors
    /// When it is in no cache and the database, or a ledger that must be asked, is away.
    pub async fn get(
        &self,
        call: &Call,
        wallet: WalletId,
        token: Option<ConsistencyToken>,
    ) -> lp_error::Result<Result<Reading, NoBalance>> {
        let at_least = token.map(|t| Version {
            epoch: t.epoch,
            sequence: t.sequence,
        });
        let end = Instant::now() + PATIENCE;
        loop {
            let found = match self.cache.get(wallet, at_least, || self.load(wallet)).await {
                Ok(found) => found.filter(|hit| hit.value.merchant == call.caller.merchant),
                Err(NotLoaded::Opening(merchant)) if merchant == call.caller.merchant => {
                    return Ok(Err(NoBalance::Opening));
                }
                Err(NotLoaded::Opening(_)) => None,
                Err(NotLoaded::Failed(error)) => return Err(error),
            };
            let Some(Hit { value, source, age }) = found else {
                return Ok(Err(NoBalance::UnknownWallet));
            };
            let Some(account) = value.account else {
                return Ok(Err(NoBalance::Opening));
            };
            if token.is_some_and(|token| token.account != account) {
                return Ok(Err(NoBalance::ForeignToken));
            }
            // Readers that miss together share a load, which is below the token of some: so it is compared here.
            if at_least.is_none_or(|least| value.version() >= least) {
                let origin = match source {
                    Source::Local => Origin::Local,
                    Source::Shared => Origin::Shared,
                    Source::Loader => Origin::Database,
                };
                return Ok(Ok(Reading {
                    balance: value,
                    origin,
                    age,
                }));
            }
            if Instant::now() >= end {
                return self.ask_ledger(call, account, value).await.map(Ok);
            }
            sleep(STEP).await;
        }
    }

    /// From the snapshots. A wallet that is being opened is no balance that a cache may keep.
    async fn load(&self, wallet: WalletId) -> Result<Option<WalletBalance>, NotLoaded> {
        let failed = |error: lp_pg::PgError| NotLoaded::Failed(error.into());
        let mut connection = self.database.acquire().await.map_err(failed)?;
        match snapshots::of_wallet(&mut connection, wallet)
            .await
            .map_err(failed)?
        {
            Some(balance) if balance.account.is_none() => Err(NotLoaded::Opening(balance.merchant)),
            found => Ok(found),
        }
    }

    /// From the ledger, beside the cache's loads: nobody else shall wait for it.
    async fn ask_ledger(
        &self,
        call: &Call,
        account: AccountId,
        known: WalletBalance,
    ) -> lp_error::Result<Reading> {
        let began = Instant::now();
        let balance = self
            .ledger
            .balance(&call.caller, call.deadline, account, known)
            .await?;
        self.cache.put(balance.clone()).await;
        Ok(Reading {
            balance,
            origin: Origin::Ledger,
            age: began.elapsed(),
        })
    }
}
