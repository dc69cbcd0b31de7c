//! A notification service of one test: its database, its fleet's prefix on Kafka, the ledger that publishes, the
//! wallet that it asks, the mail server, and the instances that run on them.

pub mod gate;
pub mod wallet;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use lp_chassis::{
    Chassis, Service as _,
    serve::{Running, start},
};
use lp_config::{CallerAuth, Common, Kafka, LogFormat, SecretUrl, Serve, Telemetry};
use lp_contracts::{
    ledger::v1::{AccountType, Direction, PostedEntry, TransactionKind, TransactionPosted},
    notification::v1::{self, notification_service_client::NotificationServiceClient},
    time::to_wire,
    topics::LEDGER_TRANSACTIONS,
};
use lp_kafka::{Leg, Record, TransactionalProducer, topics::Topic};
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_test::{TestDatabase, mail::Mail, servers, time::ManualClock};
use lp_types::{AccountId, IdSource as _, MerchantId, SystemIds, TransactionId, time::Ambient};
use prost::Message as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use svc_notification::{Service, config::Config};
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status, transport::Channel};
use url::Url;

use self::{gate::Gate, wallet::Wallet};

pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Ground {
    pub database: TestDatabase,
    pub kafka: Kafka,
    pub ambient: Ambient,
    pub wallet: Wallet,
    /// Between the service and svc-wallet.
    pub wallet_gate: Gate,
    /// Between the service and the mail server.
    pub mail_gate: Gate,
}

impl Ground {
    pub async fn new() -> Self {
        Self::with(Ambient::system()).await
    }

    /// With a clock that stands until the test moves it.
    pub async fn with_clock(clock: Arc<ManualClock>) -> Self {
        let ambient = Ambient {
            clock,
            ids: Arc::new(SystemIds),
        };
        Self::with(ambient).await
    }

    async fn with(ambient: Ambient) -> Self {
        let kafka = servers::kafka();
        // One partition, so that records come in the order in which a test publishes them.
        let topic = Topic {
            name: LEDGER_TRANSACTIONS,
            partitions: 1,
            retention_days: 1,
        };
        lp_kafka::topics::ensure(&kafka, &[topic]).await.unwrap();
        let wallet = Wallet::default();
        let wallet_gate = Gate::to(wallet.start().await).await;
        let smtp = Url::parse(servers::smtp_url().expose()).unwrap();
        let smtp = format!("{}:{}", smtp.host_str().unwrap(), smtp.port().unwrap());
        Self {
            database: TestDatabase::create("notification", &Service::migrator()).await,
            kafka,
            ambient,
            wallet,
            wallet_gate,
            mail_gate: Gate::to(smtp.parse().unwrap()).await,
        }
    }

    fn config(&self) -> Config {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let smtp_url: SecretUrl = format!("smtp://{}", self.mail_gate.address).parse().unwrap();
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
            svc_wallet_url: format!("http://{}", self.wallet_gate.address).parse().unwrap(),
            smtp_url,
            mail_from: "Local-Plus <points@localplus.example>".parse().unwrap(),
        }
    }

    pub async fn start(&self) -> Instance {
        let config = self.config();
        let chassis = Chassis {
            database: Database::open(&config.common.database, Service::NAME).unwrap(),
            metrics: Metrics::new(),
            ambient: self.ambient.clone(),
        };
        lp_pg::schema::check(&chassis.database, &Service::migrator())
            .await
            .unwrap();
        let common = config.common.clone();
        let app = Service::build(config, chassis.clone()).await.unwrap();
        let running = start(Service::NAME, &common, &chassis, app).await.unwrap();
        Instance {
            metrics: chassis.metrics,
            running,
        }
    }

    /// Starts an instance that can be killed.
    pub async fn start_mortal(&self) -> Mortal {
        let runtime = Runtime::new().unwrap();
        let ground = self.clone();
        let instance = runtime.spawn(async move { ground.start().await }).await.unwrap();
        Mortal {
            runtime,
            _instance: instance,
        }
    }

    /// Publishes as svc-ledger does.
    pub async fn publish(&self, records: Vec<Record>) {
        let mut producer = TransactionalProducer::start(&self.kafka, "svc-ledger-relay")
            .await
            .unwrap();
        producer.publish(records).await.unwrap();
    }

    /// A customer of a new merchant, whom svc-wallet knows.
    pub fn customer(&self, language: &str) -> Customer {
        let customer = Customer {
            merchant: MerchantId::from_uuid(SystemIds.uuid()),
            account: AccountId::from_uuid(SystemIds.uuid()),
            email: format!("{}@example.com", servers::unique("marie.")),
        };
        self.wallet.knows(&customer, language, true);
        customer
    }

    /// Rows of all merchants.
    pub async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM notifications")
            .fetch_one(&mut self.owner().await)
            .await
            .unwrap()
    }

    /// How many attempts the merchant's one notification has behind it; 0 while one is under way.
    pub async fn attempts_ended(&self, merchant: MerchantId) -> i32 {
        sqlx::query_scalar(
            "SELECT attempts FROM notifications WHERE merchant_id = $1 AND leased_until IS NULL",
        )
        .bind(merchant.uuid())
        .fetch_optional(&mut self.owner().await)
        .await
        .unwrap()
        .unwrap_or_default()
    }

    pub async fn run(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement)
            .execute(&mut self.owner().await)
            .await
            .unwrap();
    }

    async fn owner(&self) -> PgConnection {
        self.database.owner_session().await
    }
}

