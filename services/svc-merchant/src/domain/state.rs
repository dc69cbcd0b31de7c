//! A merchant's life.

use serde::{Deserialize, Serialize};

/// Where a merchant stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It asked to join.
    Applied,
    /// Somebody is looking at it.
    InReview,
    /// It may join.
    Approved,
    /// It trades.
    Active,
    /// It may not trade for now.
    Suspended,
    /// It has left, for good.
    Closed,
}

impl State {
    /// Whether a merchant that stands here may go to `to` in one step.
    pub fn may_become(self, to: Self) -> bool {
        match to {
            Self::Applied => false,
            Self::InReview => self == Self::Applied,
            Self::Approved => self == Self::InReview,
            Self::Active => matches!(self, Self::Approved | Self::Suspended),
            Self::Suspended => self == Self::Active,
            Self::Closed => matches!(
                self,
                Self::InReview | Self::Approved | Self::Active | Self::Suspended
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{State::*, *};

    const ALL: [State; 6] = [Applied, InReview, Approved, Active, Suspended, Closed];
    /// Every step there is.
    const STEPS: [(State, State); 9] = [
        (Applied, InReview),
        (InReview, Approved),
        (Approved, Active),
        (Active, Suspended),
        (Suspended, Active),
        (InReview, Closed),
        (Approved, Closed),
        (Active, Closed),
        (Suspended, Closed),
    ];

    #[test]
    fn every_pair_is_as_the_table_says() {
        for from in ALL {
            for to in ALL {
                assert_eq!(
                    from.may_become(to),
                    STEPS.contains(&(from, to)),
                    "{from:?} → {to:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_tried_nobody_trades_unapproved_or_comes_back(
            tried in prop::collection::vec(prop::sample::select(ALL.to_vec()), 0..40),
        ) {
            let (mut state, mut approved, mut closed) = (Applied, false, false);
            for to in tried {
                if STEPS.contains(&(state, to)) {
                    prop_assert!(state.may_become(to));
                    state = to;
                } else {
                    prop_assert!(!state.may_become(to));
                }
                approved |= state == Approved;
                prop_assert!(approved || !matches!(state, Active | Suspended));
                prop_assert!(!closed || state == Closed);
                closed |= state == Closed;
            }
        }
    }
}
