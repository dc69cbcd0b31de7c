//! svc-notification: tells customers what happened to their points.
//!
//! Owns notifications: what was written to which account's holder, when, and what became of it. It keeps no
//! address, no name and no text. A message's way: ledger event → `infrastructure/consumers/ledger_transactions.rs`
//! (one row, in the consumer's unit of work) → `application/deliver.rs` (lease, contact from svc-wallet, template,
//! SMTP) → sent.
//!
//! Invariants and the tests that hold them (`tests/it`, `tests/telemetry.rs`):
//! - an event causes one message, however often it comes: `delivery::a_redelivered_event_is_one_mail`;
//! - every attempt at a message has one Message-ID, and a lease that ran out is taken up again:
//!   `failures::a_killed_courier_is_replaced_when_its_lease_has_run_out`;
//! - who lost a lease cannot undo what its next holder did:
//!   `failures::a_lease_that_was_lost_settles_nothing_but_what_was_sent`;
//! - what is away is waited for, and then one message is sent: `failures::*_that_is_down_is_waited_for`;
//! - no message gets into another's connection: `infrastructure::mail::tests`;
//! - nothing is sent without consent: `delivery::without_consent_or_address_nothing_is_sent`;
//! - one trace leads from the cause to the mail server, and no address or text is kept, logged or answered:
//!   `telemetry`;
//! - a merchant sees its own notifications only: `api::another_merchant_sees_nothing`;
//! - bad input names its field: `api::bad_input_names_its_field`.

pub mod api;
pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;

use std::sync::Arc;

use lp_chassis::{App, Chassis};
use lp_config::Common;
use lp_contracts::{
    notification::v1::notification_service_server::{NotificationServiceServer, SERVICE_NAME},
    topics::LEDGER_TRANSACTIONS,
};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::{
    api::grpc::NotificationApi,
    application::deliver::Courier,
    config::Config,
    infrastructure::{
        clients::wallet::Wallet, consumers::ledger_transactions::Causes, mail::Mailer, templates::Templates,
    },
};

/// svc-notification, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-notification";
    type Config = Config;

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&lp_kafka::MIGRATOR, &sqlx::migrate!()])
    }

    async fn build(config: Config, chassis: Chassis) -> anyhow::Result<App> {
        let Chassis {
            database,
            metrics,
            ambient,
            ..
        } = chassis.clone();
        let wake = Arc::new(Notify::new());
        let causes = Causes::new(ambient.clone(), Arc::clone(&wake));
        let consumer = chassis.consumer(&[LEDGER_TRANSACTIONS], causes);
        let tokens = chassis.tokens(config.client)?;
        let wallet = Wallet::new(&config.svc_wallet_url, &tokens, Self::NAME, ambient.clone())?;
        let mailer = Mailer::new(&config.smtp_url, config.mail_from)?;
        let courier = Courier::new(
            database.clone(),
            ambient,
            wallet,
            mailer,
            Templates::new()?,
            wake,
            &metrics,
        );
        let api = NotificationServiceServer::new(NotificationApi::new(database));
        Ok(App::new(&chassis, &[SERVICE_NAME], Routes::new(api))
            .task("consumer", |cancel| consumer.run(cancel))
            .task("courier", |cancel| courier.run(cancel)))
    }
}