/// An instance on a runtime of its own.
pub struct Mortal {
    runtime: Runtime,
    _instance: Instance,
}

impl Mortal {
    /// Ends everything where it stands, as a crash does.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// A service that runs in this process.
pub struct Instance {
    pub metrics: Metrics,
    running: Running,
}

impl Instance {
    pub fn client(&self, merchant: MerchantId) -> Client {
        let grpc = Channel::from_shared(format!("http://{}", self.running.grpc))
            .unwrap()
            .connect_lazy();
        Client {
            merchant,
            grpc: NotificationServiceClient::new(grpc),
            base: format!("http://{}", self.running.http),
        }
    }

    pub fn measured(&self, line: &str) -> bool {
        self.metrics
            .render()
            .unwrap()
            .lines()
            .any(|l| l.starts_with(line))
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
    pub grpc: NotificationServiceClient<Channel>,
    pub base: String,
}

impl Client {
    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("localplus-merchant", self.merchant.to_string().parse().unwrap());
        headers.insert("localplus-actor", "till-7".parse().unwrap());
        request
    }

    pub async fn notification(&self, id: &str) -> Result<v1::Notification, Status> {
        let request = self.request(v1::GetNotificationRequest {
            notification_id: id.to_owned(),
        });
        let found = self.grpc.clone().get_notification(request).await?;
        Ok(found.into_inner().notification.unwrap())
    }

    pub async fn list(
        &self,
        wanted: v1::ListNotificationsRequest,
    ) -> Result<v1::ListNotificationsResponse, Status> {
        let request = self.request(wanted);
        self.grpc
            .clone()
            .list_notifications(request)
            .await
            .map(Response::into_inner)
    }

    /// A read over REST.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let request = reqwest::Client::new()
            .get(format!("{}{path}", self.base))
            .header("localplus-merchant", self.merchant.to_string())
            .header("localplus-actor", "till-7");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until the merchant's newest notification is as `expected`, and gives it.
    pub async fn newest(&self, what: &str, expected: impl Fn(&v1::Notification) -> bool) -> v1::Notification {
        let mut newest = None;
        until(what, async || {
            newest = self
                .list(v1::ListNotificationsRequest::default())
                .await
                .unwrap()
                .notifications
                .into_iter()
                .next();
            newest.as_ref().is_some_and(&expected)
        })
        .await;
        newest.unwrap()
    }
}

/// A customer and where their points stand.
#[derive(Debug, Clone)]
pub struct Customer {
    pub merchant: MerchantId,
    pub account: AccountId,
    pub email: String,
}

impl Customer {
    pub fn earns(&self, amount: i64, balance_after: i64) -> Record {
        self.record(TransactionKind::Earn, amount, balance_after)
    }

    pub fn burns(&self, amount: i64, balance_after: i64) -> Record {
        self.record(TransactionKind::Burn, amount, balance_after)
    }

    /// The record of a new transaction between this customer and the merchant.
    pub fn record(&self, kind: TransactionKind, amount: i64, balance_after: i64) -> Record {
        let transaction = TransactionId::from_uuid(SystemIds.uuid());
        let occurred_at = Ambient::system().clock.now();
        let entry = |account: AccountId, account_type: AccountType, direction: Direction, balance_after| {
            PostedEntry {
                account_id: account.to_string(),
                account_type: account_type.into(),
                direction: direction.into(),
                minor_units: amount,
                asset_code: "PTS".to_owned(),
                asset_exponent: 0,
                account_sequence: 1,
                balance_after,
            }
        };
        let other = AccountId::from_uuid(SystemIds.uuid());
        let posted = TransactionPosted {
            transaction_id: transaction.to_string(),
            merchant_id: self.merchant.to_string(),
            kind: kind.into(),
            posted_at: Some(to_wire(occurred_at)),
            epoch: 1,
            entries: vec![
                entry(other, AccountType::Issuance, Direction::Debit, 9_999_999),
                entry(
                    self.account,
                    AccountType::Customer,
                    Direction::Credit,
                    balance_after,
                ),
            ],
        };
        Record {
            topic: LEDGER_TRANSACTIONS.to_owned(),
            key: self.account.to_string(),
            id: format!("{transaction}:{}", self.account),
            event_type: "localplus.ledger.v1.TransactionPosted".to_owned(),
            source: "svc-ledger".to_owned(),
            merchant: self.merchant,
            occurred_at,
            traceparent: None,
            leg: Leg { index: 1, count: 1 },
            payload: posted.encode_to_vec().into(),
        }
    }

    /// Every mail to them so far.
    pub async fn mails(&self) -> Vec<Mail> {
        lp_test::mail::received(&servers::mail_api_url(), &self.email).await
    }

    /// Waits for their mails.
    pub async fn gets(&self, count: usize) -> Vec<Mail> {
        lp_test::mail::wait_for(&servers::mail_api_url(), &self.email, count).await
    }
}

pub fn now() -> Timestamp {
    Ambient::system().clock.now()
}

pub fn list_of(account: &str, status: v1::NotificationStatus) -> v1::ListNotificationsRequest {
    v1::ListNotificationsRequest {
        account_id: account.to_owned(),
        status: status.into(),
        page: None,
    }
}

/// Waits until `ready`.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
