//! svc-wallet: who holds which ledger account, and how much stands in it.
//!
//! Owns customers with their contacts, wallets, and the balance snapshots that it keeps by consuming
//! `ledger.transactions.v1`; publishes `wallet.balance-updated.v1`. A balance's way: ledger event →
//! `infrastructure/consumers/ledger_transactions.rs` → `balance_snapshots` → `application/get_balance.rs`
//! (process, Valkey, PostgreSQL, ledger).
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - an event counts once and only upwards, whatever is redelivered or reordered: `snapshots::*`;
//! - a read with a token is never older than the token: `balance::*`, `freshness::*`;
//! - one customer has one wallet of an asset, whatever fails while it is opened: `create_wallet::*`,
//!   `interrupted::*`;
//! - a merchant learns nothing of another's wallets: `isolation::*`;
//! - no contact is printed or leaves by anything but GetContact: `privacy::*`.

pub mod api;
pub mod application;
pub mod config;
pub mod infrastructure;

use std::sync::Arc;

use lp_chassis::{App, Chassis};
use lp_config::Common;
use lp_contracts::{
    topics::LEDGER_TRANSACTIONS,
    wallet::v1::wallet_service_server::{SERVICE_NAME, WalletServiceServer},
};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    api::grpc::WalletApi,
    config::Config,
    infrastructure::{
        balance_cache::BalanceCache, clients::ledger::Ledger, consumers::ledger_transactions::Snapshots,
    },
};

/// svc-wallet, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-wallet";
    type Config = Config;

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&lp_outbox::MIGRATOR, &lp_kafka::MIGRATOR, &sqlx::migrate!()])
    }

    async fn build(config: Config, chassis: Chassis) -> anyhow::Result<App> {
        let Chassis {
            database,
            metrics,
            ambient,
            ..
        } = chassis.clone();
        let relay = chassis.relay();
        let cache = Arc::new(BalanceCache::open(&config.valkey, &ambient, &metrics)?);
        let snapshots = Snapshots::new(database.clone(), Arc::clone(&cache), relay.handle());
        let consumer = chassis.consumer(&[LEDGER_TRANSACTIONS], snapshots);
        let tokens = chassis.tokens(config.client)?;
        let ledger = Ledger::new(&config.svc_ledger_url, &tokens)?;
        let api = WalletApi::new(database, ambient, ledger, cache);
        Ok(App::new(
            &chassis,
            &[SERVICE_NAME],
            Routes::new(WalletServiceServer::new(api)),
        )
        .task("consumer", |cancel| consumer.run(cancel))
        .task("relay", |cancel| relay.run(cancel)))
    }
}
