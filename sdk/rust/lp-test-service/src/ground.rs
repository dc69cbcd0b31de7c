//! What a service stands on in a test.

use std::{fmt, marker::PhantomData, sync::Arc};

use lp_chassis::{Chassis, Service, serve};
use lp_config::{Client, Common, Database, Kafka, LogFormat, Serve, Telemetry, Valkey};
use lp_kafka::{Record, TransactionalProducer, topics::Topic};
use lp_telemetry::Metrics;
use lp_test::{TestDatabase, servers};
use lp_types::{Clock, time::Ambient};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{runtime::Runtime, sync::Mutex};

use crate::{Caller, Instance, Mortal, issuer, run, until};

/// The database of one test, with the schema of `S`, and its prefixes on Kafka and Valkey. Clones share them.
pub struct Ground<S> {
    /// Its database.
    pub database: TestDatabase,
    /// Kafka, with its prefix.
    pub kafka: Kafka,
    /// Valkey, with its prefix.
    pub valkey: Valkey,
    /// The clock and the source of ids of what is started on it.
    pub ambient: Ambient,
    /// The owner's session for what is asked often: to open one takes longer than to ask.
    owner: Arc<Mutex<Option<PgConnection>>>,
    /// Holds the relays' lock, as long as the ground stands.
    relays: Arc<Mutex<Option<PgConnection>>>,
    service: PhantomData<fn() -> S>,
}

/// The settings that every service has, with any free ports and this process' issuer.
pub fn settings(database: Database, kafka: Kafka) -> Common {
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    Common {
        serve: Serve {
            grpc_addr: anywhere,
            http_addr: anywhere,
            tls_cert: None,
            tls_key: None,
            max_in_flight: 2_048,
            request_timeout_ms: 20_000,
            drain_delay_ms: 0,
            drain_timeout_ms: 10_000,
        },
        auth: issuer::auth(),
        telemetry: Telemetry {
            log_format: LogFormat::Json,
            log_filter: "info".to_owned(),
            otel_exporter_otlp_endpoint: None,
            localplus_release: "dev".to_owned(),
        },
        database,
        kafka,
    }
}

/// A service's name without `svc-`, which is its schema.
fn schema<S: Service>() -> &'static str {
    S::NAME.strip_prefix("svc-").unwrap_or(S::NAME)
}

impl<S: Service> Ground<S> {
    /// A database of its own. There are no topics yet: a cluster does not like those of every test.
    pub async fn new() -> Self {
        Self::on(TestDatabase::create(schema::<S>(), &S::migrator()).await)
    }

    /// As [`Ground::new`], with a database that was provisioned and migrated as a real one is, and not cloned.
    pub async fn provisioned() -> Self {
        let database = TestDatabase::empty(schema::<S>()).await;
        lp_pg::schema::migrate(&database.owner, &database.config, &S::migrator())
            .await
            .expect("migrations apply");
        Self::on(database)
    }

    fn on(database: TestDatabase) -> Self {
        Self {
            database,
            kafka: servers::kafka(),
            valkey: servers::valkey(),
            ambient: Ambient::system(),
            owner: Arc::default(),
            relays: Arc::default(),
            service: PhantomData,
        }
    }

