//! A gift card service of one test: its database, the ledger and the merchants that it asks, and the instances
//! that run on them.

use std::{ops::Deref, time::Duration};

use lp_contracts::{
    common::v1::{Money, PageRequest},
    giftcard::v1::{self, gift_card_service_client::GiftCardServiceClient},
};
use lp_test_service::{Caller, Mortal};
use svc_giftcard::{Service, config::Config};
use tonic::{Code, Response, Status, transport::Channel};
use url::Url;

use crate::{ledger::Ledger, merchants::Merchants};

pub use lp_test_service::{bytes, fields, new_key, reason, until, uuid_of};

pub type Instance = lp_test_service::Instance<Client>;

/// base64 of 32 bytes each.
pub const CODE_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
pub const SECRET_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

pub struct Ground {
    base: lp_test_service::Ground<Service>,
    pub ledger: Ledger,
    pub merchants: Merchants,
}

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Ground {
    pub async fn new() -> Self {
        Self {
            base: lp_test_service::Ground::new().await,
            ledger: Ledger::start().await,
            merchants: Merchants::start().await,
        }
    }

    pub fn config(&self) -> Config {
        self.config_with(self.ledger.url())
    }

    pub fn config_with(&self, ledger: Url) -> Config {
        Config {
            common: self.common(),
            client: self.client(),
            svc_ledger_url: ledger,
            svc_merchant_url: self.merchants.url(),
            card_code_key: CODE_KEY.to_owned().into(),
            card_secret_key: SECRET_KEY.to_owned().into(),
        }
    }

    pub async fn start(&self) -> Instance {
        self.base.start(self.config()).await
    }

    pub async fn start_with(&self, change: impl FnOnce(&mut Config)) -> Instance {
        let mut config = self.config();
        change(&mut config);
        self.base.start(config).await
    }

    pub async fn start_mortal(&self) -> Mortal<Client> {
        self.base.start_mortal(self.config()).await
    }

    /// How much was written: products, cards, redemptions, keys.
    pub async fn written(&self) -> [i64; 4] {
        self.counts(["products", "cards", "redemptions", "idempotency_keys"])
            .await
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: GiftCardServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: GiftCardServiceClient::new(caller.channel.clone()),
            caller,
        }
    }
}

impl Deref for Client {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// A card, and what opens it.
#[derive(Debug, Clone)]
pub struct Held {
    pub id: String,
    pub account: String,
    pub code: String,
    pub pin: String,
}

impl Client {
    /// The same, with less patience.
    pub fn within(&self, deadline: Duration) -> Self {
        self.caller.within(deadline).into()
    }

    pub async fn create_product(
        &self,
        key: &str,
        wanted: v1::CreateProductRequest,
    ) -> Result<v1::CreateProductResponse, Status> {
        let request = self.request(key, wanted);
        let answer = self.grpc.clone().create_product(request).await;
        answer.map(Response::into_inner)
    }

    /// The id of a new product.
    pub async fn product(&self, has_pin: bool) -> String {
        let created = self.create_product(&new_key(), wanted(has_pin)).await;
        created.unwrap().product.unwrap().product_id
    }

    pub async fn get_product(&self, product_id: &str) -> Result<v1::Product, Status> {
        let product_id = product_id.to_owned();
        let request = self.request("", v1::GetProductRequest { product_id });
        let found = self.grpc.clone().get_product(request).await?;
        Ok(found.into_inner().product.unwrap())
    }

    pub async fn list(&self, page_size: i32, page_token: &str) -> Result<v1::ListProductsResponse, Status> {
        let page = PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let request = self.request("", v1::ListProductsRequest { page: Some(page) });
        let answer = self.grpc.clone().list_products(request).await;
        answer.map(Response::into_inner)
    }

