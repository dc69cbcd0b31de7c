//! Group commit: requests wait in a bounded queue, and one poster takes what waits and posts it in one
//! PostgreSQL transaction. Each caller gets its own verdict; one refusal leaves its neighbours alone.

use std::{sync::Arc, time::Duration};

use lp_chassis::shares::{Share, Shares};
use lp_pg::{Database, Failure, PgError};
use lp_telemetry::{Gauge, Histogram, Metrics};
use lp_types::time::Ambient;
use tokio::{
    sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep},
};
use tracing::{Instrument as _, Span, error, warn};

use super::together::Batch;
pub use crate::infrastructure::postgres::posting::{Order, Outcome, Terms, Verdict, Wanted};
use crate::infrastructure::postgres::{
    holds,
    posting::{Session, preview},
    transactions,
};

/// Commands that may wait or be under way; one more is refused at once.
const QUEUE: usize = 8_192;
/// How many of them streams may have, which wait for room and would otherwise take all that comes free. Calls share the
/// rest, so that one merchant fills the queue with neither nor with both.
const STREAMED: usize = QUEUE / 4;
/// Commands in one PostgreSQL transaction, beside those of the last request that it takes.
const BATCH: usize = 256;
/// Batches under way at once: one is posted while the commits of the others are awaited.
const LANES: usize = 2;
/// How often a batch is tried while the database is away or another transaction is in the way.
const ATTEMPTS: u32 = 4;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Between two looks for holds whose time is over. Nobody waits for it: what they reserved is available at once.
const SWEEP: Duration = Duration::from_secs(1);
/// Holds that one look ends, at most.
const SWEPT: i64 = 500;

/// The verdict, and how long its batch was at the database.
type Answer = (lp_error::Result<Verdict>, Duration);

pub(super) struct Waiting {
    pub(super) wanted: Wanted,
    since: Instant,
    answer: oneshot::Sender<Answer>,
    /// Its room, until it is answered.
    _room: Room,
}

struct Room {
    _commands: OwnedSemaphorePermit,
    _called: Option<Share>,
    _streamed: Option<OwnedSemaphorePermit>,
}

/// Where requests queue up for the poster.
#[derive(Clone, Debug)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Waiting>,
    /// Bounds what waits and is under way, by commands.
    room: Arc<Semaphore>,
    /// Of what is called for. No merchant's calls fill the queue.
    shares: Shares,
    streamed: Arc<Semaphore>,
    database: Database,
    ambient: Ambient,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// Posts what waits in its [`Queue`], over a few lanes that take turns: while the commit of one is under way, the next
/// posts. Several replicas of the service are kept apart by row locks.
pub struct Poster {
    receiver: mpsc::UnboundedReceiver<Waiting>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

struct Shared {
    database: Database,
    ambient: Ambient,
    wake_relay: lp_outbox::Wake,
    measures: Measures,
}

/// Who has it posts next, so that batches are decided in the order in which they were taken.
struct Turn {
    receiver: mpsc::UnboundedReceiver<Waiting>,
    /// Taken before what is received: they wait for a batch that is under way.
    first: Vec<Waiting>,
    sweep: Interval,
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
            shares: Shares::of(QUEUE - STREAMED),
            streamed: Arc::new(Semaphore::new(STREAMED)),
            database: database.clone(),
            ambient: ambient.clone(),
        },
        Poster {
            receiver,
            shared: Arc::new(Shared {
                database,
                ambient,
                wake_relay,
                measures,
            }),
        },
    )
}

impl Queue {
    /// Queues what is wanted and waits for its verdict. A caller that goes away before its batch begins posts nothing.
    ///
    /// # Errors
    /// OVERLOADED at once when the queue is full, or the merchant's share of it; DEPENDENCY_UNAVAILABLE when the database
    /// is away.
    pub async fn post(&self, wanted: Wanted) -> lp_error::Result<Verdict> {
        let full = || lp_error::Error::overloaded(RETRY_AFTER);
        let share = self
            .shares
            .take(wanted.claim.caller.merchant, wanted.orders.len());
        let share = share.ok_or_else(full)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(weight(&wanted));
        let room = Room {
            _commands: room.map_err(|_full| full())?,
            _called: Some(share),
            _streamed: None,
        };
        self.enqueue(wanted, room)?.verdict().await
    }

    /// Queues what is wanted once there is room for it: for a caller that waits for what it has under way.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when the poster has ended.
    pub async fn enter(&self, wanted: Wanted) -> lp_error::Result<Pending> {
        let (weight, closed) = (weight(&wanted), |_| lp_error::Error::unavailable("the poster"));
        let streamed = Arc::clone(&self.streamed).acquire_many_owned(weight).await;
        let streamed = streamed.map_err(closed)?;
        let room = Arc::clone(&self.room).acquire_many_owned(weight).await;
        let room = Room {
            _commands: room.map_err(closed)?,
            _called: None,
            _streamed: Some(streamed),
        };
        self.enqueue(wanted, room)
    }

    /// What [`Self::post`] would answer now. Nothing is done.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when the database is away.
    pub async fn preview(&self, wanted: &Wanted) -> lp_error::Result<Verdict> {
        Ok(preview(&self.database, wanted, &*self.ambient.clock).await?)
    }

