//! The stub, served by the chassis.

use std::{sync::Arc, time::Duration};

use lp_chassis::{
    App, Chassis,
    serve::{Running, start},
};
use lp_config::{CallerAuth, Common, Kafka, LogFormat, Serve, Telemetry};
use lp_contracts::ledger::v1::{
    self,
    ledger_service_client::LedgerServiceClient,
    ledger_service_server::{LedgerServiceServer, SERVICE_NAME},
};
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_test::TestDatabase;
use lp_types::time::Ambient;
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, service::Routes, transport::Channel};
use tonic_types::StatusExt as _;

use crate::stub::Stub;

pub const PATIENCE: Duration = Duration::from_secs(30);
pub const MERCHANT: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b";

pub struct Instance {
    pub running: Running,
    pub go: Arc<Semaphore>,
    pub grpc: LedgerServiceClient<Channel>,
    pub http: reqwest::Client,
    pub metrics: Metrics,
}

pub async fn settings() -> Common {
    let database = TestDatabase::create("chassis", &lp_pg::schema::combine(&[])).await;
    let anywhere = "127.0.0.1:0".parse().unwrap();
    Common {
        serve: Serve {
            grpc_addr: anywhere,
            http_addr: anywhere,
            caller_auth: CallerAuth::TrustedHeaders,
            max_in_flight: 100,
            request_timeout_ms: 20_000,
            drain_delay_ms: 0,
            drain_timeout_ms: 20_000,
        },
        telemetry: Telemetry {
            log_format: LogFormat::Json,
            log_filter: "info".to_owned(),
            otel_exporter_otlp_endpoint: None,
        },
        database: database.config,
        kafka: Kafka {
            // The chassis itself needs none.
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_prefix: String::new(),
            kafka_replication: 1,
        },
    }
}

impl Instance {
    pub async fn start() -> Self {
        Self::start_with(|_| {}, |app| app).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Common), parts: impl FnOnce(App) -> App) -> Self {
        let mut common = settings().await;
        change(&mut common);
        let chassis = Chassis {
            database: Database::open(&common.database, "chassis").unwrap(),
            metrics: Metrics::new(),
            ambient: Ambient::system(),
        };
        let go = Arc::new(Semaphore::new(0));
        let stub = LedgerServiceServer::new(Stub { go: go.clone() });
        let app = parts(App::new(&chassis, &[SERVICE_NAME], Routes::new(stub)));
        let running = start("svc-stub", &common, &chassis, app).await.unwrap();
        Self {
            grpc: LedgerServiceClient::new(channel(&running)),
            running,
            go,
            http: reqwest::Client::new(),
            metrics: chassis.metrics,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    pub async fn call(&self, account: &str) -> Result<v1::Balance, Status> {
        let answer = self.grpc.clone().get_balance(request(account)).await;
        answer.map(Response::into_inner).map(|r| r.balance.unwrap())
    }

    /// The same over REST.
    pub async fn get(&self, account: &str) -> (u16, Value) {
        let request = self
            .http
            .get(self.url(&format!("/v1/accounts/{account}/balance")));
        let answer = request
            .header("localplus-merchant", MERCHANT)
            .header("localplus-actor", "till-7")
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The same in a task of its own.
    pub fn spawn(&self, account: &'static str) -> tokio::task::JoinHandle<Result<v1::Balance, Status>> {
        let mut grpc = self.grpc.clone();
        tokio::spawn(async move {
            let answer = grpc.get_balance(request(account)).await;
            answer.map(Response::into_inner).map(|r| r.balance.unwrap())
        })
    }

    pub fn measured(&self, line: &str) -> bool {
        self.metrics.render().unwrap().contains(line)
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

pub fn request(account: &str) -> Request<v1::GetBalanceRequest> {
    let mut request = Request::new(v1::GetBalanceRequest {
        account_id: account.to_owned(),
    });
    let headers = request.metadata_mut();
    headers.insert("localplus-merchant", MERCHANT.parse().unwrap());
    headers.insert("localplus-actor", "till-7".parse().unwrap());
    request
}

pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(|| format!("undocumented: {status:?}"), |info| info.reason.clone())
}

/// Waits until `ready`.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