    pub async fn issue(&self, key: &str, product_id: &str) -> Result<v1::IssueCardResponse, Status> {
        let product_id = product_id.to_owned();
        let request = self.request(key, v1::IssueCardRequest { product_id });
        self.grpc
            .clone()
            .issue_card(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn activate(
        &self,
        key: &str,
        card_id: &str,
        amount: i64,
    ) -> Result<v1::ActivateCardResponse, Status> {
        self.activate_for(key, card_id, eur(amount)).await
    }

    pub async fn activate_for(
        &self,
        key: &str,
        card_id: &str,
        amount: Option<Money>,
    ) -> Result<v1::ActivateCardResponse, Status> {
        let card_id = card_id.to_owned();
        let request = self.request(key, v1::ActivateCardRequest { card_id, amount });
        let answer = self.grpc.clone().activate_card(request).await;
        answer.map(Response::into_inner)
    }

    /// A new card, not sold yet.
    pub async fn issued(&self, has_pin: bool) -> Held {
        let product = self.product(has_pin).await;
        let issued = self.issue(&new_key(), &product).await.unwrap();
        Held {
            id: issued.card.unwrap().card_id,
            account: String::new(),
            code: issued.code,
            pin: issued.pin,
        }
    }

    /// A new card that holds `amount`.
    pub async fn sold(&self, has_pin: bool, amount: i64) -> Held {
        let held = self.issued(has_pin).await;
        let activated = self.activate(&new_key(), &held.id, amount).await.unwrap();
        Held {
            account: activated.card.unwrap().account_id,
            ..held
        }
    }

    pub async fn authorize(&self, code: &str, pin: &str) -> Result<v1::AuthorizeRedemptionResponse, Status> {
        let wanted = v1::AuthorizeRedemptionRequest {
            code: code.to_owned(),
            pin: pin.to_owned(),
        };
        let request = self.request("", wanted);
        let answer = self.grpc.clone().authorize_redemption(request).await;
        answer.map(Response::into_inner)
    }

    pub async fn redeem(
        &self,
        key: &str,
        held: &Held,
        amount: i64,
    ) -> Result<v1::RedeemCardResponse, Status> {
        self.redeem_for(key, &held.code, &held.pin, eur(amount)).await
    }

    pub async fn redeem_for(
        &self,
        key: &str,
        code: &str,
        pin: &str,
        amount: Option<Money>,
    ) -> Result<v1::RedeemCardResponse, Status> {
        let wanted = v1::RedeemCardRequest {
            code: code.to_owned(),
            pin: pin.to_owned(),
            amount,
        };
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .redeem_card(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn get_card(&self, card_id: &str) -> Result<v1::GetCardResponse, Status> {
        let card_id = card_id.to_owned();
        let request = self.request("", v1::GetCardRequest { card_id });
        self.grpc
            .clone()
            .get_card(request)
            .await
            .map(Response::into_inner)
    }

    /// Where a card stands, and what it holds.
    pub async fn stands(&self, card_id: &str) -> (v1::CardState, i64) {
        let found = self.get_card(card_id).await.unwrap();
        (found.card.unwrap().state(), found.balance.unwrap().minor_units)
    }
}

pub fn money(minor_units: i64, asset: &str) -> Option<Money> {
    Some(Money {
        minor_units,
        asset_code: asset.to_owned(),
    })
}

pub fn eur(minor_units: i64) -> Option<Money> {
    money(minor_units, "EUR")
}

/// A product of cards of 10 and 50 EUR.
pub fn wanted(has_pin: bool) -> v1::CreateProductRequest {
    v1::CreateProductRequest {
        name: "Carte cadeau".to_owned(),
        currency_code: "EUR".to_owned(),
        denominations: vec![5_000, 1_000],
        has_pin,
    }
}

/// That it was refused, with this code and reason.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, why: &str) {
    let status = outcome.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, why),
        "{status:?}"
    );
}

/// That the state of things forbade it, with this reason.
#[track_caller]
pub fn forbidden<T: std::fmt::Debug>(outcome: Result<T, Status>, why: &str) {
    refused(outcome, Code::FailedPrecondition, why);
}

/// That a service that is called was away: told by ours, by its breaker, or by the caller's own patience.
#[track_caller]
pub fn away<T: std::fmt::Debug>(outcome: Result<T, Status>) {
    let status = outcome.unwrap_err();
    assert!(
        matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        ),
        "{status:?}"
    );
}
