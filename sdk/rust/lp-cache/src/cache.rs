//! The cache: both levels, and the caller's loader behind them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use lp_breaker::Jitter;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Key, Valkey, Version, Versioned,
    flight::{Flights, Outcome},
    local::{Entry, Local},
    metrics::CacheMetrics,
    valkey::{AsOf, Moment, Record},
};

/// How long, and how much, a cache keeps.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long an entry stays in process at most, zero for not at all; up to a tenth is taken off at random.
    pub local_ttl: Duration,
    /// How old a served entry is at most, over both levels together: the time that it spent in Valkey counts
    /// in process too. In Valkey up to a tenth is taken off at random.
    pub shared_ttl: Duration,
    /// Bytes in process at most, estimated by the length of the serialized values.
    pub local_bytes: u64,
    /// Decides the jitter.
    pub seed: u64,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This process.
    Local,
    /// Valkey.
    Shared,
    /// The caller's loader.
    Loader,
}

/// A value, and how far to trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// Where it came from.
    pub source: Source,
    /// How long ago the value was surely current: since its loader began, or since it was put.
    pub age: Duration,
}

/// Values of one kind, cached in process and in Valkey.
///
/// What stands in a level is replaced upwards only, by [`Versioned::version`]. A version is forgotten with
/// its entry: after that only `at_least` keeps a reader from going back, by at most
/// [`Options::shared_ttl`]. Nor do other processes hear of a `put` or `invalidate` before their own entry
/// expires; `at_least` is for those who must not wait for that.
///
/// Valkey is never a reason for an error or a long wait: an answer that takes more than 100 ms is none, and
/// after five failures in a row Valkey is left alone for a second.
pub struct VersionedCache<V> {
    local: Local<V>,
    valkey: Valkey,
    flights: Flights<V>,
    options: Options,
    jitter: Jitter,
    metrics: CacheMetrics,
}

