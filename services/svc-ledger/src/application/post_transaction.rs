//! Group commit: requests wait in a bounded queue, and one poster takes what waits and posts it in one
//! PostgreSQL transaction. Each caller gets its own verdict; one refusal leaves its neighbours alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lp_pg::{Database, Failure, PgError};
use lp_telemetry::{Gauge, Histogram, Metrics};
use lp_types::time::Ambient;
use sqlx::PgConnection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{error, warn};

pub use crate::infrastructure::postgres::posting::{Order, Outcome, Terms, Verdict, Wanted};
use crate::infrastructure::postgres::{
    epoch, holds,
    posting::{post_batch, preview},
    transactions,
};

/// Commands that may wait or be under way; one more is refused at once.
const QUEUE: usize = 4_096;
/// Commands in one PostgreSQL transaction, beside those of the last request that it takes.
const BATCH: usize = 256;
/// How often a batch is tried while the database is away or another transaction is in the way.
const ATTEMPTS: u32 = 4;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Between two looks for holds whose time is over. Nobody waits for it: what they reserved is available at once.
const SWEEP: Duration = Duration::from_secs(1);
/// Holds that one look ends, at most.
const SWEPT: i64 = 500;

/// The verdict, and how long its batch was at the database.
type Answer = (lp_error::Result<Verdict>, Duration);

struct Waiting {
    wanted: Wanted,
    since: Instant,
    answer: oneshot::Sender<Answer>,
    /// Its room, until it is answered.
    _room: OwnedSemaphorePermit,
}

/// Where requests queue up for the poster.
#[derive(Clone, Debug)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Waiting>,
    /// Bounds what waits and is under way, by commands.
    room: Arc<Semaphore>,
    database: Database,
    ambient: Ambient,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// Posts what waits in its [`Queue`]. One task; several replicas of the service are kept apart by row locks.
pub struct Poster {
    receiver: mpsc::UnboundedReceiver<Waiting>,
    database: Database,
    ambient: Ambient,
    wake_relay: lp_outbox::Wake,
    session: Option<Session>,
    measures: Measures,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

struct Measures {
    depth: Gauge,
    batch: Histogram,
    waited: Histogram,
}

/// A queue and its poster.
pub fn poster(
    database: Database,
    ambient: Ambient,
    wake_relay: lp_outbox::Wake,
    metrics: &Metrics,
) -> (Queue, Poster) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let measures = Measures {
        depth: metrics.gauge("ledger_poster_queue_depth", "Requests that wait for the poster"),
        batch: metrics.histogram(
            "ledger_poster_batch_size",
            "Requests in one commit",
            lp_telemetry::COUNTS,
        ),
        waited: metrics.histogram(
            "ledger_poster_wait_seconds",
            "Time from the queue to the batch",
            lp_telemetry::SECONDS,
        ),
    };
    (
        Queue {
            sender,
            room: Arc::new(Semaphore::new(QUEUE)),
            database: database.clone(),
            ambient: ambient.clone(),
        },
        Poster {
            receiver,
            database,
            ambient,
            wake_relay,
            session: None,
            measures,
        },
    )
}

impl Queue {
    /// Queues what is wanted and waits for its verdict. A caller that goes away before its batch begins posts nothing.
    ///
    /// # Errors
    /// OVERLOADED at once when the queue is full; DEPENDENCY_UNAVAILABLE when the database is away.
    pub async fn post(&self, wanted: Wanted) -> lp_error::Result<Verdict> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(weight(&wanted));
        let room = room.map_err(|_full| lp_error::Error::overloaded(RETRY_AFTER))?;
        self.enqueue(wanted, room)?.verdict().await
    }

    /// Queues what is wanted once there is room for it: for a caller that waits for what it has under way.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when the poster has ended.
    pub async fn enter(&self, wanted: Wanted) -> lp_error::Result<Pending> {
        let room = Arc::clone(&self.room).acquire_many_owned(weight(&wanted)).await;
        let room = room.map_err(|_closed| lp_error::Error::unavailable("the poster"))?;
        self.enqueue(wanted, room)
    }

    /// What [`Self::post`] would answer now. Nothing is done.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when the database is away.
    pub async fn preview(&self, wanted: &Wanted) -> lp_error::Result<Verdict> {
        Ok(preview(&self.database, wanted, &self.ambient).await?)
    }

    fn enqueue(&self, wanted: Wanted, room: OwnedSemaphorePermit) -> lp_error::Result<Pending> {
        let (answer, verdict) = oneshot::channel();
        let waiting = Waiting {
            wanted,
            since: Instant::now(),
            answer,
            _room: room,
        };
        let gone = |_| lp_error::Error::unavailable("the poster");
        self.sender.send(waiting).map_err(gone)?;
        Ok(Pending(verdict))
    }
}

