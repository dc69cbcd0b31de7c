//! svc-analytics: what happened at a merchant, day by day.
//!
//! Owns the figures of each quarter hour, which it counts by consuming `ledger.transactions.v1`, and the time zone of
//! each merchant, from `merchant.onboarded.v1`. A figure's way: ledger event →
//! `infrastructure/consumers/ledger_transactions.rs` → [`domain::figures`] → `quarter_hours`, `asset_figures` →
//! `application/daily_figures.rs`, where [`domain::days`] decides which quarter hours are a day.
//!
//! Days are made when they are read. So neither the order of the two topics matters nor whether a merchant's time
//! zone is known when a transaction is counted, and nothing is ever counted anew.
//!
//! Invariants and the tests that hold them (`tests/it` where not said otherwise):
//! - a transaction counts once, whatever its legs, their order and their repetition: `counting::*`,
//!   `domain::figures::tests::rows_and_days_are_those_of_a_naive_count`, `naive::*`;
//! - effect and inbox row stand or fall together, and a replay gives the same tables: `counting::*`, `replay::*`;
//! - a quarter hour is of one day in every time zone: `domain::days::tests`;
//! - sums of different exponents are never added, and no sum of a day leaves its range: `database::*`;
//! - a merchant sees its own figures and no others: `isolation::*`;
//! - a file needs no quoting and holds no formula: `api::csv::tests`.

pub mod api;
pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;

use lp_chassis::{App, Chassis};
use lp_config::Common;
use lp_contracts::{
    analytics::v1::analytics_service_server::{AnalyticsServiceServer, SERVICE_NAME},
    topics::{LEDGER_TRANSACTIONS, MERCHANT_ONBOARDED},
};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{api::grpc::AnalyticsApi, config::Config, infrastructure::consumers::Rollup};

/// svc-analytics, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

/// What it consumes.
pub const TOPICS: [&str; 2] = [LEDGER_TRANSACTIONS, MERCHANT_ONBOARDED];

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-analytics";
    type Config = Config;

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&lp_kafka::MIGRATOR, &sqlx::migrate!()])
    }

    async fn build(_config: Config, chassis: Chassis) -> anyhow::Result<App> {
        let consumer = chassis.consumer(&TOPICS, Rollup);
        let api = AnalyticsApi::new(chassis.database.clone());
        Ok(App::new(
            &chassis,
            &[SERVICE_NAME],
            Routes::new(AnalyticsServiceServer::new(api)),
        )
        .task("consumer", |cancel| consumer.run(cancel)))
    }
}
