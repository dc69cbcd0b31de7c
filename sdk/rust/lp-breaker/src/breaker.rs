//! Leaves what failed several times in a row alone for a moment.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::jitter::Jitter;

const FAILURES_TO_OPEN: u32 = 5;
const OPEN_FOR: Duration = Duration::from_secs(1);
/// One caller tries again; the others wait for its result at most this long before one more tries.
const PROBE: Duration = Duration::from_millis(250);

/// What stands between callers and something that may be away.
#[derive(Debug)]
pub struct Breaker {
    state: Mutex<State>,
    jitter: Jitter,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// From now on callers are kept away.
    Opened,
    /// Callers are let through again.
    Closed,
}

impl Breaker {
    /// Closed; `jitter` shortens each pause, so that many breakers do not try again at once.
    pub fn new(jitter: Jitter) -> Self {
        Self {
            state: Mutex::default(),
            jitter,
        }
    }

    /// Whether to try now.
    pub fn allows(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + PROBE);
                true
            }
        }
    }

    /// Learns how a try ended.
    pub fn record(&self, ok: bool, now: Instant) -> Change {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = state.open_until.is_some();
        if ok {
            *state = State::default();
            return if was_open { Change::Closed } else { Change::None };
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_TO_OPEN {
            return Change::None;
        }
        state.open_until = Some(now + self.jitter.shorten(OPEN_FOR));
        if was_open { Change::None } else { Change::Opened }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let breaker = Breaker::new(Jitter::seeded(1));
        let t = Instant::now();
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(breaker.record(false, t), Change::None);
        }
        assert_eq!(
            breaker.record(true, t),
            Change::None,
            "a success starts the count again"
        );
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(breaker.record(false, t), Change::None);
        }
        assert!(breaker.allows(t));
        assert_eq!(breaker.record(false, t), Change::Opened);
        assert!(!breaker.allows(t + OPEN_FOR / 2));

        let later = t + OPEN_FOR;
        assert!(breaker.allows(later));
        assert!(!breaker.allows(later), "one probe at a time");
        assert!(
            breaker.allows(later + PROBE),
            "a probe that never reports blocks nothing"
        );
        assert_eq!(breaker.record(false, later), Change::None);
        assert!(!breaker.allows(later + OPEN_FOR / 2));
        assert_eq!(breaker.record(true, later), Change::Closed);
        assert!(breaker.allows(later));
    }
}
