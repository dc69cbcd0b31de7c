//! A ledger of one test: its database, its fleet's prefix on Kafka, and the services that run on them.

use std::ops::Deref;

use lp_config::Common;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{self, ledger_service_client::LedgerServiceClient},
};
use lp_test_service::{Caller, Hold};
use svc_ledger::{Service, config::Config};
use tonic::{Response, Status, transport::Channel};

pub use lp_test_service::{PATIENCE, bytes, fields, new_key, new_merchant, reason, run, until, uuid_of};

pub type Instance = lp_test_service::Instance<Client>;

pub struct Ground(lp_test_service::Ground<Service>);

impl Deref for Ground {
    type Target = lp_test_service::Ground<Service>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Ground {
    /// Without events.
    pub async fn new() -> Self {
        Self(lp_test_service::Ground::new().await.without_relay().await)
    }

    /// As [`Ground::new`], with a database that was provisioned and migrated as a real one is, and not cloned.
    pub async fn provisioned() -> Self {
        let ground = lp_test_service::Ground::provisioned().await;
        Self(ground.without_relay().await)
    }

    /// With a relay that publishes, and the service's own topics.
    pub async fn with_events() -> Self {
        Self(lp_test_service::Ground::new().await.with_own_topics().await)
    }

    pub async fn start(&self) -> Instance {
        self.start_with(|_| {}).await
    }

    pub async fn start_with(&self, change: impl FnOnce(&mut Common)) -> Instance {
        let mut common = self.common();
        change(&mut common);
        self.0.start(Config { common }).await
    }

    /// How much was written: transactions, entries, keys.
    pub async fn written(&self) -> [i64; 3] {
        self.counts(["transactions", "ledger_entries", "idempotency_keys"])
            .await
    }

    /// Holds an account's row, so that no batch that touches it can go on.
    pub async fn hold(&self, account: &str) -> Hold {
        let account = uuid_of(account);
        self.0
            .hold(&format!(
                "SELECT FROM accounts WHERE account_id = '{account}' FOR UPDATE"
            ))
            .await
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    pub grpc: LedgerServiceClient<Channel>,
}

impl From<Caller> for Client {
    fn from(caller: Caller) -> Self {
        Self {
            grpc: LedgerServiceClient::new(caller.channel.clone()),
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
    pub async fn points(&self, code: &str) -> v1::Asset {
        self.asset(code, v1::AssetKind::Points, 0).await
    }

    pub async fn asset(&self, code: &str, kind: v1::AssetKind, exponent: i32) -> v1::Asset {
        let wanted = v1::CreateAssetRequest {
            code: code.to_owned(),
            kind: kind.into(),
            exponent,
        };
        let request = self.request(&new_key(), wanted);
        let created = self.grpc.clone().create_asset(request).await.unwrap();
        created.into_inner().asset.unwrap()
    }

    pub async fn open(&self, wanted: v1::CreateAccountRequest) -> String {
        let request = self.request(&new_key(), wanted);
        let opened = self.grpc.clone().create_account(request).await.unwrap();
        opened.into_inner().account.unwrap().account_id
    }

    pub async fn account(&self, asset: &str, account_type: v1::AccountType) -> String {
        self.open(v1::CreateAccountRequest {
            asset_code: asset.to_owned(),
            r#type: account_type.into(),
            ..Default::default()
        })
        .await
    }

    pub async fn customer(&self, asset: &str) -> String {
        self.account(asset, v1::AccountType::Customer).await
    }

    /// Points, and a customer's account with some.
    pub async fn customer_with(&self, amount: i64) -> String {
        self.points("PTS").await;
        let account = self.customer("PTS").await;
        self.earn(&new_key(), &account, amount).await.unwrap();
        account
    }

    pub async fn earn(&self, key: &str, account: &str, amount: i64) -> Result<v1::EarnResponse, Status> {
        let request = self.request(key, earn(account, amount));
        self.grpc.clone().earn(request).await.map(Response::into_inner)
    }

    pub async fn burn(&self, key: &str, account: &str, amount: i64) -> Result<v1::BurnResponse, Status> {
        let wanted = v1::BurnRequest {
            account_id: account.to_owned(),
            amount: points(amount),
            reference: String::new(),
            ..Default::default()
        };
        let request = self.request(key, wanted);
        self.grpc.clone().burn(request).await.map(Response::into_inner)
    }

    pub async fn transact(
        &self,
        key: &str,
        entries: Vec<v1::NewEntry>,
    ) -> Result<v1::CreateTransactionResponse, Status> {
        let wanted = v1::CreateTransactionRequest {
            entries,
            reference: String::new(),
            ..Default::default()
        };
        let request = self.request(key, wanted);
        self.grpc
            .clone()
            .create_transaction(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn balance(&self, account: &str) -> v1::Balance {
        let wanted = v1::GetBalanceRequest {
            account_id: account.to_owned(),
            ..Default::default()
        };
        let found = self
            .grpc
            .clone()
            .get_balance(self.request("", wanted))
            .await
            .unwrap();
        found.into_inner().balance.unwrap()
    }

    pub async fn units(&self, account: &str) -> i64 {
        self.balance(account).await.balance.unwrap().minor_units
    }
}

pub fn earn(account: &str, amount: i64) -> v1::EarnRequest {
    v1::EarnRequest {
        account_id: account.to_owned(),
        amount: points(amount),
        reference: String::new(),
        ..Default::default()
    }
}

pub fn points(amount: i64) -> Option<Money> {
    money(amount, "PTS")
}

pub fn money(minor_units: i64, asset: &str) -> Option<Money> {
    Some(Money {
        minor_units,
        asset_code: asset.to_owned(),
    })
}

pub fn debit(account: &str, amount: Option<Money>) -> v1::NewEntry {
    v1::NewEntry {
        account_id: account.to_owned(),
        direction: v1::Direction::Debit.into(),
        amount,
        ..Default::default()
    }
}

pub fn credit(account: &str, amount: Option<Money>) -> v1::NewEntry {
    v1::NewEntry {
        direction: v1::Direction::Credit.into(),
        ..debit(account, amount)
    }
}
