//! svc-merchant: how merchants join, their programmes, and the purchases at their tills.
//!
//! Owns merchants with their history, programmes, and purchases on their way to the ledger, where all value is;
//! publishes `merchant.onboarded.v1`. A purchase's way: `api/grpc.rs` → `application/submit_purchase.rs` (three
//! steps, each a commit) → `domain/purchase.rs` (what it moves) → the ledger. Start with `domain`.
//!
//! Invariants and the tests that hold them (`tests/it`, and beside the code in `domain`):
//! - a merchant's life goes by its steps alone, each told with actor and reason: `domain::state`, `onboarding::*`;
//! - the first activation opens accounts and tells the event once, whatever fails: `activation::*`, `records::*`;
//! - a programme that contradicts itself is neither stored nor applied: `domain::program`, `programs::*`;
//! - a purchase creates no value, and is one ledger transaction, whatever fails: `domain::purchase`,
//!   `purchases::*`, `refusals::*`, `interrupted::*`;
//! - what opens a card stands in no row and no log: `privacy::*`;
//! - a merchant learns nothing of another: `isolation::*`.

pub mod api;
pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;

use lp_chassis::{App, Chassis};
use lp_config::Common;
use lp_contracts::merchant::v1::merchant_service_server::{MerchantServiceServer, SERVICE_NAME};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    api::grpc::MerchantApi,
    application::{change_state::ChangeState, submit_purchase::Till},
    config::Config,
    infrastructure::clients::{giftcard::Cards, ledger::Ledger, wallet::Wallets},
};

/// svc-merchant, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-merchant";
    type Config = Config;

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&lp_outbox::MIGRATOR, &sqlx::migrate!()])
    }

    async fn build(config: Config, chassis: Chassis) -> anyhow::Result<App> {
        let Chassis {
            database, ambient, ..
        } = chassis.clone();
        let relay = chassis.relay();
        let tokens = chassis.tokens(config.client)?;
        let ledger = Ledger::new(&config.svc_ledger_url, &tokens)?;
        let wallets = Wallets::new(&config.svc_wallet_url, &tokens)?;
        let cards = Cards::new(&config.svc_giftcard_url, &tokens)?;
        let onboarding = ChangeState::new(database.clone(), ambient.clone(), ledger.clone(), relay.handle());
        let till = Till::new(database.clone(), ambient.clone(), ledger, wallets, cards);
        let api = MerchantApi::new(database, ambient, onboarding, till);
        Ok(App::new(
            &chassis,
            &[SERVICE_NAME],
            Routes::new(MerchantServiceServer::new(api)),
        )
        .task("relay", |cancel| relay.run(cancel)))
    }
}
