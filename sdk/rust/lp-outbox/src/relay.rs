//! Publishing what the outbox holds.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use lp_config::Kafka;
use lp_kafka::{KafkaError, TransactionalProducer};
use lp_pg::{Database, PgError};
use lp_telemetry::{Counter, Gauge, Histogram, Metrics, SECONDS};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::batch::{self, Batch};

/// How often the outbox is read when nobody wakes the relay, and the lease is tried for.
const POLL: Duration = Duration::from_millis(500);
/// How often the backlog is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// Longest wait for an answer of PostgreSQL: a connection that is silent is lost, and the lease with it.
const ANSWER: Duration = Duration::from_secs(10);

/// Wakes the relay of this process. To be called after a commit that appended events.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There are new rows.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Publishes what the outbox of one schema holds. Each replica of a service runs one; one of them works.
///
/// ```no_run
/// # async fn example(
/// #     config: lp_config::Kafka, database: lp_pg::Database, metrics: lp_telemetry::Metrics,
/// #     cancel: tokio_util::sync::CancellationToken,
/// # ) {
/// let relay = lp_outbox::Relay::new(database, config, "svc-ledger", &metrics);
/// let wake = relay.handle();
/// tokio::spawn(relay.run(cancel));
/// // after each commit that appended:
/// wake.wake();
/// # }
/// ```
#[derive(Debug)]
pub struct Relay {
    database: Database,
    kafka: Kafka,
    service: String,
    wake: Wake,
    measures: Measures,
}

#[derive(Debug)]
struct Measures {
    rows: Gauge,
    oldest: Gauge,
    leader: Gauge,
    published: Counter,
    failures: Counter,
    publish: Histogram,
}

impl Measures {
    fn new(metrics: &Metrics) -> Self {
        Self {
            rows: metrics.gauge("outbox_rows", "Rows that are not published, counted up to 10,000"),
            oldest: metrics.gauge(
                "outbox_oldest_seconds",
                "Age of the oldest row that is not published",
            ),
            leader: metrics.gauge("outbox_relay_leader", "1 where the relay holds the lease"),
            published: metrics.counter("outbox_published_total", "Records published"),
            failures: metrics.counter(
                "outbox_failures_total",
                "Failures after which the relay began anew",
            ),
            publish: metrics.histogram("outbox_publish_seconds", "Time of one Kafka transaction", SECONDS),
        }
    }
}

/// Why a relay begins anew.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] PgError),
    #[error("PostgreSQL did not answer in time")]
    Silent,
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// Ends a wait for PostgreSQL that does not end.
async fn answered<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    Ok(tokio::time::timeout(ANSWER, answer)
        .await
        .map_err(|_elapsed| Failure::Silent)??)
}

impl Relay {
    /// A relay that does nothing yet. `service` is the source that its records name.
    pub fn new(database: Database, kafka: Kafka, service: &str, metrics: &Metrics) -> Self {
        Self {
            database,
            kafka,
            service: service.to_owned(),
            wake: Wake::default(),
            measures: Measures::new(metrics),
        }
    }

    /// What wakes it.
    pub fn handle(&self) -> Wake {
        self.wake.clone()
    }

    /// Publishes until it is cancelled; then the batch under way is finished. While PostgreSQL or Kafka is away
    /// it keeps trying, at least every 5 seconds.
    pub async fn run(self, cancel: CancellationToken) {
        let measure = cancel.run_until_cancelled(self.measure());
        tokio::join!(self.publish_always(&cancel), measure);
    }

    async fn publish_always(&self, cancel: &CancellationToken) {
        let delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            // The jitter adds up to as much again.
            .with_max_delay(Duration::from_millis(2_500))
            .with_jitter()
            .without_max_times();
        let mut delay = delays.build();
        while !cancel.is_cancelled() {
            let mut published = false;
            let outcome = self.lead(cancel, &mut published).await;
            self.measures.leader.set(0, &[]);
            let Err(error) = outcome else { continue };
            self.measures.failures.add(1, &[]);
            tracing::warn!(%error, "the relay begins anew");
            if published {
                delay = delays.build();
            }
            cancel
                .run_until_cancelled(tokio::time::sleep(delay.next().unwrap_or(POLL)))
                .await;
        }
    }

    /// Takes the lease and publishes until something fails. Lease, reads and deletes are on one connection, so
    /// that who lost it can do neither.
    async fn lead(&self, cancel: &CancellationToken, published: &mut bool) -> Result<(), Failure> {
        let mut session = answered(self.database.session()).await?;
        while !answered(take_lease(&mut session)).await? {
            if cancel
                .run_until_cancelled(tokio::time::sleep(POLL))
                .await
                .is_none()
            {
                return Ok(());
            }
        }
        // Fences a holder that was paused: before the first read, so that it can publish nothing after that.
        let name = format!("{}-relay", self.service);
        let start = TransactionalProducer::start(&self.kafka, &name);
        let Some(started) = cancel.run_until_cancelled(start).await else {
            return Ok(());
        };
        let mut producer = started?;
        self.measures.leader.set(1, &[]);
        tracing::info!("this relay leads");
        while !cancel.is_cancelled() {
            let batch = answered(batch::read(&mut session, &self.service)).await?;
            if batch.ids.is_empty() {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.wake.0.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            } else {
                self.publish(batch, &mut session, &mut producer).await?;
                *published = true;
            }
        }
        answered(session.close()).await
    }

    async fn publish(
        &self,
        batch: Batch,
        session: &mut PgConnection,
        producer: &mut TransactionalProducer,
    ) -> Result<(), Failure> {
        let Batch { ids, records, spans } = batch;
        let mut counts = BTreeMap::<String, u64>::new();
        for record in &records {
            *counts.entry(record.topic.clone()).or_default() += 1;
        }
        let started = Instant::now();
        producer.publish(records).await?;
        drop(spans);
        self.measures.publish.record(started.elapsed().as_secs_f64(), &[]);
        for (topic, count) in counts {
            self.measures.published.add(count, &[("topic", &topic)]);
        }
        answered(batch::delete(session, &ids)).await
    }

    /// Measures the backlog whoever leads and whether or not Kafka is there.
    async fn measure(&self) {
        loop {
            let measured = answered(async {
                let mut connection = self.database.acquire().await?;
                batch::backlog(&mut connection).await
            });
            match measured.await {
                Ok((rows, oldest)) => {
                    self.measures.rows.set(rows, &[]);
                    self.measures.oldest.set(oldest, &[]);
                }
                Err(error) => tracing::warn!(%error, "the backlog was not measured"),
            }
            tokio::time::sleep(MEASURE).await;
        }
    }
}

/// One relay of a schema at a time, as long as the session lives. 7206 is the namespace of this lock.
async fn take_lease(session: &mut PgConnection) -> Result<bool, PgError> {
    let row = sqlx::query("SELECT pg_try_advisory_lock(7206, hashtext(current_schema()))")
        .fetch_one(session)
        .await?;
    Ok(row.try_get(0)?)
}
