//! The level in process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache, notification::RemovalCause, ops::compute::Op};

use crate::{Version, Versioned, key::Key, metrics::CacheMetrics};

/// What moka and [`Entry`] keep beside key and value, roughly.
const OVERHEAD: usize = 256;

/// What is known of a key.
pub(crate) struct Entry<V> {
    /// `None`: invalidated; what was read before `as_of` is not to be trusted.
    pub(crate) value: Option<V>,
    /// When the value was known to be current, at the latest.
    pub(crate) as_of: Instant,
    /// When it is too old to be served at all.
    pub(crate) ends: Instant,
    /// How long it stays in process, unless it ends before.
    pub(crate) stays: Duration,
    /// Length of the serialized value, as a measure of its size.
    pub(crate) bytes: usize,
}

impl<V: Versioned> Entry<V> {
    pub(crate) fn serves(&self, at_least: Option<Version>) -> bool {
        self.ends > Instant::now()
            && self
                .value
                .as_ref()
                .is_some_and(|value| at_least.is_none_or(|least| value.version() >= least))
    }

    /// The rule of both levels (`write.lua` has it for Valkey). Equal versions are equal values: the one
    /// that was current later stays.
    fn replaces(&self, standing: &Self) -> bool {
        match (&self.value, &standing.value) {
            (None, _) => true,
            (Some(_), None) => self.as_of >= standing.as_of,
            (Some(new), Some(old)) => (new.version(), self.as_of) > (old.version(), standing.as_of),
        }
    }
}

/// Entries in process, bounded by bytes.
pub(crate) struct Local<V>(Cache<Key, Arc<Entry<V>>>);

impl<V: Versioned + Send + Sync + 'static> Local<V> {
    pub(crate) fn new(bytes: u64, metrics: CacheMetrics) -> Self {
        let weigh = |key: &Key, entry: &Arc<Entry<V>>| {
            u32::try_from(key.as_str().len() + entry.bytes + OVERHEAD).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigh)
            .expire_after(AtItsTime)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    metrics.evicted();
                }
            })
            .build();
        Self(entries)
    }

    pub(crate) async fn get(&self, key: &Key) -> Option<Arc<Entry<V>>> {
        self.0.get(key).await
    }

    /// Stores `entry` unless what stands is to stay; gives what stands afterwards.
    pub(crate) async fn offer(&self, key: &Key, entry: Arc<Entry<V>>) -> Arc<Entry<V>> {
        let offered = Arc::clone(&entry);
        let decide = |standing: Option<moka::Entry<Key, Arc<Entry<V>>>>| {
            let stays = standing.is_some_and(|standing| !offered.replaces(standing.value()));
            std::future::ready(if stays { Op::Nop } else { Op::Put(offered) })
        };
        let result = self.0.entry_by_ref(key).and_compute_with(decide).await;
        result.into_entry().map_or(entry, moka::Entry::into_value)
    }
}

struct AtItsTime;

impl<V: Send + Sync + 'static> Expiry<Key, Arc<Entry<V>>> for AtItsTime {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry<V>>, now: Instant) -> Option<Duration> {
        Some(entry.stays.min(entry.ends.saturating_duration_since(now)))
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Arc<Entry<V>>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.stays.min(entry.ends.saturating_duration_since(now)))
    }
}
