//! The stub, served by the chassis.

use std::{ops::Deref, sync::Arc};

use lp_chassis::{
    App, Chassis,
    serve::{Running, start},
};
use lp_config::Common;
use lp_contracts::ledger::v1::{
    self,
    ledger_service_client::LedgerServiceClient,
    ledger_service_server::{LedgerServiceServer, SERVICE_NAME},
};
use lp_telemetry::Metrics;
use lp_test::{TestDatabase, servers};
use lp_test_service::Caller;
use lp_types::time::Ambient;
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, service::Routes, transport::Channel};

use crate::stub::Stub;

pub use lp_test_service::{PATIENCE, reason, until};

pub const MERCHANT: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b";

pub struct Instance {
    pub base: lp_test_service::Instance,
    pub till: Caller,
    pub go: Arc<Semaphore>,
    pub grpc: LedgerServiceClient<Channel>,
}

impl Deref for Instance {
    type Target = lp_test_service::Instance;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

pub async fn settings() -> Common {
    let database = TestDatabase::create("chassis", &lp_pg::schema::combine(&[])).await;
    let mut common = lp_test_service::settings(database.config, servers::kafka());
    common.serve.max_in_flight = 100;
    common
}

impl Instance {
    pub async fn start() -> Self {
        Self::start_with(|_| {}, |app| app).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Common), parts: impl FnOnce(App) -> App) -> Self {
        let mut common = settings().await;
        change(&mut common);
        let chassis = Chassis::open("svc-stub", &common, Metrics::new(), Ambient::system()).unwrap();
        let go = Arc::new(Semaphore::new(0));
        let stub = LedgerServiceServer::new(Stub { go: go.clone() });
        let app = parts(App::new(&chassis, &[SERVICE_NAME], Routes::new(stub)));
        let running = start("svc-stub", &common, &chassis, app).await.unwrap();
        let base = lp_test_service::Instance::of(running, chassis.metrics);
        Self {
            till: base.caller(MERCHANT.parse().unwrap()),
            grpc: LedgerServiceClient::new(base.channel.clone()),
            base,
            go,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.base)
    }

    /// A read of the till's.
    pub fn request(&self, account: &str) -> Request<v1::GetBalanceRequest> {
        self.till.request("", wanted(account))
    }

    pub async fn call(&self, account: &str) -> Result<v1::Balance, Status> {
        let answer = self.grpc.clone().get_balance(self.request(account)).await;
        answer.map(Response::into_inner).map(|r| r.balance.unwrap())
    }

    /// The same over REST.
    pub async fn get(&self, account: &str) -> (u16, Value) {
        self.till.get(&format!("/v1/accounts/{account}/balance")).await
    }

    /// The same in a task of its own.
    pub fn spawn(&self, account: &'static str) -> tokio::task::JoinHandle<Result<v1::Balance, Status>> {
        let (mut grpc, request) = (self.grpc.clone(), self.request(account));
        tokio::spawn(async move {
            let answer = grpc.get_balance(request).await;
            answer.map(Response::into_inner).map(|r| r.balance.unwrap())
        })
    }

    pub async fn under_way(&self, requests: usize) {
        let line = format!("rpc_in_flight{{}} {requests}\n");
        until(&line, async || self.measured(&line)).await;
    }

    /// A page of the platform's: status and text.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(self.url(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

pub fn channel(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.grpc))
        .unwrap()
        .connect_lazy()
}

pub fn wanted(account: &str) -> v1::GetBalanceRequest {
    v1::GetBalanceRequest {
        account_id: account.to_owned(),
        ..Default::default()
    }
}
