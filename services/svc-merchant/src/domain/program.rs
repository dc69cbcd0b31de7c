//! A merchant's programme: one earn rule and one burn rate.

use lp_types::{Amount, money::MAX_AMOUNT};
use serde::{Deserialize, Serialize};

/// The greatest number in a programme: 10^9. Products of two of them and an amount fit into 128 bits.
pub const MAX_TERM: i64 = 1_000_000_000;

/// What a programme says. Made by [`Terms::new`] alone, so that no contradiction can be stored or applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Numbers", into = "Numbers")]
pub struct Terms(Numbers);

/// The four numbers of a programme, whether or not they agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Points earned for each `earn_per` spent.
    pub earn_points: i64,
    /// Minor units of the currency.
    pub earn_per: i64,
    /// Points that pay `burn_value`.
    pub burn_points: i64,
    /// Minor units of the currency.
    pub burn_value: i64,
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name, as JSON has it.
    pub field: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// What is wrong with a programme, field by field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the programme contradicts itself: {0:?}")]
pub struct Contradiction(pub Vec<Fault>);

/// Why points cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPoints {
    /// No multiple of `burn_value`.
    #[error("must be a multiple of what the programme's burn_points pay")]
    NotAMultiple,
    /// More than one entry may move.
    #[error("is more points than can be moved at once")]
    TooMany,
}

impl Terms {
    /// From `numbers`, if they make sense: each is in its range, and burning what was earned gives back less
    /// than was spent.
    ///
    /// # Errors
    /// Each field that is wrong; all four where only together they are.
    pub fn new(numbers: Numbers) -> Result<Self, Contradiction> {
        let Numbers {
            earn_points,
            earn_per,
            burn_points,
            burn_value,
        } = numbers;
        let mut faults = Vec::new();
        if !(0..=MAX_TERM).contains(&earn_points) {
            faults.push(Fault {
                field: "earnPoints",
                what: "must be 0 to 1000000000",
            });
        }
        for (field, value) in [
            ("earnPer", earn_per),
            ("burnPoints", burn_points),
            ("burnValue", burn_value),
        ] {
            if !(1..=MAX_TERM).contains(&value) {
                faults.push(Fault {
                    field,
                    what: "must be 1 to 1000000000",
                });
            }
        }
        if !faults.is_empty() {
            return Err(Contradiction(faults));
        }
        let given_back = i128::from(earn_points).checked_mul(burn_value.into());
        let spent = i128::from(earn_per).checked_mul(burn_points.into());
        if given_back < spent {
            return Ok(Self(numbers));
        }
        let what = "burning what was earned must give back less than was spent";
        let faults = ["earnPoints", "earnPer", "burnPoints", "burnValue"].map(|field| Fault { field, what });
        Err(Contradiction(faults.into()))
    }

    /// Its numbers.
    pub fn numbers(&self) -> Numbers {
        self.0
    }

    /// Points for `spent` minor units, rounded down; none when that is zero.
    ///
    /// # Errors
    /// When it is more than one entry may move.
    pub fn earned_for(&self, spent: i64) -> Result<Option<Amount>, NoPoints> {
        let points = i128::from(spent)
            .checked_mul(self.0.earn_points.into())
            .and_then(|product| product.checked_div(self.0.earn_per.into()));
        points_of(points).map(|points| Amount::try_from(points).ok())
    }

    /// Points that pay `value` minor units.
    ///
    /// # Errors
    /// When it is no multiple of the burn value, or more than one entry may move.
    pub fn burnt_for(&self, value: Amount) -> Result<Amount, NoPoints> {
        if value.get().checked_rem(self.0.burn_value) != Some(0) {
            return Err(NoPoints::NotAMultiple);
        }
        let points = i128::from(value.get())
            .checked_div(self.0.burn_value.into())
            .and_then(|times| times.checked_mul(self.0.burn_points.into()));
        Amount::try_from(points_of(points)?).map_err(|_| NoPoints::TooMany)
    }
}

fn points_of(points: Option<i128>) -> Result<i64, NoPoints> {
    points
        .and_then(|points| i64::try_from(points).ok())
        .filter(|points| *points <= MAX_AMOUNT)
        .ok_or(NoPoints::TooMany)
}

impl TryFrom<Numbers> for Terms {
    type Error = Contradiction;

    fn try_from(numbers: Numbers) -> Result<Self, Contradiction> {
        Self::new(numbers)
    }
}

