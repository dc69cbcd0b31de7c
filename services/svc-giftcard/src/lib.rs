//! svc-giftcard: which cards a merchant sells, which were sold, and what opens them.
//!
//! Owns products, cards and their redemptions. A card's value is the balance of its ledger account and nothing
//! else: this service posts the sale and the redemption, and the ledger decides what a card can pay. Start with
//! `domain/card.rs`, then `application/activate_card.rs` and `application/redeem_card.rs`.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - a card is sold once, for one amount, whatever fails meanwhile: `activate::*`, `interrupted::*`;
//! - exactly its value leaves a card: `real_ledger::*`, `redeem::*`;
//! - no code and no PIN stands in a row, a log line or an error: `privacy::*`;
//! - a refused card's answer never says what was wrong: `equal_answers::*`;
//! - a key gives its first answer for ever, code and PIN included: `issue::*`, `redeem::*`;
//! - a merchant learns nothing of another's products and cards: `isolation::*`.

pub mod api;
pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;

use lp_chassis::{App, Chassis};
use lp_config::Common;
use lp_contracts::giftcard::v1::gift_card_service_server::{GiftCardServiceServer, SERVICE_NAME};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    api::grpc::GiftCardApi,
    application::Parts,
    config::Config,
    infrastructure::{
        clients::{ledger::Ledger, merchant::Merchants},
        keys::CardKeys,
        pins::Pins,
    },
};

/// svc-giftcard, as the chassis runs it.
#[derive(Debug)]
pub struct Service;

impl lp_chassis::Service for Service {
    const NAME: &'static str = "svc-giftcard";
    type Config = Config;

    fn common(config: &Config) -> &Common {
        &config.common
    }

    fn migrator() -> Migrator {
        lp_pg::schema::combine(&[&sqlx::migrate!()])
    }

    async fn build(config: Config, chassis: Chassis) -> anyhow::Result<App> {
        let tokens = chassis.tokens(config.client)?;
        let keys = CardKeys::parse(&config.card_code_key, &config.card_secret_key)?;
        let parts = Parts {
            database: chassis.database.clone(),
            ambient: chassis.ambient.clone(),
            ledger: Ledger::new(&config.svc_ledger_url, &tokens)?,
            merchants: Merchants::new(&config.svc_merchant_url, &tokens)?,
            pins: Pins::new(&keys)?,
            keys,
        };
        let routes = Routes::new(GiftCardServiceServer::new(GiftCardApi::new(parts)));
        Ok(App::new(&chassis, &[SERVICE_NAME], routes))
    }
}
