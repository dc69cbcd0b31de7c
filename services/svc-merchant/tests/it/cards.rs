//! A stand-in for svc-giftcard: a real gRPC server that knows which code and PIN open which account, and fails
//! when told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use lp_contracts::{
    common::v1::Money,
    giftcard::v1::{
        self, ErrorReason,
        gift_card_service_server::{GiftCardService, GiftCardServiceServer},
    },
};
use lp_error::{Code, Error};
use lp_types::{IdSource as _, SystemIds, ids::CardId};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use url::Url;

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Well,
    Unavailable,
    /// Not before the mode is another one.
    Hang,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub merchant: String,
    pub code: String,
    pub pin: String,
    pub account: String,
    pub asset: String,
}

#[derive(Debug, Default)]
struct State {
    /// By code.
    cards: BTreeMap<String, Card>,
    asked: usize,
}

#[derive(Debug, Clone)]
pub struct Cards {
    state: Arc<Mutex<State>>,
    mode: watch::Sender<Mode>,
    address: std::net::SocketAddr,
}

impl Cards {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cards = Self {
            state: Arc::default(),
            mode: watch::Sender::default(),
            address: listener.local_addr().unwrap(),
        };
        let server =
            tonic::transport::Server::builder().add_service(GiftCardServiceServer::new(cards.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        cards
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn add(&self, card: Card) {
        self.state.lock().unwrap().cards.insert(card.code.clone(), card);
    }

    /// From now on no code opens anything.
    pub fn forget(&self) {
        self.state.lock().unwrap().cards.clear();
    }

    /// How often somebody asked.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

#[tonic::async_trait]
impl GiftCardService for Cards {
    async fn authorize_redemption(
        &self,
        request: Request<v1::AuthorizeRedemptionRequest>,
    ) -> Result<Response<v1::AuthorizeRedemptionResponse>, Status> {
        self.state.lock().unwrap().asked += 1;
        let mut mode = self.mode.subscribe();
        if *mode.wait_for(|mode| *mode != Mode::Hang).await.unwrap() == Mode::Unavailable {
            return Err(Status::unavailable("svc-giftcard is away"));
        }
        let merchant = request.metadata().get("localplus-merchant").unwrap();
        let merchant = merchant.to_str().unwrap().to_owned();
        let v1::AuthorizeRedemptionRequest { code, pin } = request.into_inner();
        let card = self.state.lock().unwrap().cards.get(&code).cloned();
        let card = card.filter(|card| card.merchant == merchant && card.pin == pin);
        let refused = || {
            let reason = ErrorReason::CardRefused.reason();
            Error::new(Code::FailedPrecondition, "giftcard.localplus", reason, "no")
        };
        let card = card.ok_or_else(refused)?;
        Ok(Response::new(v1::AuthorizeRedemptionResponse {
            card_id: CardId::from_uuid(SystemIds.uuid()).to_string(),
            account_id: card.account,
            balance: Some(Money {
                minor_units: 0,
                asset_code: card.asset,
            }),
        }))
    }

    async fn create_product(
        &self,
        _: Request<v1::CreateProductRequest>,
    ) -> Result<Response<v1::CreateProductResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_product(
        &self,
        _: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_products(
        &self,
        _: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn issue_card(
        &self,
        _: Request<v1::IssueCardRequest>,
    ) -> Result<Response<v1::IssueCardResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn activate_card(
        &self,
        _: Request<v1::ActivateCardRequest>,
    ) -> Result<Response<v1::ActivateCardResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn redeem_card(
        &self,
        _: Request<v1::RedeemCardRequest>,
    ) -> Result<Response<v1::RedeemCardResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_card(
        &self,
        _: Request<v1::GetCardRequest>,
    ) -> Result<Response<v1::GetCardResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