    /// With a clock that the test moves.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.ambient.clock = clock;
        self
    }

    /// With these topics, of one partition each, so that records come in the order in which they are published.
    pub async fn with_topics<const N: usize>(self, names: [&str; N]) -> Self {
        let one = |name| Topic {
            name,
            partitions: 1,
            retention_days: 1,
        };
        self.make(&names.map(one)).await;
        self
    }

    /// With the service's own topics, as `migrate` makes them.
    pub async fn with_own_topics(self) -> Self {
        let owned = lp_contracts::topics::owned_by(S::NAME).expect("topics");
        let topics: Vec<_> = owned
            .iter()
            .map(|topic| Topic {
                name: &topic.name,
                partitions: topic.partitions,
                retention_days: topic.retention_days,
            })
            .collect();
        self.make(&topics).await;
        self
    }

    async fn make(&self, topics: &[Topic<'_>]) {
        lp_kafka::topics::ensure(&self.kafka, topics)
            .await
            .expect("topics");
    }

    /// Without events: the test itself holds the relays' lock, so that none of them leads, and rows stay in the
    /// outbox.
    pub async fn without_relay(self) -> Self {
        let mut session = self.owner().await;
        run(
            &mut session,
            "SELECT pg_advisory_lock(7206, hashtext(current_schema()))",
        )
        .await;
        *self.relays.lock().await = Some(session);
        self
    }

    /// The settings that every service has.
    pub fn common(&self) -> Common {
        settings(self.database.config.clone(), self.kafka.clone())
    }

    /// How the service gets its own token, which has every scope.
    pub fn client(&self) -> Client {
        issuer::client(S::NAME)
    }

    /// Starts the service with `config`; several instances may run at once.
    pub async fn start<C: From<Caller>>(&self, config: S::Config) -> Instance<C> {
        let common = S::common(&config).clone();
        let chassis =
            Chassis::open(S::NAME, &common, Metrics::new(), self.ambient.clone()).expect("a valid URL");
        lp_pg::schema::check(&chassis.database, &S::migrator())
            .await
            .expect("the schema of this version");
        let app = S::build(config, chassis.clone()).await.expect("a service");
        let running = serve::start(S::NAME, &common, &chassis, app)
            .await
            .expect("free ports");
        Instance::of(running, chassis.metrics)
    }

    /// As [`Ground::start`], on a runtime of its own, so that the instance can be killed.
    pub async fn start_mortal<C: From<Caller> + 'static>(&self, config: S::Config) -> Mortal<C> {
        let runtime = Runtime::new().expect("a runtime");
        let ground = self.clone();
        let started = runtime.spawn(async move { ground.start(config).await });
        Mortal {
            instance: started.await.expect("a start"),
            runtime,
        }
    }

    /// Publishes as the relay of the service `from` does.
    pub async fn publish(&self, from: &str, records: Vec<Record>) {
        let mut producer = TransactionalProducer::start(&self.kafka, &format!("{from}-relay"))
            .await
            .expect("Kafka of the test stack answers");
        producer.publish(records).await.expect("published");
    }

    /// A session under the role that owns the schema.
    pub async fn owner(&self) -> PgConnection {
        self.database.owner_session().await
    }

    /// A session under the role that may do everything, in no database of ours.
    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(servers::postgres_admin().expose())
            .await
            .expect("PostgreSQL of the test stack answers")
    }

    /// The database's name.
    pub fn name(&self) -> String {
        self.database.config.database_url.path().expect("a database")
    }

    /// Rows of all merchants.
    pub async fn count(&self, table: &str) -> i64 {
        let mut owner = self.owner.lock().await;
        let session = match owner.as_mut() {
            Some(session) => session,
            None => owner.insert(self.database.owner_session().await),
        };
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(session)
            .await
            .unwrap_or_else(|e| panic!("{table}: {e}"))
    }

    /// Rows of each of `tables`.
    pub async fn counts<const N: usize>(&self, tables: [&str; N]) -> [i64; N] {
        let mut counts = [0; N];
        for (count, table) in counts.iter_mut().zip(tables) {
            *count = self.count(table).await;
        }
        counts
    }

    /// Begins a transaction under the owner's role and runs `statement` in it, for example one that locks a row.
    pub async fn hold(&self, statement: &str) -> Hold {
        let mut session = self.owner().await;
        run(&mut session, "BEGIN").await;
        run(&mut session, statement).await;
        Hold(session)
    }

    /// Waits until a session waits for a lock, and returns its process id.
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
            .expect("pg_stat_activity");
            found.is_some()
        })
        .await;
        found.expect("a process")
    }
}

impl<S> Clone for Ground<S> {
    fn clone(&self) -> Self {
        Self {
            database: self.database.clone(),
            kafka: self.kafka.clone(),
            valkey: self.valkey.clone(),
            ambient: self.ambient.clone(),
            owner: Arc::clone(&self.owner),
            relays: Arc::clone(&self.relays),
            service: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Ground<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// A transaction that a test holds open.
#[derive(Debug)]
pub struct Hold(PgConnection);

impl Hold {
    /// Runs `statement` in it.
    pub async fn run(&mut self, statement: &str) {
        run(&mut self.0, statement).await;
    }

    /// Commits it.
    pub async fn commit(mut self) {
        run(&mut self.0, "COMMIT").await;
    }

    /// Rolls it back.
    pub async fn release(mut self) {
        run(&mut self.0, "ROLLBACK").await;
    }
}
