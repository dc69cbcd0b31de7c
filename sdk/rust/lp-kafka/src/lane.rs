//! One partition's events, in order: each is handled, retried, or buried.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::FutureExt;
use lp_pg::Database;
use lp_telemetry::{Counter, Histogram, Metrics, SECONDS};
use lp_types::time::Ambient;
use rdkafka::{
    Message,
    consumer::{Consumer as _, StreamConsumer, stream_consumer::StreamPartitionQueue},
    message::BorrowedMessage,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Event, HandleError, Handler, dead_letters::DeadLetters, inbox, membership::Membership, record};

/// Longest time for one attempt; far below the time after which a silent member loses its partitions.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Attempts at an event that fails by a fault of ours.
const ATTEMPTS: u32 = 8;

/// What all lanes of a consumer share.
pub(crate) struct Worker<H> {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) database: Database,
    pub(crate) handler: H,
    pub(crate) ambient: Ambient,
    /// Bounds the connections that one consumer takes from the pool.
    pub(crate) permits: Semaphore,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) measures: Measures,
}

pub(crate) struct Measures {
    events: Counter,
    retries: Counter,
    handle: Histogram,
    age: Histogram,
}

impl Measures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            events: metrics.counter("consumer_events_total", "Events done, by outcome"),
            retries: metrics.counter(
                "consumer_retries_total",
                "Attempts that failed and were made again",
            ),
            handle: metrics.histogram(
                "consumer_handle_seconds",
                "Time of one attempt at an event",
                SECONDS,
            ),
            age: metrics.histogram(
                "consumer_event_age_seconds",
                "Time from what an event tells to the commit of its effect",
                SECONDS,
            ),
        }
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Applied,
    Duplicate,
    DeadLetter,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// How an event ended, and after how many attempts.
type Done = (Outcome, u32);

