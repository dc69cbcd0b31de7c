//! svc-ledger: every unit of value is an entry here.
//!
//! Owns accounts, holds, transactions and entries, and the event `ledger.transactions.v1`. It knows no programmes,
//! cards or customers. A write's way: `api/grpc.rs` → `application/post_transaction.rs` (the queue and its
//! poster) → `infrastructure/postgres/posting.rs` (one batch) → `ledger_domain::Book` (the rules).
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - debits equal credits, limits hold and history never changes, whoever writes: `database::*`;
//! - one key, one transaction, one answer, also concurrently: `idempotency::*`;
//! - sequences have no gap and balances are exact under concurrency: `posting::*`;
//! - what a hold reserves is there for it alone, until its time is over: `holds::*`;
//! - no more is undone than was done, each tender to its origin: `reversals::*`;
//! - of several transactions each has its own result, or all or none are posted: `batches::*`;
//! - a dry run answers what would happen, and nothing happens: `notes::*`;
//! - a balance of the past is what the entries of then come to: `balances_at::*`;
//! - what is wrong in the tables is found, and nothing is found where nothing is: `checks::*`;
//! - bad input names its field and writes nothing: `bad_input::*`;
//! - each transaction has its event, in order of its accounts: `events::*`.

pub mod api;
pub mod application;
pub mod config;
mod failpoints;
pub mod infrastructure;

use futures::FutureExt as _;
use lp_chassis::{App, Chassis, Job};
use lp_config::Common;
use lp_contracts::ledger::v1::ledger_service_server::{LedgerServiceServer, SERVICE_NAME};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    api::{grpc::LedgerApi, job},
    application::post_transaction::poster,
    config::Config,
};

/// svc-ledger, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-ledger";
    type Config = Config;

    const JOBS: &'static [Job] = &[Job {
        name: "check",
        about: "Checks the whole ledger against itself, beside traffic: 0 sound, 1 not, 2 could not be checked",
        run: |database| job::check(database).boxed(),
    }];

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&lp_outbox::MIGRATOR, &sqlx::migrate!()])
    }

    async fn build(_config: Config, chassis: Chassis) -> anyhow::Result<App> {
        failpoints::start();
        let Chassis {
            database,
            metrics,
            ambient,
            ..
        } = chassis.clone();
        let relay = chassis.relay();
        let (queue, poster) = poster(database.clone(), ambient.clone(), relay.handle(), &metrics);
        let api = LedgerApi::new(database, ambient, queue);
        Ok(App::new(
            &chassis,
            &[SERVICE_NAME],
            Routes::new(LedgerServiceServer::new(api)),
        )
        .task("poster", |_ends_with_its_queue| poster.run())
        .task("relay", |cancel| relay.run(cancel)))
    }
}
