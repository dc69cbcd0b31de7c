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
    /// Somebody called, and no address was there.
    wanted: Notify,
    jitter: Jitter,
}

#[derive(Debug, Default)]
struct State {
    ways: BTreeMap<SocketAddr, Way>,
    /// How the last look at the addresses ended; none before the first one did.
    looked: Option<Result<(), String>>,
}

#[derive(Debug)]
enum Way {
    /// For the first time, anew after it was there, or because somebody waits for it.
    Connecting,
    Ready(Arc<Connection>),
    /// It is tried again, and nobody waits for it.
    Failed(String),
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
                wanted: Notify::new(),
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
        let mut tried_again = false;
        loop {
            let hopeless = {
                let state = state.borrow_and_update();
                if let Some(connection) = state.choose(turn, Instant::now()) {
                    return Ok(connection);
                }
                state.hopeless().map(ToOwned::to_owned)
            };
            if let Some(why) = hopeless {
                if tried_again {
                    tracing::debug!(service = ?self.shared.target, why, "no address answers");
                    return Err(Status::unavailable("no address of the service answers"));
                }
                // What is known is as old as the last pause: the service may have come back since.
                tried_again = true;
                self.shared.state.send_modify(State::hope);
                self.shared.wanted.notify_waiters();
                self.shared.look.notify_one();
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
        self.ways.values().filter_map(|way| match way {
            Way::Ready(connection) if !connection.is_closed() => Some(connection),
            _ => None,
        })
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

    /// Somebody waits for the next look and the next tries.
    fn hope(&mut self) {
        if self.ways.is_empty() {
            self.looked = None;
        }
        for way in self.ways.values_mut() {
            if matches!(way, Way::Failed(_)) {
                *way = Way::Connecting;
            }
        }
    }

    /// Why nothing can be waited for; none while something can.
    fn hopeless(&self) -> Option<&str> {
        let looked = self.looked.as_ref()?;
        let mut why = looked
            .as_ref()
            .err()
            .map_or("the service has no address", String::as_str);
        for way in self.ways.values() {
            match way {
                Way::Failed(reason) => why = reason,
                Way::Connecting | Way::Ready(_) => return None,
            }
        }
        Some(why)
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
                shared
                    .state
                    .send_modify(|state| state.looked = Some(Err(error.to_string())));
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
            state.ways.entry(*address).or_insert(Way::Connecting);
        }
        state.looked = Some(Ok(()));
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
    loop {
        match shared.target.connect(address).await {
            Ok((connection, ended)) => {
                pause = SPACING;
                shared.set(address, Way::Ready(connection));
                let begun = Instant::now();
                // It is dropped, never sent.
                let _ = ended.await;
                shared.set(address, Way::Connecting);
                shared.look.notify_one();
                // One that takes connections and drops them at once is not asked as fast as it can drop.
                if begun.elapsed() < BACKOFF {
                    sleep(SPACING).await;
                }
            }
            Err(error) => {
                shared.set(address, Way::Failed(error.to_string()));
                shared.look.notify_one();
                sleep(SPACING).await;
                tokio::select! {
                    () = sleep(shared.jitter.shorten(pause)) => {}
                    () = shared.wanted.notified() => {}
                }
                pause = pause.saturating_mul(2).min(BACKOFF);
            }
        }
    }
}

impl Shared {
    /// Unless the address is gone.
    fn set(&self, address: SocketAddr, way: Way) {
        self.state.send_modify(|state| {
            if let Some(known) = state.ways.get_mut(&address) {
                *known = way;
            }
        });
    }
}
