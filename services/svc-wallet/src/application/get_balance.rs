//! Reads a balance: process → Valkey → PostgreSQL, and the ledger where a token asks for more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lp_cache::{Hit, Source, Version, Versioned as _};
use lp_chassis::Call;
use lp_contracts::token::ConsistencyToken;
use lp_pg::Database;
use lp_types::WalletId;
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
        Self { database, ledger, cache }
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
        let at_least = token.map(|t| Version { epoch: t.epoch, sequence: t.sequence });
        let from_ledger = AtomicBool::new(false);
        let load = || self.load(call, wallet, token, &from_ledger);
        let Some(Hit { value, source, age }) = self.cache.get(wallet, at_least, load).await? else {
            return Ok(Err(NoBalance::UnknownWallet));
        };
        let refusal = match (&token, value.account) {
            _ if value.merchant != call.caller.merchant => Some(NoBalance::UnknownWallet),
            (_, None) => Some(NoBalance::Opening),
            (Some(token), Some(account)) if token.account != account => Some(NoBalance::ForeignToken),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        let origin = match source {
            Source::Local => Origin::Local,
            Source::Shared => Origin::Shared,
            Source::Loader if from_ledger.load(Ordering::Relaxed) => Origin::Ledger,
            Source::Loader => Origin::Database,
        };
        Ok(Ok(Reading { balance: value, origin, age }))
    }

    /// From the snapshots; where they have not reached the token after a moment, from the ledger.
    async fn load(
        &self,
        call: &Call,
        wallet: WalletId,
        token: Option<ConsistencyToken>,
        from_ledger: &AtomicBool,
    ) -> lp_error::Result<Option<WalletBalance>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = snapshots::of_wallet(&mut *self.database.acquire().await?, wallet).await?;
            let Some(balance) = found else { return Ok(None) };
            // What would be refused is not worth a wait, and not a question to the ledger.
            let ours = balance.merchant == call.caller.merchant;
            let (Some(token), Some(account), true) = (token, balance.account, ours) else {
                return Ok(Some(balance));
            };
            let wanted = Version { epoch: token.epoch, sequence: token.sequence };
            if token.account != account || balance.version() >= wanted {
                return Ok(Some(balance));
            }
            if Instant::now() >= end {
                from_ledger.store(true, Ordering::Relaxed);
                return Ok(Some(self.ledger.balance(&call.caller, call.deadline, account, balance).await?));
            }
            sleep(STEP).await;
        }
    }
}
