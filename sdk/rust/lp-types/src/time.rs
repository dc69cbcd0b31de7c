//! The clock and the source of ids. Both are injected, so that tests decide the time and nothing else in
//! the fleet reads a clock or draws a random number.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

/// Tells the time, UTC.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, to the microsecond, which is what the database keeps.
    fn now(&self) -> Timestamp;
}

/// Makes UUIDv7s.
pub trait IdSource: Send + Sync + std::fmt::Debug {
    /// A new UUIDv7.
    fn uuid(&self) -> Uuid;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

/// UUIDv7s from the machine's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock and an id source that travel together.
#[derive(Debug, Clone)]
pub struct Ambient {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn IdSource>,
}

impl Ambient {
    /// The machine's own.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
        }
    }
}
