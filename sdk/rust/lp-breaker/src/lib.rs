//! Leaving alone what fails.
//!
//! Owns the one circuit breaker ([`Breaker`], used by `lp-cache` for Valkey and by `lp-client` for each service called)
//! and the one jitter of durations ([`Jitter`]). Knows no network and no clock: callers say what time it is.
//!
//! Invariants and the tests that hold them:
//! - five failures in a row open it for a second, one probe at a time closes it: `breaker::tests`;
//! - a jittered duration is never longer than the whole: `jitter::tests`.

mod breaker;
mod jitter;

pub use breaker::{Breaker, Change};
pub use jitter::Jitter;
