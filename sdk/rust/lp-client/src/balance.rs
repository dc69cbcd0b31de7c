//! All addresses of a service, and which of them takes the next request.
//!
//! tower's balancer, and tonic's channel on it, count an address as ready until a request failed there, and cannot
//! say that none is left; so here an address takes requests from the moment when it spoke until it cannot.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lp_breaker::Jitter;
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};
use tonic::Status;

use crate::{
    connection::{Connection, Target},
    resolve::Resolve,
};

/// The least time between two looks at the addresses, or two tries to connect to one.
const SPACING: Duration = Duration::from_millis(50);
/// The most between two tries to connect to one, unless somebody calls.
const BACKOFF: Duration = Duration::from_secs(1);
/// What a look at the addresses may take.
const RESOLVE: Duration = Duration::from_secs(5);

/// The connections to a service; they are kept up from the first request on, until this is dropped.
#[derive(Debug)]
pub(crate) struct Balance {
    shared: Arc<Shared>,
    keeping: OnceLock<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    resolver: Box<dyn Resolve>,
    /// Between two looks at the addresses.
    every: Duration,
    state: watch::Sender<State>,
    /// Rises with each request, so that idle addresses take turns.
    turn: AtomicUsize,
    /// A connection broke, or none can be made: the addresses may be others now.
    look: Notify,
    /// How often somebody called and no address was there. Keepers that are busy then see it afterwards.
    wanted: watch::Sender<u64>,
    jitter: Jitter,
}

#[derive(Debug, Default)]
struct State {
    ways: BTreeMap<SocketAddr, Way>,
    /// Looks at the addresses that have ended, and why the last one failed.
    looks: u64,
    no_look: Option<String>,
}

#[derive(Debug, Default)]
struct Way {
    ready: Option<Arc<Connection>>,
    /// Tries to connect that failed, and why the last one did.
    failures: u64,
    why: String,
}

/// What had failed when a caller came. It is told of what failed after that: callers that come later take nothing away
/// from those who wait, however many they are.
#[derive(Debug)]
struct Since {
    looks: u64,
    failures: BTreeMap<SocketAddr, u64>,
}

impl Balance {
    pub(crate) fn new(target: Target, resolver: Box<dyn Resolve>, every: Duration, jitter: Jitter) -> Self {
        Self {
            shared: Arc::new(Shared {
                target,
                resolver,
                every,
                state: watch::Sender::default(),
                turn: AtomicUsize::new(0),
                look: Notify::new(),
                wanted: watch::Sender::default(),
                jitter,
            }),
            keeping: OnceLock::new(),
        }
    }

    /// How the service is spoken to.
    pub(crate) fn target(&self) -> &Target {
        &self.shared.target
    }

    /// The connection for the next request: of those that did not fail lately the one with the fewest requests under
    /// way. Waits while addresses are looked up or connected to; where all have failed, for one more try of each.
    ///
    /// # Errors
    /// UNAVAILABLE when no address answers.
    pub(crate) async fn pick(&self) -> Result<Arc<Connection>, Status> {
        self.keeping
            .get_or_init(|| tokio::spawn(keep(Arc::clone(&self.shared))).abort_handle());
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.state.subscribe();
        let mut since = None;
        loop {
            {
                let state = state.borrow_and_update();
                if let Some(connection) = state.choose(turn, Instant::now()) {
                    return Ok(connection);
                }
                // What is known is as old as the last pause: the service may have come back since.
                let since = since.get_or_insert_with(|| {
                    self.shared
                        .wanted
                        .send_modify(|wanted| *wanted = wanted.wrapping_add(1));
                    self.shared.look.notify_one();
                    state.now()
                });
                if let Some(why) = state.hopeless(since) {
                    tracing::debug!(service = ?self.shared.target, why, "no address answers");
                    return Err(Status::unavailable("no address of the service answers"));
                }
            }
            if state.changed().await.is_err() {
                return Err(Status::unavailable("the channel was closed"));
            }
        }
    }

    /// Whether any other address than this one's works, as far as is known.
    pub(crate) fn has_other(&self, than: &Arc<Connection>) -> bool {
        let now = Instant::now();
        let state = self.shared.state.borrow();
        state
            .ready()
            .any(|one| !Arc::ptr_eq(one, than) && !one.is_failing(now))
    }
}

impl Drop for Balance {
    fn drop(&mut self) {
        if let Some(keeping) = self.keeping.get() {
            keeping.abort();
        }
    }
}

impl State {
    fn ready(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let ready = self.ways.values().filter_map(|way| way.ready.as_ref());
        ready.filter(|connection| !connection.is_closed())
    }

