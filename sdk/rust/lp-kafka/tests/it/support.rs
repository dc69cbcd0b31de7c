//! A database and a fleet's prefix on Kafka for each test. Also used by the tests of lp-outbox.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use lp_config::{Kafka, SecretUrl, SslMode};
use lp_kafka::{Consumer, Event, HandleError, Handler, Leg, Record, topics, topics::Topic};
use lp_pg::{Database, UnitOfWork, database::connect_options};
use lp_telemetry::Metrics;
use lp_types::{IdSource, MerchantId, SystemIds, time::Ambient};
use sqlx::{AssertSqlSafe, Connection, PgConnection, migrate::Migrator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TOPIC: &str = "things.happened.v1";
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Ground {
    pub(crate) database: Database,
    pub(crate) kafka: Kafka,
    owner: SecretUrl,
    role: String,
}

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("no test servers: run `cargo xtask test`"))
}

impl Ground {
    /// A database with the migrations of `parts`, and [`TOPIC`] with three partitions.
    pub(crate) async fn new(parts: &[&Migrator]) -> Self {
        let admin: SecretUrl = server("LP_TEST_POSTGRES_URL").parse().unwrap();
        let name = format!("t{}", &SystemIds.uuid().simple().to_string()[12..]);
        let place = admin
            .expose()
            .split_once('@')
            .unwrap()
            .1
            .rsplit_once('/')
            .unwrap()
            .0
            .to_owned();
        let url = |role: &str| -> SecretUrl {
            format!("postgres://{role}:secret@{place}/{name}")
                .parse()
                .unwrap()
        };
        let (owner, role) = (url(&format!("{name}_owner")), format!("{name}_app"));
        let config = lp_config::Database {
            database_url: url(&role),
            database_direct_url: None,
            database_schema: "things".into(),
            database_ssl_mode: SslMode::Disable,
            database_max_connections: 8,
        };
        let owning = lp_config::Owner {
            migration_database_url: owner.clone(),
        };
        lp_pg::tenant::provision(
            &lp_config::Admin {
                admin_database_url: admin,
            },
            &owning,
            &config,
        )
        .await
        .unwrap();
        lp_pg::schema::migrate(&owning, &config, &lp_pg::schema::combine(parts))
            .await
            .unwrap();
        let kafka = Kafka {
            kafka_brokers: server("LP_TEST_KAFKA_BROKERS"),
            kafka_prefix: format!("{name}."),
            kafka_replication: 1,
        };
        let topic = Topic {
            name: TOPIC,
            partitions: 3,
            retention_days: 1,
        };
        topics::ensure(&kafka, &[topic]).await.unwrap();
        Self {
            database: Database::open(&config, &name).unwrap(),
            kafka,
            owner,
            role,
        }
    }

    /// With a table `effects` that keeps which events had an effect, in order.
    pub(crate) async fn with_effects(parts: &[&Migrator]) -> Self {
        let ground = Self::new(parts).await;
        let owner = connect_options(&ground.owner, SslMode::Disable).unwrap();
        let mut owner = PgConnection::connect_with(&owner).await.unwrap();
        let create = format!(
            "CREATE TABLE effects (position bigint GENERATED ALWAYS AS IDENTITY, id text);
             GRANT SELECT, INSERT ON effects TO \"{}\"",
            ground.role
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut owner)
            .await
            .unwrap();
        ground
    }

    /// The ids of events that had an effect, in order.
    pub(crate) async fn effects(&self) -> Vec<String> {
        let mut connection = self.database.acquire().await.unwrap();
        sqlx::query_scalar("SELECT id FROM effects ORDER BY position")
            .fetch_all(&mut *connection)
            .await
            .unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let mut connection = self.database.acquire().await.unwrap();
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count)
            .fetch_one(&mut *connection)
            .await
            .unwrap()
    }

    pub(crate) fn consume<H: Handler>(&self, name: &str, handler: H) -> Running {
        let (database, metrics) = (self.database.clone(), Metrics::new());
        let consumer = Consumer::new(
            &self.kafka,
            name,
            &[TOPIC],
            database,
            handler,
            &metrics,
            Ambient::system(),
        );
        Running::start(metrics, |cancel| consumer.run(cancel))
    }
}

/// A task that is cancelled and awaited, or killed.
pub(crate) struct Running {
    metrics: Metrics,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        metrics: Metrics,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run(cancel.clone()));
        Self {
            metrics,
            cancel,
            task,
        }
    }

    /// The value of a series, named as `name` or `name{label="value",…}` with its labels sorted.
    pub(crate) fn metric(&self, series: &str) -> Option<i64> {
        let text = self.metrics.render().unwrap();
        let value = |line: &str| {
            line.strip_prefix(series)?
                .trim_start_matches("{}")
                .trim()
                .parse()
                .ok()
        };
        text.lines().find_map(value)
    }

    pub(crate) async fn stop(&mut self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, &mut self.task)
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn kill(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }
}

/// Remembers what it saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn ids_of(&self, key: &str) -> Vec<String> {
        self.events()
            .iter()
            .filter(|e| e.key == key)
            .map(|e| e.id.clone())
            .collect()
    }
}

impl Handler for Seen {
    async fn handle(&self, _work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// Waits until `ready`.
pub(crate) async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn merchant() -> MerchantId {
    "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap()
}

pub(crate) fn record(id: &str, key: &str) -> Record {
    Record {
        topic: TOPIC.into(),
        key: key.into(),
        id: id.into(),
        event_type: "localplus.things.v1.ThingHappened".into(),
        source: "svc-thing".into(),
        merchant: merchant(),
        occurred_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        traceparent: None,
        leg: Leg { index: 1, count: 1 },
        payload: "payload".into(),
    }
}
