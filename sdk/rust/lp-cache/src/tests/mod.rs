//! The cache on a real Valkey.

mod faults;
mod flights;
mod freshness;
mod proxy;
mod versions;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lp_telemetry::Metrics;
use serde::{Deserialize, Serialize};

use crate::{Hit, Key, KeySpace, Options, Source, Valkey, Version, Versioned, VersionedCache};

const TTL: Duration = Duration::from_secs(30);
const KEYS: KeySpace = KeySpace::new("test", "thing", 1);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    epoch: i64,
    sequence: i64,
}

impl Versioned for Thing {
    fn version(&self) -> Version {
        at(self.epoch, self.sequence)
    }
}

fn at(epoch: i64, sequence: i64) -> Version {
    Version { epoch, sequence }
}

/// In the epoch 1.
fn thing(sequence: i64) -> Thing {
    Thing { epoch: 1, sequence }
}

fn key() -> Key {
    KEYS.key("a")
}

/// One key prefix, and as many processes on it as a test wants.
struct Fleet(lp_config::Valkey);

impl Fleet {
    fn new() -> Self {
        let url = std::env::var("LP_TEST_VALKEY_URL").expect("no test servers: run `cargo xtask test`");
        Self::at(&url)
    }

    fn at(url: &str) -> Self {
        static FLEETS: AtomicU32 = AtomicU32::new(0);
        let number = FLEETS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{number}:", std::process::id());
        Self(lp_config::Valkey {
            valkey_url: url.parse().unwrap(),
            valkey_prefix: prefix,
        })
    }

    /// The same prefix by way of another address.
    fn via(&self, url: &str) -> Self {
        Self(lp_config::Valkey {
            valkey_url: url.parse().unwrap(),
            ..self.0.clone()
        })
    }

    /// A process whose Valkey answers.
    async fn process(&self) -> Process {
        self.process_with(TTL, TTL).await
    }

    async fn process_with(&self, local_ttl: Duration, shared_ttl: Duration) -> Process {
        let process = self.unconnected(local_ttl, shared_ttl);
        process.valkey.connected().await;
        process
    }

    fn unconnected(&self, local_ttl: Duration, shared_ttl: Duration) -> Process {
        let valkey = Valkey::open(&self.0, 7).unwrap();
        let metrics = Metrics::new();
        let options = Options {
            local_ttl,
            shared_ttl,
            local_bytes: 1 << 20,
            seed: 7,
        };
        let cache = Arc::new(VersionedCache::new("things", valkey.clone(), options, &metrics));
        Process {
            cache,
            valkey,
            metrics,
            prefix: self.0.valkey_prefix.clone(),
        }
    }
}

struct Process {
    cache: Arc<VersionedCache<Thing>>,
    valkey: Valkey,
    metrics: Metrics,
    prefix: String,
}

impl Process {
    /// Reads `key`; the database has `truth`.
    async fn read(&self, key: &Key, at_least: Option<Version>, truth: Option<i64>) -> Option<Hit<Thing>> {
        let load = || async move { Ok::<_, Infallible>(truth.map(thing)) };
        self.cache.get_or_load(key, at_least, load).await.unwrap()
    }

    /// Where a read of the one key comes from, and its sequence.
    async fn sees(&self, truth: i64) -> (Source, i64) {
        let hit = self.read(&key(), None, Some(truth)).await.unwrap();
        (hit.source, hit.value.sequence)
    }

    /// Runs Lua on `KEYS[1]`, the one key.
    async fn lua<T: fred::types::FromValue>(&self, lua: &str, argument: &str) -> T {
        let key = format!("{}{}", self.prefix, key());
        self.valkey
            .command("EVAL", vec![lua.into(), 1.into(), key.into(), argument.into()])
            .await
    }

    fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(line)?.trim().split(' ').next()?.parse().ok());
        value.unwrap_or(0)
    }
}