/// Something in the queue. Dropped before its batch begins, it is not posted.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// What became of it.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when the database is away.
    pub async fn verdict(self) -> lp_error::Result<Verdict> {
        let answer = self.0.await;
        let (verdict, database) = answer.map_err(|_| lp_error::Error::unavailable("the poster"))?;
        lp_telemetry::add_database_time(database);
        verdict
    }
}

/// How much room it takes.
fn weight(wanted: &Wanted) -> u32 {
    u32::try_from(wanted.orders.len()).unwrap_or(u32::MAX)
}

impl Poster {
    /// Posts until every [`Queue`] is gone and what waited was answered. Between batches it ends holds whose time is
    /// over.
    pub async fn run(mut self) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                first = self.receiver.recv() => {
                    let Some(first) = first else { return };
                    let batch = self.take(first);
                    self.measures
                        .depth
                        .set(i64::try_from(self.receiver.len()).unwrap_or(i64::MAX), &[]);
                    self.serve(batch).await;
                }
                _ = sweep.tick() => {
                    if let Err(failure) = self.sweep().await {
                        warn!(error = %failure, "holds whose time is over were not ended");
                    }
                }
            }
        }
    }

    /// The first that waited, and what waits behind it, as far as it fits; without those whose callers have gone.
    fn take(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let mut commands: usize = 0;
        let mut next = Some(first);
        while let Some(one) = next {
            if !one.answer.is_closed() {
                commands = commands.saturating_add(one.wanted.orders.len());
                batch.push(one);
            }
            next = (commands < BATCH)
                .then(|| self.receiver.try_recv().ok())
                .flatten();
        }
        batch
    }

    async fn sweep(&mut self) -> lp_pg::Result<()> {
        let mut session = self.session().await?;
        let due = holds::accounts_due(&mut session.connection, self.ambient.clock.now(), SWEPT).await?;
        if !due.is_empty() {
            let epoch = session.epoch;
            post_batch(&mut session.connection, &[], &due, epoch, &self.ambient).await?;
        }
        self.session = Some(session);
        Ok(())
    }

    async fn serve(&mut self, mut waiting: Vec<Waiting>) {
        for one in &waiting {
            self.measures
                .waited
                .record(one.since.elapsed().as_secs_f64(), &[]);
        }
        while !waiting.is_empty() {
            waiting = self.serve_once(waiting).await;
        }
        self.wake_relay.wake();
    }

    /// Answers `waiting`, and returns those that must wait for the next batch: another request under a key of
    /// this one, of which only the record can tell whose the key is.
    async fn serve_once(&mut self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        // Keys in a batch are all different: the same request again gets the answer of the first.
        let mut leaders: Vec<Waiting> = Vec::with_capacity(waiting.len());
        let mut followers: Vec<(usize, Waiting)> = Vec::new();
        let mut later = Vec::new();
        let mut by_key = HashMap::new();
        for one in waiting {
            let claim = &one.wanted.claim;
            let key = (claim.caller.merchant, claim.rpc, claim.key.clone());
            match by_key.get(&key) {
                Some((leader, fingerprint)) if *fingerprint == claim.fingerprint => {
                    followers.push((*leader, one));
                }
                Some(_) => later.push(one),
                None => {
                    by_key.insert(key, (leaders.len(), claim.fingerprint));
                    leaders.push(one);
                }
            }
        }
        self.measures
            .batch
            .record(f64::from(u32::try_from(leaders.len()).unwrap_or(u32::MAX)), &[]);

        let wanted: Vec<&Wanted> = leaders.iter().map(|w| &w.wanted).collect();
        let began = Instant::now();
        let verdicts = self.post(&wanted).await;
        let database = began.elapsed();
        for (leader, follower) in followers {
            let verdict = match verdicts.get(leader) {
                Some(verdict) => verdict.clone(),
                None => Err(lp_error::Error::unavailable("the poster")),
            };
            let _ = follower.answer.send((verdict, database));
        }
        for (leader, verdict) in leaders.into_iter().zip(verdicts) {
            // The caller may have gone; the answer stands under its key.
            let _ = leader.answer.send((verdict, database));
        }
        later
    }

    /// Posts `batch`; where the data of one breaks a rule of the database, halves it until that one is alone,
    /// so that it cannot fail its neighbours. Order of arrival holds.
    async fn post(&mut self, batch: &[&Wanted]) -> Vec<lp_error::Result<Verdict>> {
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.attempt(part).await {
                Ok(posted) => verdicts.extend(posted.into_iter().map(Ok)),
                Err(failure) if failure.failure() == Failure::BadData && part.len() > 1 => {
                    let (earlier, later) = part.split_at(part.len() / 2);
                    parts.push(later);
                    parts.push(earlier);
                }
                Err(failure) => {
                    if failure.failure() == Failure::BadData || failure.failure() == Failure::Fault {
                        error!(error = %failure, constraint = failure.constraint(), "a batch was refused by the database");
                    }
                    let error = lp_error::Error::from(failure);
                    verdicts.extend(part.iter().map(|_| Err(error.clone())));
                }
            }
        }
        verdicts
    }

    /// One batch, again while the database is away for a moment. The same keys make that safe even when a
    /// commit was lost on its way: what was posted is found under its key.
    async fn attempt(&mut self, batch: &[&Wanted]) -> lp_pg::Result<Vec<Verdict>> {
        let mut delay = RETRY_AFTER;
        for _ in 1..ATTEMPTS {
            match self.once(batch).await {
                Ok(verdicts) => return Ok(verdicts),
                Err(failure) if passes(&failure) => warn!(error = %failure, "a batch is tried again"),
                Err(failure) => return Err(failure),
            }
            sleep(delay).await;
            delay = delay.saturating_mul(2);
        }
        self.once(batch).await
    }

    async fn once(&mut self, batch: &[&Wanted]) -> lp_pg::Result<Vec<Verdict>> {
        let mut session = self.session().await?;
        let epoch = session.epoch;
        let outcome = post_batch(&mut session.connection, batch, &[], epoch, &self.ambient).await;
        // After a failure the session's state is unknown: a new one is cheap.
        if outcome.is_ok() {
            self.session = Some(session);
        }
        outcome
    }

    /// The session, for whoever gives it back when nothing failed.
    async fn session(&mut self) -> lp_pg::Result<Session> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => connect(&self.database).await,
        }
    }
}

/// Whether the same batch may be posted when it is tried again.
fn passes(failure: &PgError) -> bool {
    match failure.failure() {
        Failure::Unreachable | Failure::Contention => true,
        // Another replica took a reference after this batch had looked for it: the next look finds it taken.
        Failure::BadData => matches!(
            failure.constraint(),
            Some(transactions::REFERENCE | holds::REFERENCE)
        ),
        Failure::Fault => false,
    }
}

/// The poster's own connection.
struct Session {
    connection: PgConnection,
    /// Which life of the ledger; a restore, which raises it, ends every session.
    epoch: i64,
}

/// A session whose rows come free when its holder dies or hangs.
async fn connect(database: &Database) -> lp_pg::Result<Session> {
    let mut connection = database.session().await?;
    sqlx::raw_sql(
        "SET idle_in_transaction_session_timeout = '1s'; SET lock_timeout = '2s'; SET tcp_user_timeout = '3s'",
    )
    .execute(&mut connection)
    .await?;
    let epoch = epoch::read(&mut connection).await?;
    Ok(Session { connection, epoch })
}