/// Shows no value: it may be personal.
impl<V> fmt::Debug for VersionedCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedCache")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<V> VersionedCache<V>
where
    V: Versioned + Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// An empty local level in front of `valkey`; metrics carry `name` as their label `cache`.
    pub fn new(
        name: &'static str,
        valkey: Valkey,
        options: Options,
        metrics: &lp_telemetry::Metrics,
    ) -> Self {
        let metrics = CacheMetrics::new(name, metrics);
        Self {
            local: Local::new(options.local_bytes, metrics.clone()),
            valkey,
            flights: Flights::new(),
            options,
            jitter: Jitter::seeded(options.seed),
            metrics,
        }
    }

    /// The value of `key`, of at least the version given where one is given, from the nearest level that has
    /// it, else from `load`.
    ///
    /// - What `load` gives is returned also if it is below `at_least`: it is the truth, and the caller
    ///   judges. It must have been read after `load` was called.
    /// - Callers that miss together share one load where its result serves them: a value of at least their
    ///   version, or anything that began to load after they came.
    /// - `None` is not cached. Nor is an error: it goes to the caller whose load it is, and those who waited
    ///   load one after the other, so that a database in trouble gets one query per key at a time.
    /// - `load` must not read the same key from this cache: it would wait for itself.
    ///
    /// # Errors
    /// Those of `load`.
    pub async fn get_or_load<E, F, L>(
        &self,
        key: &Key,
        at_least: Option<Version>,
        load: F,
    ) -> Result<Option<Hit<V>>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<Option<V>, E>>,
    {
        let came = Instant::now();
        if let Some(entry) = self.local.get(key).await
            && entry.serves(at_least)
        {
            return Ok(self.answer(Some(&entry), Source::Local));
        }

        let seat = self.flights.join(key);
        let mut outcome = seat.lock().await;
        let standing = match &*outcome {
            // Offered again: the local level may have had no room for it, or may know better by now.
            Some(Outcome {
                entry: Some(entry), ..
            }) => Some(self.local.offer(key, Arc::clone(entry)).await),
            _ => self.local.get(key).await,
        };
        if let Some(entry) = standing.filter(|entry| entry.serves(at_least)) {
            return Ok(self.answer(Some(&entry), Source::Local));
        }
        if let Some(outcome) = outcome.as_ref().filter(|outcome| outcome.began >= came) {
            return Ok(self.answer(outcome.entry.as_deref(), Source::Local));
        }

        let (shared, moment) = self.read_shared(key).await;
        if let Some(entry) = shared {
            let entry = self.local.offer(key, Arc::new(entry)).await;
            if entry.serves(at_least) {
                return Ok(self.answer(Some(&entry), Source::Shared));
            }
        }

        let began = Instant::now();
        let entry = match load().await? {
            // Where Valkey did not say what time it was before the load, it gets nothing: it could not tell
            // later how old the value is.
            Some(value) => Some(self.store(key, value, began, moment.map(AsOf::At)).await),
            None => None,
        };
        let answer = self.answer(entry.as_deref(), Source::Loader);
        *outcome = Some(Outcome { began, entry });
        Ok(answer)
    }

    /// Writes a value that is current now, such as one just committed, through both levels, unless what
    /// stands there is newer.
    pub async fn put(&self, key: &Key, value: V) {
        self.store(key, value, Instant::now(), Some(AsOf::Now)).await;
    }

    /// Removes what both levels have, and keeps out what was read before: a load under way is answered, but
    /// not cached.
    pub async fn invalidate(&self, key: &Key) {
        let as_of = Instant::now();
        let stays = self.options.shared_ttl;
        let nothing = Entry {
            value: None,
            as_of,
            ends: as_of + stays,
            stays,
            bytes: 0,
        };
        self.local.offer(key, Arc::new(nothing)).await;
        self.invalidate_shared(key).await;
    }

    /// Offers a value to both levels, and gives what is now known.
    async fn store(&self, key: &Key, value: V, as_of: Instant, shared: Option<AsOf>) -> Arc<Entry<V>> {
        let serialized = serde_json::to_vec(&value);
        let bytes = serialized.as_ref().map_or(0, Vec::len);
        let version = value.version();
        let entry = Arc::new(self.entry(value, as_of, bytes));
        let serialized = match serialized {
            Ok(serialized) => serialized,
            Err(error) => {
                tracing::error!(%key, %error, "a value does not serialize: not cached");
                self.metrics.failed("encode");
                return entry;
            }
        };
        let standing = self.local.offer(key, Arc::clone(&entry)).await;
        if let Some(as_of) = shared {
            let ttl = self.jitter.shorten(self.options.shared_ttl);
            let started = Instant::now();
            let written = self.valkey.write(key, version, as_of, ttl, serialized).await;
            self.metrics.used("write", started.elapsed(), &written);
        }
        if standing.value.is_some() { standing } else { entry }
    }

    /// What Valkey has, and its time before anything is loaded.
    async fn read_shared(&self, key: &Key) -> (Option<Entry<V>>, Option<Moment>) {
        let started = Instant::now();
        let reply = self.valkey.read(key).await;
        self.metrics.used("read", started.elapsed(), &reply);
        let Ok(reply) = reply else { return (None, None) };

        let (age, serialized) = match reply.record() {
            Record::Value { age, value } => (age, value),
            Record::Nothing => return (None, Some(reply.now)),
            Record::Malformed => return (None, self.remove_malformed(key).await),
        };
        match (serde_json::from_slice(serialized), started.checked_sub(age)) {
            (Ok(value), Some(as_of)) => (Some(self.entry(value, as_of, serialized.len())), Some(reply.now)),
            (Ok(_), None) => (None, Some(reply.now)),
            (Err(_), _) => (None, self.remove_malformed(key).await),
        }
    }

    /// Its version may be high, and would keep good values out.
    async fn remove_malformed(&self, key: &Key) -> Option<Moment> {
        tracing::warn!(%key, "a cached value is malformed: removed");
        self.metrics.failed("decode");
        self.invalidate_shared(key).await
    }

    async fn invalidate_shared(&self, key: &Key) -> Option<Moment> {
        let started = Instant::now();
        let done = self.valkey.invalidate(key, self.options.shared_ttl).await;
        self.metrics.used("invalidate", started.elapsed(), &done);
        done.ok()
    }

    fn entry(&self, value: V, as_of: Instant, bytes: usize) -> Entry<V> {
        let ends = as_of + self.options.shared_ttl;
        let stays = self.jitter.shorten(self.options.local_ttl);
        Entry {
            value: Some(value),
            as_of,
            ends,
            stays,
            bytes,
        }
    }

    fn answer(&self, entry: Option<&Entry<V>>, source: Source) -> Option<Hit<V>> {
        self.metrics.answered(source);
        let entry = entry?;
        Some(Hit {
            value: entry.value.clone()?,
            source,
            age: entry.as_of.elapsed(),
        })
    }

    #[cfg(test)]
    pub(crate) fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }
}
