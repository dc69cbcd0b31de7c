//! Balances in process and in Valkey: 30 seconds, written only upwards, refreshed by the ledger's events.

use std::{future::Future, time::Duration};

use lp_cache::{Hit, KeySpace, Options, Valkey, Version, VersionedCache};
use lp_telemetry::Metrics;
use lp_types::{WalletId, time::Ambient};

use super::postgres::snapshots::WalletBalance;

const BALANCES: KeySpace = KeySpace::new("svc-wallet", "balance", 1);
const LIFE: Duration = Duration::from_secs(30);
const LOCAL_BYTES: u64 = 50 * 1024 * 1024;

/// The cache of balances. Its futures are boxed: nested in the consumer's they are too deep for the compiler.
#[derive(Debug)]
pub struct BalanceCache(VersionedCache<WalletBalance>);

impl BalanceCache {
    /// In front of Valkey, which need not be reachable.
    ///
    /// # Errors
    /// When the URL is not one of Valkey.
    pub fn open(config: &lp_config::Valkey, ambient: &Ambient, metrics: &Metrics) -> anyhow::Result<Self> {
        // The low half of a UUIDv7 is random: pods must not expire in step.
        let (_, seed) = ambient.ids.uuid().as_u64_pair();
        let options = Options {
            local_ttl: LIFE,
            shared_ttl: LIFE,
            local_bytes: LOCAL_BYTES,
            seed,
        };
        Ok(Self(VersionedCache::new(
            "balance",
            Valkey::open(config, seed)?,
            options,
            metrics,
        )))
    }

    /// A wallet's balance of at least a version, from the nearest level that has it, else from `load`.
    ///
    /// # Errors
    /// Those of `load`.
    pub async fn get<E, F, L>(
        &self,
        wallet: WalletId,
        at_least: Option<Version>,
        load: F,
    ) -> Result<Option<Hit<WalletBalance>>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<Option<WalletBalance>, E>>,
    {
        Box::pin(self.0.get_or_load(&BALANCES.key(wallet), at_least, load)).await
    }

    /// Writes a balance that is current now: just committed, or just read from the ledger.
    pub async fn put(&self, balance: WalletBalance) {
        Box::pin(self.0.put(&BALANCES.key(balance.wallet), balance)).await;
    }
}