    fn enqueue(&self, wanted: Wanted, room: Room) -> lp_error::Result<Pending> {
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
    ///
    /// On a thread of its own: a batch is nine round trips to the database, one after the other, and among hundreds of
    /// requests each would wait until the scheduler looks at its sockets again.
    pub async fn run(self) {
        let (end, ended) = oneshot::channel::<()>();
        let span = Span::current();
        let post = move || {
            let _end = end;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(self.lanes().instrument(span)),
                Err(failure) => error!(error = %failure, "the poster has no runtime"),
            }
        };
        let thread = std::thread::Builder::new().name("poster".to_owned()).spawn(post);
        match thread {
            Ok(_runs) => _ = ended.await,
            Err(failure) => error!(error = %failure, "the poster has no thread"),
        }
    }

    async fn lanes(self) {
        // Here, since a timer belongs to the runtime in which it is made.
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let turn = Arc::new(Mutex::new(Turn {
            receiver: self.receiver,
            first: Vec::new(),
            sweep,
        }));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let lane = Lane {
                shared: Arc::clone(&self.shared),
                session: None,
            };
            lanes.spawn(lane.run(Arc::clone(&turn)).in_current_span());
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(failure) = ended {
                // The chassis ends the process where its poster ends, and it is started anew.
                error!(error = %failure, "a lane of the poster failed");
                return;
            }
        }
    }
}

impl Turn {
    /// What waits, in order of arrival, as far as it fits, without those whose callers have gone; empty when there is
    /// time for a look at the holds; none when every [`Queue`] is gone.
    async fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut batch = std::mem::take(&mut self.first);
        let mut commands: usize = batch.iter().map(|one| one.wanted.orders.len()).sum();
        let mut next = if batch.is_empty() {
            tokio::select! {
                first = self.receiver.recv() => Some(first?),
                _ = self.sweep.tick() => return Some(batch),
            }
        } else {
            None
        };
        loop {
            if let Some(one) = next.take().filter(|one| !one.answer.is_closed()) {
                commands = commands.saturating_add(one.wanted.orders.len());
                batch.push(one);
            }
            if commands >= BATCH {
                return Some(batch);
            }
            match self.receiver.try_recv() {
                Ok(one) => next = Some(one),
                Err(_) => return Some(batch),
            }
        }
    }
}

/// One connection at work.
struct Lane {
    shared: Arc<Shared>,
    session: Option<Session>,
}

impl Lane {
    async fn run(mut self, turn: Arc<Mutex<Turn>>) {
        loop {
            let mut turn = turn.lock().await;
            let Some(waiting) = turn.take().await else {
                return;
            };
            if waiting.is_empty() {
                if let Err(failure) = self.sweep().await {
                    warn!(error = %failure, "holds whose time is over were not ended");
                }
                continue;
            }
            let measures = &self.shared.measures;
            let depth = i64::try_from(turn.receiver.len()).unwrap_or(i64::MAX);
            measures.depth.set(depth, &[]);
            for one in &waiting {
                measures.waited.record(one.since.elapsed().as_secs_f64(), &[]);
            }
            let batch = Batch::of(waiting, &mut turn.first);
            self.serve(batch, turn).await;
            self.shared.wake_relay.wake();
        }
    }

    async fn sweep(&mut self) -> lp_pg::Result<()> {
        let now = self.shared.ambient.clock.now();
        let mut session = self.session().await?;
        let due = session.due(now, SWEPT).await?;
        if !due.is_empty() {
            let prepared = session.prepare(&[], &due, &*self.shared.ambient.clock).await?;
            prepared.commit().await?;
        }
        self.session = Some(session);
        Ok(())
    }

    async fn serve(&mut self, batch: Batch, turn: MutexGuard<'_, Turn>) {
        let Batch { leaders, followers } = batch;
        let size = u32::try_from(leaders.len()).unwrap_or(u32::MAX);
        self.shared.measures.batch.record(f64::from(size), &[]);
        let wanted: Vec<&Wanted> = leaders.iter().map(|w| &w.wanted).collect();
        let began = Instant::now();
        let verdicts = self.post(&wanted, turn).await;
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
    }

    /// Posts `batch`; where the data of one breaks a rule of the database, halves it until that one is alone,
    /// so that it cannot fail its neighbours. Order of arrival holds.
    async fn post(
        &mut self,
        batch: &[&Wanted],
        turn: MutexGuard<'_, Turn>,
    ) -> Vec<lp_error::Result<Verdict>> {
        let mut first = Some(self.once(batch, Some(turn)).await);
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let posted = match first.take() {
                Some(Err(failure)) if passes(&failure) => {
                    warn!(error = %failure, "a batch is tried again");
                    self.attempt(part).await
                }
                Some(posted) => posted,
                None => self.attempt(part).await,
            };
            match posted {
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
            match self.once(batch, None).await {
                Ok(verdicts) => return Ok(verdicts),
                Err(failure) if passes(&failure) => warn!(error = %failure, "a batch is tried again"),
                Err(failure) => return Err(failure),
            }
            sleep(delay).await;
            delay = delay.saturating_mul(2);
        }
        self.once(batch, None).await
    }

    /// One batch, once. Its turn ends before its commit: what it locked, the next batch waits for.
    async fn once(
        &mut self,
        batch: &[&Wanted],
        turn: Option<MutexGuard<'_, Turn>>,
    ) -> lp_pg::Result<Vec<Verdict>> {
        let mut session = self.session().await?;
        let prepared = session.prepare(batch, &[], &*self.shared.ambient.clock).await?;
        drop(turn);
        let verdicts = prepared.commit().await?;
        self.session = Some(session);
        Ok(verdicts)
    }

    /// The session, for whoever gives it back when nothing failed: after a failure its state is unknown, and a new one is
    /// cheap.
    async fn session(&mut self) -> lp_pg::Result<Session> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => Session::connect(&self.shared.database).await,
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