/// Works on a partition until `stop`; the event under way is finished first, unless it is waiting to be tried
/// again.
pub(crate) async fn run<H: Handler>(
    worker: Arc<Worker<H>>,
    client: Arc<StreamConsumer<Membership>>,
    queue: StreamPartitionQueue<Membership>,
    busy: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    loop {
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            received = queue.recv() => received,
        };
        match received {
            Ok(message) => {
                busy.store(true, Ordering::Relaxed);
                if worker.process(&message, &stop).await.is_none() {
                    return;
                }
                // It fails when the partition is ours no longer; then another member finds it in the inbox.
                if let Err(error) = client.store_offset_from_message(&message) {
                    tracing::warn!(%error, "an offset was not stored");
                }
                busy.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "a partition cannot be read");
                if wait(None, &stop).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Delays between attempts, without end and at most 5 seconds each.
pub(crate) fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        // The jitter adds up to as much again.
        .with_max_delay(Duration::from_millis(2_500))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Waits, a second if not told otherwise; `None` when it was stopped.
pub(crate) async fn wait(delay: Option<Duration>, stop: &CancellationToken) -> Option<()> {
    let delay = delay.unwrap_or(Duration::from_secs(1));
    stop.run_until_cancelled(tokio::time::sleep(delay)).await
}

impl<H: Handler> Worker<H> {
    /// Brings one record to its end; `None` when it was stopped before that.
    async fn process(&self, message: &BorrowedMessage<'_>, stop: &CancellationToken) -> Option<()> {
        let started = Instant::now();
        let decoded = self.decode(message);
        let topic = message.topic();
        let topic = topic.strip_prefix(&self.prefix).unwrap_or(topic);
        let id = decoded.as_ref().map_or("", |event| event.id.as_str());
        let span = tracing::info_span!("consume", otel.kind = "consumer", consumer = self.name, topic, id);
        if let Some(traceparent) = decoded.as_ref().ok().and_then(|event| event.traceparent.as_ref()) {
            lp_telemetry::set_parent(&span, traceparent);
        }
        async {
            let (outcome, attempts) = match &decoded {
                Ok(event) => self.handle(event, message, stop).await?,
                Err(reason) => self.bury(message, reason, 0, stop).await?,
            };
            self.measures
                .events
                .add(1, &[("topic", topic), ("outcome", outcome.name())]);
            tracing::info!(
                topic,
                partition = message.partition(),
                offset = message.offset(),
                id,
                outcome = outcome.name(),
                attempts,
                duration_ms = started.elapsed().as_secs_f64() * 1_000.0,
                "event"
            );
            Some(())
        }
        .instrument(span)
        .await
    }

    fn decode(&self, message: &BorrowedMessage<'_>) -> Result<Event, String> {
        let decode = || record::decode(message, &self.prefix).map_err(|undecodable| undecodable.to_string());
        // rdkafka panics on a header whose name is not UTF-8.
        std::panic::catch_unwind(AssertUnwindSafe(decode))
            .unwrap_or_else(|_panic| Err("the headers cannot be read".to_owned()))
    }

    /// Tries until it is done, or it is clear that it cannot be.
    async fn handle(
        &self,
        event: &Event,
        message: &BorrowedMessage<'_>,
        stop: &CancellationToken,
    ) -> Option<Done> {
        let mut delays = delays();
        let (mut attempts, mut faults) = (0, 0);
        loop {
            attempts += 1;
            let error = match self.attempt(event).await {
                Ok(outcome) => {
                    self.after_commit(event).await;
                    return Some((outcome, attempts));
                }
                Err(error) => error,
            };
            faults += u32::from(!error.is_away());
            if faults == ATTEMPTS || matches!(error, HandleError::Poison(_)) {
                return self.bury(message, &error.text(), attempts, stop).await;
            }
            tracing::warn!(error = error.text(), attempts, "the event will be tried again");
            self.measures.retries.add(1, &[("topic", &event.topic)]);
            wait(delays.next(), stop).await?;
        }
    }

    /// Effect and inbox row in one database transaction.
    async fn attempt(&self, event: &Event) -> Result<Outcome, HandleError> {
        let _permit = self.permits.acquire().await;
        let started = Instant::now();
        let outcome = guarded(async {
            let mut work = self.database.begin().await?;
            if !inbox::claim(&mut work, &self.name, event, self.ambient.clock.now()).await? {
                return Ok(Outcome::Duplicate);
            }
            self.handler.handle(&mut work, event).await?;
            work.commit().await?;
            Ok(Outcome::Applied)
        })
        .await;
        let topic = [("topic", event.topic.as_str())];
        self.measures
            .handle
            .record(started.elapsed().as_secs_f64(), &topic);
        if let Ok(Outcome::Applied) = outcome {
            let age = self.ambient.clock.now().duration_since(event.occurred_at);
            self.measures.age.record(age.as_secs_f64().max(0.0), &topic);
        }
        outcome
    }

    async fn after_commit(&self, event: &Event) {
        let hook = async {
            self.handler.committed(event).await;
            Ok(())
        };
        if let Err(error) = guarded(hook).await {
            tracing::warn!(error = error.text(), "what follows the commit was not done");
        }
    }

    /// Publishes to the dead letters, until that has worked.
    async fn bury(
        &self,
        message: &BorrowedMessage<'_>,
        reason: &str,
        attempts: u32,
        stop: &CancellationToken,
    ) -> Option<Done> {
        tracing::error!(reason, attempts, "the event goes to the dead letters");
        let mut delays = delays();
        while let Err(error) = self.dead_letters.publish(message, reason, attempts).await {
            tracing::warn!(%error, "the dead letter will be published again");
            wait(delays.next(), stop).await?;
        }
        Some((Outcome::DeadLetter, attempts))
    }
}

/// Ends what does not end, and turns a panic into a failure: neither may take its partition along.
async fn guarded<T>(work: impl Future<Output = Result<T, HandleError>>) -> Result<T, HandleError> {
    match tokio::time::timeout(ATTEMPT, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(lp_error::Error::internal("the handler panicked").into()),
        Err(_elapsed) => Err(lp_error::Error::deadline_exceeded().into()),
    }
}
