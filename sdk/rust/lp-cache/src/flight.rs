//! Single flight: of the callers that miss a key together, one loads.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{key::Key, local::Entry};

/// The loads under way in this process, by key.
pub(crate) struct Flights<V>(Mutex<HashMap<Key, Joined<V>>>);

struct Joined<V> {
    callers: usize,
    flight: Arc<Flight<V>>,
}

/// Locked by the caller that loads; holds what the last load gave. A caller that is dropped or whose load
/// fails leaves it to the next one.
type Flight<V> = tokio::sync::Mutex<Option<Outcome<V>>>;

/// What a load gave.
pub(crate) struct Outcome<V> {
    pub(crate) began: Instant,
    pub(crate) entry: Option<Arc<Entry<V>>>,
}

impl<V> Flights<V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    pub(crate) fn join(&self, key: &Key) -> Seat<'_, V> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = flights.entry(key.clone()).or_insert_with(|| Joined {
            callers: 0,
            flight: Arc::new(Flight::new(None)),
        });
        joined.callers += 1;
        Seat {
            flights: self,
            key: key.clone(),
            flight: Arc::clone(&joined.flight),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// One caller's place in a flight; the last to leave ends it.
pub(crate) struct Seat<'a, V> {
    flights: &'a Flights<V>,
    key: Key,
    flight: Arc<Flight<V>>,
}

impl<V> Deref for Seat<'_, V> {
    type Target = Flight<V>;

    fn deref(&self) -> &Flight<V> {
        &self.flight
    }
}

impl<V> Drop for Seat<'_, V> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = flights.get_mut(&self.key) {
            joined.callers -= 1;
            if joined.callers == 0 {
                flights.remove(&self.key);
            }
        }
    }
}