    fn choose(&self, turn: usize, now: Instant) -> Option<Arc<Connection>> {
        let ready: Vec<_> = self.ready().collect();
        let first = turn.checked_rem(ready.len())?;
        let (before, from) = ready.split_at_checked(first)?;
        let in_turn = from.iter().chain(before);
        // Of equals the first.
        let chosen = in_turn.min_by_key(|one| (one.is_failing(now), one.under_way()))?;
        Some(Arc::clone(chosen))
    }

    fn now(&self) -> Since {
        let failures = |(address, way): (&SocketAddr, &Way)| (*address, way.failures);
        Since {
            looks: self.looks,
            failures: self.ways.iter().map(failures).collect(),
        }
    }

    /// Why nothing can be waited for, when all has failed since then; none while something can.
    fn hopeless(&self, since: &Since) -> Option<&str> {
        if self.ways.is_empty() {
            let why = self.no_look.as_deref().unwrap_or("the service has no address");
            return (self.looks > since.looks).then_some(why);
        }
        let failed = |(address, way): (&SocketAddr, &Way)| {
            way.ready.is_none() && way.failures > since.failures.get(address).copied().unwrap_or(0)
        };
        let why = self.ways.values().next().map(|way| way.why.as_str());
        why.filter(|_| self.ways.iter().all(failed))
    }
}

/// Looks at the addresses, and keeps a connection to each.
async fn keep(shared: Arc<Shared>) {
    let mut kept: BTreeMap<SocketAddr, Kept> = BTreeMap::new();
    loop {
        let looked = timeout(RESOLVE, shared.resolver.resolve()).await;
        let looked = looked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
        match looked {
            Ok(addresses) => follow(&shared, &mut kept, &addresses),
            Err(error) => {
                tracing::debug!(service = ?shared.target, %error, "the addresses cannot be looked up");
                shared.state.send_modify(|state| {
                    state.looks = state.looks.wrapping_add(1);
                    state.no_look = Some(error.to_string());
                });
            }
        }
        sleep(SPACING).await;
        tokio::select! {
            () = sleep(shared.every) => {}
            () = shared.look.notified() => {}
        }
    }
}

/// Who keeps a connection, until this is dropped.
struct Kept(JoinHandle<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins with the addresses that are new and ends with those that are gone: no request goes there any more, and those
/// under way are finished.
fn follow(shared: &Arc<Shared>, kept: &mut BTreeMap<SocketAddr, Kept>, addresses: &BTreeSet<SocketAddr>) {
    kept.retain(|address, _| addresses.contains(address));
    shared.state.send_modify(|state| {
        state.ways.retain(|address, _| addresses.contains(address));
        for address in addresses {
            state.ways.entry(*address).or_default();
        }
        state.looks = state.looks.wrapping_add(1);
        state.no_look = None;
    });
    for address in addresses {
        kept.entry(*address).or_insert_with(|| {
            let keeping = keep_connected(Arc::clone(shared), *address);
            Kept(tokio::spawn(keeping))
        });
    }
}

async fn keep_connected(shared: Arc<Shared>, address: SocketAddr) {
    let mut pause = SPACING;
    let mut wanted = shared.wanted.subscribe();
    loop {
        match shared.target.connect(address).await {
            Ok((connection, ended)) => {
                pause = SPACING;
                shared.change(address, |way| way.ready = Some(connection));
                let begun = Instant::now();
                // It is dropped, never sent.
                let _ = ended.await;
                shared.change(address, |way| way.ready = None);
                shared.look.notify_one();
                // One that takes connections and drops them at once is not asked as fast as it can drop.
                if begun.elapsed() < BACKOFF {
                    sleep(SPACING).await;
                }
            }
            Err(error) => {
                // Who came until now is answered by this failure; who comes from now on waits for the next try.
                wanted.mark_unchanged();
                shared.change(address, |way| {
                    way.failures = way.failures.wrapping_add(1);
                    way.why = error.to_string();
                });
                shared.look.notify_one();
                sleep(SPACING).await;
                tokio::select! {
                    () = sleep(shared.jitter.shorten(pause)) => {}
                    _ = wanted.changed() => {}
                }
                pause = pause.saturating_mul(2).min(BACKOFF);
            }
        }
    }
}

impl Shared {
    /// Unless the address is gone.
    fn change(&self, address: SocketAddr, change: impl FnOnce(&mut Way)) {
        self.state.send_modify(|state| {
            if let Some(known) = state.ways.get_mut(&address) {
                change(known);
            }
        });
    }
}
