//! When a delivery that failed is tried again.

use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// How often a delivery is tried.
pub const ATTEMPTS: i32 = 10;
/// How often, while svc-wallet knows nobody who holds the account: it may lag, but not for long.
pub const ATTEMPTS_WITHOUT_CONTACT: i32 = 5;

const LONGEST_MS: u64 = 3_600_000;

/// The time from the end of attempt number `attempts` to the next: between half and the whole of 1 s, 2 s, 4 s …
/// at most an hour. The jitter is drawn from `seed`, so that what failed together is not tried together.
pub fn delay(attempts: i32, seed: u64) -> SignedDuration {
    let doublings = u32::try_from(attempts).unwrap_or(0).saturating_sub(1);
    let longest = 1_000_u64
        .saturating_mul(2_u64.saturating_pow(doublings))
        .min(LONGEST_MS);
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(doublings.into()));
    let millis = random.random_range(longest / 2..=longest);
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_an_hour() {
        for (attempts, longest) in [
            (i32::MIN, 1),
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (10, 512),
            (13, 3_600),
            (i32::MAX, 3_600),
        ] {
            let longest = SignedDuration::from_secs(longest);
            for seed in 0..50 {
                let delay = delay(attempts, seed);
                assert!(longest / 2 <= delay && delay <= longest, "{attempts}: {delay}");
            }
        }
    }

    #[test]
    fn seeds_spread_what_failed_together() {
        let delays: std::collections::BTreeSet<_> = (0..50).map(|seed| delay(5, seed)).collect();
        assert!(delays.len() > 40, "{delays:?}");
    }
}