impl From<Terms> for Numbers {
    fn from(terms: Terms) -> Self {
        terms.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn numbers(earn_points: i64, earn_per: i64, burn_points: i64, burn_value: i64) -> Numbers {
        Numbers {
            earn_points,
            earn_per,
            burn_points,
            burn_value,
        }
    }

    /// Any terms, the extreme ones often.
    pub(crate) fn any_terms() -> impl Strategy<Value = Terms> {
        let term = || prop_oneof![1..=10_i64, 1..=MAX_TERM, Just(1), Just(MAX_TERM)];
        let earn = prop_oneof![Just(0), term()];
        (earn, term(), term(), term()).prop_filter_map("a contradiction", |(a, b, c, d)| {
            Terms::new(numbers(a, b, c, d)).ok()
        })
    }

    /// Any number, those around the edges often.
    fn any_number() -> impl Strategy<Value = i64> {
        prop_oneof![
            -2..=10_i64,
            1..=MAX_TERM,
            MAX_TERM - 1..=MAX_TERM + 1,
            any::<i64>()
        ]
    }

    fn fields(earn_points: i64, earn_per: i64, burn_points: i64, burn_value: i64) -> Vec<&'static str> {
        match Terms::new(numbers(earn_points, earn_per, burn_points, burn_value)) {
            Ok(_) => Vec::new(),
            Err(Contradiction(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
        }
    }

    #[test]
    fn each_field_has_its_range() {
        assert!(fields(1, 100, 100, 1).is_empty());
        assert!(fields(0, 1, 1, 1).is_empty(), "a programme may give nothing");
        assert!(fields(MAX_TERM, MAX_TERM, 2, 1).is_empty());
        for bad in [0, -1, MAX_TERM + 1, i64::MIN, i64::MAX] {
            assert_eq!(fields(1, bad, 100, 1), ["earnPer"], "{bad}");
            assert_eq!(fields(1, 100, bad, 1), ["burnPoints"], "{bad}");
            assert_eq!(fields(1, 100, 100, bad), ["burnValue"], "{bad}");
        }
        for bad in [-1, MAX_TERM + 1, i64::MIN, i64::MAX] {
            assert_eq!(fields(bad, 100, 100, 1), ["earnPoints"], "{bad}");
        }
        assert_eq!(
            fields(-1, 0, 0, 0),
            ["earnPoints", "earnPer", "burnPoints", "burnValue"]
        );
    }

    #[test]
    fn what_gives_back_as_much_as_was_spent_is_a_contradiction() {
        let all = ["earnPoints", "earnPer", "burnPoints", "burnValue"];
        assert_eq!(fields(1, 100, 1, 100), all);
        assert_eq!(fields(1, 100, 1, 101), all);
        assert!(fields(1, 100, 1, 99).is_empty());
        assert_eq!(fields(MAX_TERM, MAX_TERM, MAX_TERM, MAX_TERM), all);
    }

    #[test]
    fn points_are_counted_as_the_programme_says() {
        let terms = Terms::new(numbers(1, 100, 100, 100)).unwrap();
        let points = |spent| terms.earned_for(spent).unwrap().map_or(0, Amount::get);
        assert_eq!([0, 99, 100, 199, 2_500].map(points), [0, 0, 1, 1, 25]);
        let burnt = |value: i64| terms.burnt_for(value.try_into().unwrap()).map(Amount::get);
        assert_eq!(burnt(500), Ok(500));
        assert_eq!(burnt(501), Err(NoPoints::NotAMultiple));
        let dear = Terms::new(numbers(0, 1, MAX_TERM, 1)).unwrap();
        assert_eq!(
            dear.burnt_for(MAX_AMOUNT.try_into().unwrap()),
            Err(NoPoints::TooMany)
        );
        let lavish = Terms::new(numbers(MAX_TERM, 1, MAX_TERM, 1));
        assert!(lavish.is_err());
        let lavish = Terms::new(numbers(MAX_TERM - 1, 1, MAX_TERM, 1)).unwrap();
        assert_eq!(lavish.earned_for(MAX_AMOUNT), Err(NoPoints::TooMany));
    }

    proptest! {
        #[test]
        fn nobody_gets_back_what_they_spent(terms in any_terms(), spent in 1..=MAX_AMOUNT) {
            let Numbers { burn_points, burn_value, .. } = terms.numbers();
            if let Ok(Some(points)) = terms.earned_for(spent) {
                let back = i128::from(points.get()) / i128::from(burn_points) * i128::from(burn_value);
                prop_assert!(back < i128::from(spent));
            }
        }

        #[test]
        fn rounding_loses_less_than_a_point(terms in any_terms(), spent in 1..=MAX_AMOUNT) {
            let Numbers { earn_points, earn_per, .. } = terms.numbers();
            let exact = i128::from(spent) * i128::from(earn_points);
            match terms.earned_for(spent) {
                Ok(points) => {
                    let left = exact - i128::from(points.map_or(0, Amount::get)) * i128::from(earn_per);
                    prop_assert!((0..i128::from(earn_per)).contains(&left));
                }
                Err(why) => {
                    prop_assert_eq!(why, NoPoints::TooMany);
                    prop_assert!(exact / i128::from(earn_per) > i128::from(MAX_AMOUNT));
                }
            }
        }

        #[test]
        fn numbers_are_refused_or_make_sense(
            a in any_number(), b in any_number(), c in any_number(), d in any_number(),
        ) {
            let ranges = (0..=MAX_TERM).contains(&a) && [b, c, d].iter().all(|n| (1..=MAX_TERM).contains(n));
            let sense = ranges && i128::from(a) * i128::from(d) < i128::from(b) * i128::from(c);
            prop_assert_eq!(Terms::new(numbers(a, b, c, d)).is_ok(), sense);
        }
    }
}
