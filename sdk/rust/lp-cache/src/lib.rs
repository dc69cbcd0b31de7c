//! A two-level, versioned cache-aside.
//!
//! Owns: the levels (in process, Valkey), the rule that decides which of two entries stays, the single
//! flight of loads, and doing without Valkey. Owns no truth: the caller's loader reads it (PostgreSQL).
//! Start with [`VersionedCache`]. fred is used here only, and no type of it is public.
//!
//! ```no_run
//! use lp_cache::{KeySpace, Options, Valkey, Version, Versioned, VersionedCache};
//! use std::time::Duration;
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Balance { sequence: i64, minor_units: i64 }
//!
//! impl Versioned for Balance {
//!     fn version(&self) -> Version { Version { epoch: 1, sequence: self.sequence } }
//! }
//!
//! const BALANCES: KeySpace = KeySpace::new("svc-wallet", "balance", 1);
//!
//! async fn read_from_database() -> Result<Option<Balance>, std::io::Error> {
//!     Ok(Some(Balance { sequence: 7, minor_units: 100 }))
//! }
//!
//! # async fn example(config: &lp_config::Valkey, metrics: &lp_telemetry::Metrics, seed: u64)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let valkey = Valkey::open(config, seed)?;
//! let ttl = Duration::from_secs(30);
//! let options = Options { local_ttl: ttl, shared_ttl: ttl, local_bytes: 10 << 20, seed };
//! let cache = VersionedCache::new("balance", valkey, options, metrics);
//!
//! let key = BALANCES.key("wal_1");
//! let token = Some(Version { epoch: 1, sequence: 7 });
//! if let Some(hit) = cache.get_or_load(&key, token, read_from_database).await? {
//!     println!("{} from {:?}, at most {:?} old", hit.value.minor_units, hit.source, hit.age);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariants and the tests that hold them:
//! - an older version never replaces a newer one, in either level: `tests::versions`;
//! - a caller with a version gets no cached entry below it: `tests::versions::at_least_forces_a_load`;
//! - nothing cached is served older than [`Options::shared_ttl`], counted from before it was read, over both
//!   levels together: `tests::freshness`;
//! - what was read before an invalidation is not cached after it: `tests::freshness`;
//! - concurrent misses of a key load once: `tests::flights`;
//! - Valkey lost, slow, answering errors or nonsense is not an error, and costs little time:
//!   `tests::faults`.

mod cache;
mod flight;
mod key;
mod local;
mod metrics;
mod valkey;
mod version;

#[cfg(test)]
mod tests;

pub use cache::{Hit, Options, Source, VersionedCache};
pub use key::{Key, KeySpace};
pub use valkey::{OpenError, Valkey};
pub use version::{Version, Versioned};
