//! A stand-in for svc-merchant: every merchant trades in EUR until a test says otherwise.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use lp_contracts::merchant::v1::{
    self, ErrorReason, MerchantState,
    merchant_service_server::{MerchantService, MerchantServiceServer},
};
use lp_error::{Code, Error};
use lp_types::{AccountId, IdSource as _, MerchantId, SystemIds};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use url::Url;

/// What it says of a merchant.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub state: MerchantState,
    /// None before the first activation.
    pub accounts: Option<v1::MerchantAccounts>,
}

#[derive(Debug, Default)]
struct Known {
    merchants: BTreeMap<String, Option<Standing>>,
    away: bool,
    asked: usize,
}

#[derive(Debug, Clone)]
pub struct Merchants {
    known: Arc<Mutex<Known>>,
    address: std::net::SocketAddr,
}

fn account() -> String {
    AccountId::from_uuid(SystemIds.uuid()).to_string()
}

fn active() -> Standing {
    let accounts = v1::MerchantAccounts {
        external_account_id: account(),
        sales_account_id: account(),
        ..v1::MerchantAccounts::default()
    };
    Standing {
        state: MerchantState::Active,
        accounts: Some(accounts),
    }
}

impl Merchants {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let merchants = Self {
            known: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let service = MerchantServiceServer::new(merchants.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        merchants
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub fn set_away(&self, away: bool) {
        self.known().away = away;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.known().asked
    }

    /// The accounts of a merchant who trades.
    pub fn accounts(&self, merchant: MerchantId) -> v1::MerchantAccounts {
        self.standing(merchant).unwrap().accounts.unwrap()
    }

    fn standing(&self, merchant: MerchantId) -> Option<Standing> {
        let mut known = self.known();
        let standing = known.merchants.entry(merchant.to_string());
        standing.or_insert_with(|| Some(active())).clone()
    }

    pub fn set_accounts(&self, merchant: MerchantId, external: &str, sales: &str) {
        let accounts = v1::MerchantAccounts {
            external_account_id: external.to_owned(),
            sales_account_id: sales.to_owned(),
            ..v1::MerchantAccounts::default()
        };
        let standing = Standing {
            state: MerchantState::Active,
            accounts: Some(accounts),
        };
        self.known()
            .merchants
            .insert(merchant.to_string(), Some(standing));
    }

    /// Its accounts stay, as they do in life.
    pub fn set_state(&self, merchant: MerchantId, state: MerchantState) {
        let accounts = self.standing(merchant).and_then(|standing| standing.accounts);
        let standing = Standing { state, accounts };
        self.known()
            .merchants
            .insert(merchant.to_string(), Some(standing));
    }

    /// It has applied, and was never activated.
    pub fn never_activated(&self, merchant: MerchantId) {
        let standing = Standing {
            state: MerchantState::Approved,
            accounts: None,
        };
        self.known()
            .merchants
            .insert(merchant.to_string(), Some(standing));
    }

    pub fn forget(&self, merchant: MerchantId) {
        self.known().merchants.insert(merchant.to_string(), None);
    }
}

#[tonic::async_trait]
impl MerchantService for Merchants {
    async fn get_merchant(
        &self,
        request: Request<v1::GetMerchantRequest>,
    ) -> Result<Response<v1::GetMerchantResponse>, Status> {
        let merchant = request
            .metadata()
            .get("localplus-merchant")
            .unwrap()
            .to_str()
            .unwrap();
        let merchant: MerchantId = merchant.parse().unwrap();
        {
            let mut known = self.known();
            known.asked += 1;
            if known.away {
                return Err(Status::unavailable("svc-merchant is away"));
            }
        }
        let Some(standing) = self.standing(merchant) else {
            let reason = ErrorReason::UnknownMerchant.reason();
            return Err(Error::new(Code::NotFound, "merchant.localplus", reason, "no").into());
        };
        let merchant = v1::Merchant {
            merchant_id: merchant.to_string(),
            state: standing.state.into(),
            currency_code: "EUR".to_owned(),
            accounts: standing.accounts,
            ..v1::Merchant::default()
        };
        Ok(Response::new(v1::GetMerchantResponse {
            merchant: Some(merchant),
        }))
    }

    async fn apply_merchant(
        &self,
        _: Request<v1::ApplyMerchantRequest>,
    ) -> Result<Response<v1::ApplyMerchantResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn change_merchant_state(
        &self,
        _: Request<v1::ChangeMerchantStateRequest>,
    ) -> Result<Response<v1::ChangeMerchantStateResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_merchant_events(
        &self,
        _: Request<v1::ListMerchantEventsRequest>,
    ) -> Result<Response<v1::ListMerchantEventsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn publish_program(
        &self,
        _: Request<v1::PublishProgramRequest>,
    ) -> Result<Response<v1::PublishProgramResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_program(
        &self,
        _: Request<v1::GetProgramRequest>,
    ) -> Result<Response<v1::GetProgramResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn submit_purchase(
        &self,
        _: Request<v1::SubmitPurchaseRequest>,
    ) -> Result<Response<v1::SubmitPurchaseResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_purchase(
        &self,
        _: Request<v1::GetPurchaseRequest>,
    ) -> Result<Response<v1::GetPurchaseResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
