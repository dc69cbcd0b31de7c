//! A wallet service of one test: its database, its prefixes on Kafka and Valkey, the ledger that it calls, and
//! the instances that run on them.

use std::{ops::Deref, time::Duration};

use lp_contracts::{
    topics::{LEDGER_TRANSACTIONS, WALLET_BALANCE_UPDATED},
    wallet::v1::{self, wallet_service_client::WalletServiceClient},
};
use lp_test_service::Caller;
use serde_json::{Value, json};
use svc_wallet::{Service, config::Config};
use tonic::{Response, Status, transport::Channel};

use crate::ledger::Ledger;

pub use lp_test_service::{bytes, fields, new_key, new_merchant, reason, run, until, uuid_of};

pub type Instance = lp_test_service::Instance<Client>;

pub struct Ground {
    base: lp_test_service::Ground<Service>,
    pub ledger: Ledger,
}

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(Ledger::start().await).await
    }

    pub async fn with(ledger: Ledger) -> Self {
        Self {
            base: lp_test_service::Ground::new().await,
            ledger,
        }
    }

    pub async fn with_topics() -> Self {
        let topics = [LEDGER_TRANSACTIONS, WALLET_BALANCE_UPDATED];
        Self {
            base: lp_test_service::Ground::new().await.with_topics(topics).await,
            ledger: Ledger::start().await,
        }
    }

    pub fn config(&self) -> Config {
        Config {
            common: self.common(),
            client: self.client(),
            valkey: self.valkey.clone(),
            svc_ledger_url: self.ledger.url(),
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

    /// How much was written: customers, wallets, keys.
    pub async fn written(&self) -> [i64; 3] {
        self.counts(["customers", "wallets", "idempotency_keys"]).await
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: WalletServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: WalletServiceClient::new(caller.channel.clone()),
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

impl Client {
    /// The same, with less patience.
    pub fn within(&self, deadline: Duration) -> Self {
        self.caller.within(deadline).into()
    }

    pub async fn create(
        &self,
        key: &str,
        wanted: v1::CreateWalletRequest,
    ) -> Result<v1::CreateWalletResponse, Status> {
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .create_wallet(request)
            .await
            .map(Response::into_inner)
    }

    /// A new wallet of points of the customer `reference`.
    pub async fn open(&self, reference: &str) -> v1::Wallet {
        let created = self.create(&new_key(), wanted(reference)).await;
        created.unwrap().wallet.unwrap()
    }

    pub async fn wallet(&self, wallet_id: &str) -> Result<v1::Wallet, Status> {
        let wallet_id = wallet_id.to_owned();
        let request = self.request("", v1::GetWalletRequest { wallet_id });
        let found = self.grpc.clone().get_wallet(request).await?;
        Ok(found.into_inner().wallet.unwrap())
    }

    pub async fn balance(&self, wallet_id: &str) -> Result<v1::GetBalanceResponse, Status> {
        self.balance_at(wallet_id, "").await
    }

    pub async fn balance_at(&self, wallet_id: &str, token: &str) -> Result<v1::GetBalanceResponse, Status> {
        let wanted = v1::GetBalanceRequest {
            wallet_id: wallet_id.to_owned(),
            consistency_token: token.to_owned(),
        };
        let request = self.request("", wanted);
        self.grpc
            .clone()
            .get_balance(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn contact(&self, account_id: &str) -> Result<v1::GetContactResponse, Status> {
        let account_id = account_id.to_owned();
        let request = self.request("", v1::GetContactRequest { account_id });
        self.grpc
            .clone()
            .get_contact(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn list(&self, wanted: v1::ListWalletsRequest) -> Result<v1::ListWalletsResponse, Status> {
        let request = self.request("", wanted);
        self.grpc
            .clone()
            .list_wallets(request)
            .await
            .map(Response::into_inner)
    }

    /// Every wallet of the merchant, as far as one page holds them.
    pub async fn wallets(&self) -> Vec<v1::Wallet> {
        self.list(v1::ListWalletsRequest::default())
            .await
            .unwrap()
            .wallets
    }

    /// Waits until a read without token shows `sequence`, and gives it.
    pub async fn reaches(&self, wallet_id: &str, sequence: i64) -> v1::GetBalanceResponse {
        let mut found = v1::GetBalanceResponse::default();
        until(&format!("sequence {sequence}"), async || {
            found = self.balance(wallet_id).await.unwrap();
            found.sequence == sequence
        })
        .await;
        found
    }
}

pub const EMAIL: &str = "claire.martin@exemple.example";

pub fn contact(email: &str) -> v1::Contact {
    v1::Contact {
        email: email.to_owned(),
        language: "fr".to_owned(),
        messages_allowed: true,
    }
}

/// A wallet of points of the customer `reference`.
pub fn wanted(reference: &str) -> v1::CreateWalletRequest {
    v1::CreateWalletRequest {
        customer_reference: reference.to_owned(),
        asset_code: "PTS".to_owned(),
        contact: Some(contact(EMAIL)),
    }
}

/// The same as [`wanted`], as JSON.
pub fn wanted_json(reference: &str) -> Value {
    json!({
        "customerReference": reference,
        "assetCode": "PTS",
        "contact": {"email": EMAIL, "language": "fr", "messagesAllowed": true},
    })
}
