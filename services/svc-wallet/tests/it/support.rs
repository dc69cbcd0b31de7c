//! A wallet service of one test: its database, its prefixes on Kafka and Valkey, the ledger that it calls, and
//! the instances that run on them.

use std::time::Duration;

use lp_chassis::{
    Chassis, Service as _,
    serve::{Running, start},
};
use lp_config::{CallerAuth, Common, Kafka, LogFormat, Serve, Telemetry, Valkey};
use lp_contracts::{
    topics::{LEDGER_TRANSACTIONS, WALLET_BALANCE_UPDATED},
    wallet::v1::{self, wallet_service_client::WalletServiceClient},
};
use lp_kafka::topics::Topic;
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_test::{TestDatabase, servers};
use lp_types::{IdSource as _, MerchantId, SystemIds, time::Ambient};
use prost::Message;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use svc_wallet::{Service, config::Config};
use tonic::{Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::ledger::Ledger;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Ground {
    pub database: TestDatabase,
    pub kafka: Kafka,
    pub valkey: Valkey,
    pub ledger: Ledger,
}

impl Ground {
    /// For tests without events: they make no topics, since a cluster does not like thousands of them.
    pub async fn new() -> Self {
        Self::with(Ledger::start().await).await
    }

    pub async fn with(ledger: Ledger) -> Self {
        Self {
            database: TestDatabase::create("wallet", &Service::migrator()).await,
            kafka: servers::kafka(),
            valkey: servers::valkey(),
            ledger,
        }
    }

    /// With topics of one partition, so that records come in the order in which a test publishes them.
    pub async fn with_topics() -> Self {
        let ground = Self::new().await;
        let topics = [LEDGER_TRANSACTIONS, WALLET_BALANCE_UPDATED];
        let topics = topics.map(|name| Topic {
            name,
            partitions: 1,
            retention_days: 1,
        });
        lp_kafka::topics::ensure(&ground.kafka, &topics).await.unwrap();
        ground
    }

    pub async fn start(&self) -> Instance {
        self.start_with(|_| {}).await
    }

    pub fn config(&self) -> Config {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        Config {
            common: Common {
                serve: Serve {
                    grpc_addr: anywhere,
                    http_addr: anywhere,
                    caller_auth: CallerAuth::TrustedHeaders,
                    max_in_flight: 2_048,
                    request_timeout_ms: 20_000,
                    drain_delay_ms: 0,
                    drain_timeout_ms: 10_000,
                },
                telemetry: Telemetry {
                    log_format: LogFormat::Json,
                    log_filter: "info".to_owned(),
                    otel_exporter_otlp_endpoint: None,
                },
                database: self.database.config.clone(),
                kafka: self.kafka.clone(),
            },
            valkey: self.valkey.clone(),
            svc_ledger_url: self.ledger.url(),
        }
    }

    pub async fn start_with(&self, change: impl FnOnce(&mut Config)) -> Instance {
        let mut config = self.config();
        change(&mut config);
        let chassis = Chassis {
            database: Database::open(&config.common.database, Service::NAME).unwrap(),
            metrics: Metrics::new(),
            ambient: Ambient::system(),
        };
        lp_pg::schema::check(&chassis.database, &Service::migrator())
            .await
            .unwrap();
        let common = config.common.clone();
        let app = Service::build(config, chassis.clone()).await.unwrap();
        let running = start(Service::NAME, &common, &chassis, app).await.unwrap();
        let grpc = Channel::from_shared(format!("http://{}", running.grpc))
            .unwrap()
            .connect_lazy();
        Instance {
            base: format!("http://{}", running.http),
            grpc: WalletServiceClient::new(grpc),
            http: reqwest::Client::new(),
            running,
        }
    }

    pub async fn owner(&self) -> PgConnection {
        self.database.owner_session().await
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count)
            .fetch_one(&mut self.owner().await)
            .await
            .unwrap()
    }

    /// Waits until a session of the service waits for another one.
    pub async fn somebody_waits_for_a_lock(&self) {
        let mut admin = PgConnection::connect(servers::postgres_admin().expose())
            .await
            .unwrap();
        let name = self.database.config.database_url.path().unwrap();
        until("a session waits for a lock", async || {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
            let waiting: i64 = sqlx::query_scalar(waiting)
                .bind(&name)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            waiting > 0
        })
        .await;
    }

    /// How much was written: customers, wallets, keys.
    pub async fn written(&self) -> [i64; 3] {
        [
            self.count("customers").await,
            self.count("wallets").await,
            self.count("idempotency_keys").await,
        ]
    }
}

/// A service that runs in this process.
pub struct Instance {
    pub base: String,
    pub grpc: WalletServiceClient<Channel>,
    pub http: reqwest::Client,
    pub running: Running,
}

impl Instance {
    /// A new merchant's own till at this instance.
    pub fn merchant(&self) -> Client {
        self.client(new_merchant())
    }

    pub fn client(&self, merchant: MerchantId) -> Client {
        Client {
            merchant,
            grpc: self.grpc.clone(),
            http: self.http.clone(),
            base: self.base.clone(),
            deadline: None,
        }
    }

    pub async fn stop(self) {
        self.running.stop();
        self.running.ended().await.unwrap();
    }
}

/// A merchant at one instance.
#[derive(Clone)]
pub struct Client {
    pub merchant: MerchantId,
    pub grpc: WalletServiceClient<Channel>,
    pub http: reqwest::Client,
    pub base: String,
    pub deadline: Option<Duration>,
}

impl Client {
    /// The same, with less patience.
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }

    /// A request of this merchant; an empty key is none.
    pub fn request<M>(&self, key: &str, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        let headers = request.metadata_mut();
        headers.insert("localplus-merchant", self.merchant.to_string().parse().unwrap());
        headers.insert("localplus-actor", "till-7".parse().unwrap());
        if !key.is_empty() {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        request
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

    /// A write over REST.
    pub async fn post(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        self.send(key, request).await
    }

    /// A read over REST.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("", self.http.get(format!("{}{path}", self.base))).await
    }

    pub async fn send(&self, key: &str, request: reqwest::RequestBuilder) -> (u16, Value) {
        let mut request = request
            .header("localplus-merchant", self.merchant.to_string())
            .header("localplus-actor", "till-7");
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
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

pub fn new_key() -> String {
    servers::unique("key-")
}

pub fn new_merchant() -> MerchantId {
    MerchantId::from_uuid(SystemIds.uuid())
}

/// The bytes of an answer, to compare two.
pub fn bytes<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// The documented reason of a refusal.
pub fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map_or_else(|| format!("undocumented: {status:?}"), |info| info.reason.clone())
}

/// The fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request().map(|bad| bad.field_violations.clone());
    bad.unwrap_or_default().into_iter().map(|v| v.field).collect()
}

/// The UUID in an id.
pub fn uuid_of(id: &str) -> uuid::Uuid {
    id.split_once('_').unwrap().1.parse().unwrap()
}

pub async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{statement}: {e}"));
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
