//! What the issuer gave, kept: fetched again by one task at a time and not too often; what is kept stays
//! when a fetch fails.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::{SignedDuration, Timestamp};
use lp_types::Clock;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Gets a new value from the issuer.
pub(crate) trait Fetch: Send + Sync + 'static {
    type Value: Send + Sync + 'static;

    /// At least this long between two fetches.
    const SPACING: SignedDuration;

    /// The value as of `now`, or for the log what went wrong.
    fn fetch(&self, now: Timestamp) -> impl Future<Output = Result<Self::Value, String>> + Send;
}

/// The newest value of `F`, if there is one.
pub(crate) struct Kept<F: Fetch>(Arc<Shared<F>>);

struct Shared<F: Fetch> {
    source: F,
    clock: Arc<dyn Clock>,
    /// Held while a fetch is under way.
    flight: Arc<Mutex<()>>,
    state: RwLock<State<F::Value>>,
}

struct State<V> {
    value: Option<Arc<V>>,
    /// When the last fetch ended.
    ended: Option<Timestamp>,
    /// What went wrong with it.
    failure: Option<String>,
}

impl<F: Fetch> Kept<F> {
    pub(crate) fn new(source: F, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            source,
            clock,
            flight: Arc::default(),
            state: RwLock::new(State {
                value: None,
                ended: None,
                failure: None,
            }),
        }))
    }

    pub(crate) fn get(&self) -> Option<Arc<F::Value>> {
        self.read(|state| state.value.clone())
    }

    /// Keeps the value no longer if it `is` the one that is meant.
    pub(crate) fn forget(&self, is: impl FnOnce(&F::Value) -> bool) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.value = state.value.take().filter(|value| !is(value));
    }

    /// What went wrong with the last fetch; none when it went well.
    pub(crate) fn failure(&self) -> Option<String> {
        self.read(|state| state.failure.clone())
    }

    /// Fetches anew, unless that was done a moment ago; waits for it.
    pub(crate) async fn refresh(&self) {
        if !self.is_due() {
            return;
        }
        let flight = Arc::clone(&self.0.flight).lock_owned().await;
        // Whoever held the lock may have done it.
        if self.is_due() {
            // In a task of its own, so that it ends although its caller goes away. Its end is in the state.
            let _ = tokio::spawn(self.handle().fetch(flight)).await;
        }
    }

    /// Fetches anew, unless that is under way or was done a moment ago; waits for nothing.
    pub(crate) fn refresh_in_background(&self) {
        if self.is_due()
            && let Ok(flight) = Arc::clone(&self.0.flight).try_lock_owned()
        {
            tokio::spawn(self.handle().fetch(flight));
        }
    }

    async fn fetch(self, _flight: OwnedMutexGuard<()>) {
        let fetched = self.0.source.fetch(self.0.clock.now()).await;
        let ended = self.0.clock.now();
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.ended = Some(ended);
        state.failure = match fetched {
            Ok(value) => {
                state.value = Some(Arc::new(value));
                None
            }
            Err(failure) => {
                tracing::warn!(kept = state.value.is_some(), failure, "the token issuer failed");
                Some(failure)
            }
        };
    }

    /// True also when the clock went back behind the last fetch.
    fn is_due(&self) -> bool {
        let ended = self.read(|state| state.ended);
        ended.is_none_or(|ended| self.0.clock.now().duration_since(ended).abs() >= F::SPACING)
    }

    fn read<T>(&self, of: impl FnOnce(&State<F::Value>) -> T) -> T {
        of(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Fetch> fmt::Debug for Kept<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
