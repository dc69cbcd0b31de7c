//! Durations that differ a little, so that what began together does not end together.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Draws from a seed of its own.
#[derive(Debug)]
pub struct Jitter(Mutex<StdRng>);

impl Jitter {
    /// The seed decides every draw.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Between nine tenths of `whole` and `whole`: never longer, so that a limit stays a limit.
    pub fn shorten(&self, whole: Duration) -> Duration {
        let tenth = u64::try_from((whole / 10).as_nanos()).unwrap_or(u64::MAX);
        let cut = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_range(0..=tenth);
        whole.saturating_sub(Duration::from_nanos(cut))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn between_nine_tenths_and_the_whole(seed in any::<u64>(), whole in any::<Duration>()) {
            let short = Jitter::seeded(seed).shorten(whole);
            prop_assert!(short <= whole && short >= whole - whole / 10);
        }
    }

    #[test]
    fn a_seed_decides_and_draws_differ() {
        let draws = |seed| {
            let jitter = Jitter::seeded(seed);
            [(); 8].map(|()| jitter.shorten(Duration::from_secs(30)))
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(draws(1)[0], draws(1)[1]);
    }
}
