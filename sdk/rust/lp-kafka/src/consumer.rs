//! A consumer: a name, topics, and a handler.

use std::sync::Arc;

use lp_config::Kafka;
use lp_pg::Database;
use lp_telemetry::{Gauge, Metrics};
use lp_types::time::Ambient;
use rdkafka::ClientConfig;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    Handler,
    client::settings,
    dead_letters::DeadLetters,
    lane::{self, Measures, Worker},
    membership,
};

/// Partitions that one consumer works on at once, and so connections that it takes from the pool.
const PARALLEL: usize = 4;

/// Reads topics as the group `{prefix}{name}` and gives each event to a [`Handler`], once in effect.
///
/// ```no_run
/// # use lp_kafka::{Consumer, Handler};
/// # async fn example(
/// #     config: lp_config::Kafka, database: lp_pg::Database, handler: impl Handler,
/// #     metrics: lp_telemetry::Metrics, ambient: lp_types::time::Ambient,
/// #     cancel: tokio_util::sync::CancellationToken,
/// # ) {
/// let consumer = Consumer::new(
///     &config, "svc-wallet.balances", &["ledger.transactions.v1"], database, handler, &metrics, ambient,
/// );
/// tokio::spawn(consumer.run(cancel));
/// # }
/// ```
pub struct Consumer<H> {
    settings: ClientConfig,
    topics: Vec<String>,
    lag: Gauge,
    worker: Arc<Worker<H>>,
}

impl<H> std::fmt::Debug for Consumer<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.worker.name)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Consumer<H> {
    /// A consumer that does nothing yet. `name` is also the inbox's: a new name begins from the first record.
    pub fn new(
        config: &Kafka,
        name: &str,
        topics: &[&str],
        database: Database,
        handler: H,
        metrics: &Metrics,
        ambient: Ambient,
    ) -> Self {
        let prefix = &config.kafka_prefix;
        let worker = Worker {
            name: name.to_owned(),
            prefix: prefix.clone(),
            database,
            handler,
            ambient,
            permits: Semaphore::new(PARALLEL),
            dead_letters: DeadLetters::new(config.clone(), name.to_owned()),
            measures: Measures::new(metrics),
        };
        Self {
            settings: group_settings(config, name),
            topics: topics.iter().map(|topic| format!("{prefix}{topic}")).collect(),
            lag: metrics.gauge("consumer_lag", "Records of a partition that are not done"),
            worker: Arc::new(worker),
        }
    }

    /// Consumes until it is cancelled: then the events under way are finished, their offsets committed and the
    /// group left. While PostgreSQL or Kafka is away it keeps trying.
    pub async fn run(self, cancel: CancellationToken) {
        let mut delays = lane::delays();
        while let Err(error) =
            membership::take_part(&self.settings, &self.topics, &self.lag, &self.worker, &cancel).await
        {
            tracing::error!(%error, consumer = self.worker.name, "the consumer starts again");
            if lane::wait(delays.next(), &cancel).await.is_none() {
                return;
            }
        }
    }
}

fn group_settings(config: &Kafka, name: &str) -> ClientConfig {
    let mut settings = settings(config, name);
    settings
        .set("group.id", format!("{}{name}", config.kafka_prefix))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        // Offsets are stored when the database has committed; what is stored is committed every second.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // Per partition: what is fetched ahead.
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "4096")
        // A topic that is created after the consumer started is found soon.
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("statistics.interval.ms", "2000");
    settings
}
