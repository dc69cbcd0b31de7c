//! A ledger of one test: its database, its fleet's prefix on Kafka, and the services that run on them.

use std::time::Duration;

use lp_chassis::{
    Chassis, Service as _,
    serve::{Running, start},
};
use lp_config::{CallerAuth, Common, Kafka, LogFormat, Serve, Telemetry};
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{self, ledger_service_client::LedgerServiceClient},
};
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_test::{TestDatabase, servers};
use lp_types::{IdSource as _, MerchantId, SystemIds, time::Ambient};
use prost::Message;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use svc_ledger::{Service, config::Config};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Ground {
    pub database: TestDatabase,
    pub kafka: Kafka,
    /// The owner's session for what is asked often: to open one takes longer than to ask.
    owner: Mutex<PgConnection>,
}

impl Ground {
    /// Without events: the test itself holds the relays' lease, so that none of them leads, and rows stay in
    /// the outbox. A cluster does not like the topics of every test.
    pub async fn new() -> Self {
        Self::without_relay(TestDatabase::create("ledger", &Service::migrator()).await).await
    }

    /// As [`Ground::new`], with a database that was provisioned and migrated as a real one is, and not cloned.
    pub async fn provisioned() -> Self {
        let database = TestDatabase::empty("ledger").await;
        lp_pg::schema::migrate(&database.owner, &database.config, &Service::migrator())
            .await
            .unwrap();
        Self::without_relay(database).await
    }

    async fn without_relay(database: TestDatabase) -> Self {
        let mut owner = database.owner_session().await;
        run(
            &mut owner,
            "SELECT pg_advisory_lock(7206, hashtext(current_schema()))",
        )
        .await;
        Self {
            owner: Mutex::new(owner),
            database,
            kafka: servers::kafka(),
        }
    }

    /// With a relay that publishes, and the service's own topics.
    pub async fn with_events() -> Self {
        let kafka = servers::kafka();
        let owned = lp_contracts::topics::owned_by(Service::NAME).unwrap();
        let topics: Vec<_> = owned
            .iter()
            .map(|t| lp_kafka::topics::Topic {
                name: &t.name,
                partitions: t.partitions,
                retention_days: t.retention_days,
            })
            .collect();
        lp_kafka::topics::ensure(&kafka, &topics).await.unwrap();
        let database = TestDatabase::create("ledger", &Service::migrator()).await;
        Self {
            owner: Mutex::new(database.owner_session().await),
            database,
            kafka,
        }
    }

    pub async fn start(&self) -> Instance {
        self.start_with(|_| {}).await
    }

    pub async fn start_with(&self, change: impl FnOnce(&mut Common)) -> Instance {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let mut common = Common {
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
        };
        change(&mut common);
        let chassis = Chassis {
            database: Database::open(&common.database, Service::NAME).unwrap(),
            metrics: Metrics::new(),
            ambient: Ambient::system(),
        };
        lp_pg::schema::check(&chassis.database, &Service::migrator())
            .await
            .unwrap();
        let config = Config {
            common: common.clone(),
        };
        let app = Service::build(config, chassis.clone()).await.unwrap();
        let running = start(Service::NAME, &common, &chassis, app).await.unwrap();
        let grpc = Channel::from_shared(format!("http://{}", running.grpc))
            .unwrap()
            .connect_lazy();
        Instance {
            base: format!("http://{}", running.http),
            grpc: LedgerServiceClient::new(grpc),
            http: reqwest::Client::new(),
            metrics: chassis.metrics,
            running,
        }
    }

    pub async fn owner(&self) -> PgConnection {
        self.database.owner_session().await
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count)
            .fetch_one(&mut *self.owner.lock().await)
            .await
            .unwrap()
    }

    /// How much was written: transactions, entries, keys.
    pub async fn written(&self) -> [i64; 3] {
        let query = "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM ledger_entries),
                            (SELECT count(*) FROM idempotency_keys)";
        let (transactions, entries, keys) = sqlx::query_as(query)
            .fetch_one(&mut *self.owner.lock().await)
            .await
            .unwrap();
        [transactions, entries, keys]
    }

    /// Holds an account's row, so that no batch that touches it can go on.
    pub async fn hold(&self, account: &str) -> Hold {
        let mut session = self.owner().await;
        run(&mut session, "BEGIN").await;
        sqlx::query("SELECT FROM accounts WHERE account_id = $1 FOR UPDATE")
            .bind(uuid_of(account))
            .fetch_one(&mut session)
            .await
            .unwrap();
        Hold(session)
    }

    /// Waits until a session of the service waits for a lock, and returns its process id.
    pub async fn somebody_waits(&self) -> i32 {
        let mut session = self.admin().await;
        let mut found = None;
        until("a session waits for a lock", async || {
            found = sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'",
            )
            .bind(self.name())
            .fetch_optional(&mut session)
            .await
            .unwrap();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(servers::postgres_admin().expose())
            .await
            .unwrap()
    }

    pub fn name(&self) -> String {
        self.database.config.database_url.path().unwrap()
    }
}

pub struct Hold(PgConnection);

impl Hold {
    pub async fn run(&mut self, statement: &str) {
        run(&mut self.0, statement).await;
    }

    pub async fn commit(mut self) {
        run(&mut self.0, "COMMIT").await;
    }

    pub async fn release(mut self) {
        run(&mut self.0, "ROLLBACK").await;
    }
}

/// A service that runs in this process.
pub struct Instance {
    pub base: String,
    pub grpc: LedgerServiceClient<Channel>,
    pub http: reqwest::Client,
    pub metrics: Metrics,
    pub running: Running,
}

impl Instance {
    /// A new merchant's own till at this instance.
    pub fn merchant(&self) -> Client {
        self.client(MerchantId::from_uuid(SystemIds.uuid()))
    }

    pub fn client(&self, merchant: MerchantId) -> Client {
        Client {
            merchant,
            grpc: self.grpc.clone(),
            http: self.http.clone(),
            base: self.base.clone(),
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
    pub grpc: LedgerServiceClient<Channel>,
    pub http: reqwest::Client,
    pub base: String,
}

impl Client {
    /// A request of this merchant; an empty key is none.
    pub fn request<M>(&self, key: &str, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("localplus-merchant", self.merchant.to_string().parse().unwrap());
        headers.insert("localplus-actor", "till-7".parse().unwrap());
        if !key.is_empty() {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        request
    }

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

pub fn earn(account: &str, amount: i64) -> v1::EarnRequest {
    v1::EarnRequest {
        account_id: account.to_owned(),
        amount: points(amount),
        reference: String::new(),
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
    }
}

pub fn credit(account: &str, amount: Option<Money>) -> v1::NewEntry {
    v1::NewEntry {
        direction: v1::Direction::Credit.into(),
        ..debit(account, amount)
    }
}

pub fn new_key() -> String {
    servers::unique("key-")
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
