//! Reversals: what a transaction moved goes back, all of it or in parts, never more than it moved.
//!
//! A part is named in one asset, for example 40 of the 80 EUR of a purchase. Of every other asset the same share goes
//! back, counted over all reversals of the transaction so far and rounded half up; the last part leaves nothing. Within
//! an asset and a side, a part is spread over the lines in proportion to what is left of each, by largest remainder;
//! of equal remainders the earlier line takes the unit.

use std::collections::BTreeMap;

use lp_types::{AccountId, Amount, AssetCode, MerchantId, TransactionId};

use crate::{Direction, Refusal, TransactionKind};

/// A reversal to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReversal {
    /// What is reversed.
    pub transaction: TransactionId,
    /// How much of it, in one of its assets; none: all that is left.
    pub part: Option<(Amount, AssetCode)>,
    /// What happens where an account no longer has what it would give back.
    pub shortfall: Shortfall,
}

/// What happens where an account no longer has what a reversal takes back, for example points that were spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortfall {
    /// The reversal is refused.
    Refuse,
    /// The account falls below its least balance, and may give nothing until it is above again.
    Overdraw,
    /// This account owes what is missing of its asset; what is missing of another is refused.
    Owe(AccountId),
}

/// A posted transaction, and what of it was reversed so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its id.
    pub id: TransactionId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// What it did.
    pub kind: TransactionKind,
    /// Its entries, by line.
    pub lines: Vec<OriginalLine>,
}

/// An entry of a posted transaction, and what of it was reversed so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalLine {
    /// Its line within the transaction, from 1.
    pub line: i16,
    /// The account.
    pub account: AccountId,
    /// The side.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
    /// How much of it was reversed so far: 0 to `amount`.
    pub reversed: i64,
}

impl OriginalLine {
    fn left(&self) -> i128 {
        i128::from(self.amount.get()).saturating_sub(i128::from(self.reversed))
    }
}

/// Of an asset, over one side of a transaction.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    total: i128,
    reversed: i128,
}

impl Original {
    /// How much of each line goes back, in the lines' order.
    ///
    /// # Errors
    /// When nothing is left, the part is more than is left, or the asset is not one of the transaction's.
    pub(crate) fn shares(&self, part: Option<&(Amount, AssetCode)>) -> Result<Vec<i64>, Refusal> {
        if self.kind == TransactionKind::Reversal {
            return Err(Refusal::NotReversible { transaction: self.id });
        }
        // Both sides of an asset have equal sums, of what was posted and of what was reversed.
        let mut sums: BTreeMap<&AssetCode, Sums> = BTreeMap::new();
        for line in self
            .lines
            .iter()
            .filter(|line| line.direction == Direction::Debit)
        {
            let sum = sums.entry(&line.asset).or_default();
            sum.total = sum.total.saturating_add(line.amount.get().into());
            sum.reversed = sum.reversed.saturating_add(line.reversed.into());
        }
        let left = |sums: &Sums| sums.total.saturating_sub(sums.reversed);
        if sums.values().all(|sums| left(sums) <= 0) {
            return Err(Refusal::NothingToReverse { transaction: self.id });
        }
        let going: BTreeMap<&AssetCode, i128> = match part {
            None => sums.iter().map(|(asset, sums)| (*asset, left(sums))).collect(),
            Some((amount, asset)) => {
                let named = sums.get(asset).ok_or_else(|| Refusal::AssetNotInvolved {
                    transaction: self.id,
                    asset: asset.clone(),
                })?;
                let amount = i128::from(amount.get());
                if amount > left(named) {
                    return Err(Refusal::ReversalExceeded {
                        transaction: self.id,
                        asset: asset.clone(),
                        left: i64::try_from(left(named)).unwrap_or(i64::MAX),
                    });
                }
                let share = named.reversed.saturating_add(amount);
                let of = |(other, sums): (&&'_ AssetCode, &Sums)| {
                    let until_now = if *other == asset {
                        share
                    } else {
                        half_up(sums.total.saturating_mul(share), named.total)
                    };
                    until_now.saturating_sub(sums.reversed).clamp(0, left(sums))
                };
                sums.iter().map(|one| (*one.0, of(one))).collect()
            }
        };
        Ok(self.spread(&going))
    }

    /// Spreads what goes back of each asset over the lines of each side.
    fn spread(&self, going: &BTreeMap<&AssetCode, i128>) -> Vec<i64> {
        let mut shares = vec![0_i64; self.lines.len()];
        for (asset, amount) in going {
            for side in [Direction::Debit, Direction::Credit] {
                let is_of = |line: &OriginalLine| line.asset == **asset && line.direction == side;
                let places: Vec<usize> = (0..)
                    .zip(&self.lines)
                    .filter(|(_, line)| is_of(line))
                    .map(|(place, _)| place)
                    .collect();
                let weights: Vec<i128> = self
                    .lines
                    .iter()
                    .filter(|line| is_of(line))
                    .map(OriginalLine::left)
                    .collect();
                for (place, share) in places.into_iter().zip(largest_remainder(*amount, &weights)) {
                    if let Some(slot) = shares.get_mut(place) {
                        *slot = i64::try_from(share).unwrap_or(i64::MAX);
                    }
                }
            }
        }
        shares
    }
}

/// `amount / of`, rounded half up; both are at most 10^36 and not negative.
fn half_up(amount: i128, of: i128) -> i128 {
    let twice = amount.saturating_mul(2).saturating_add(of);
    twice.checked_div(of.saturating_mul(2)).unwrap_or(0)
}

/// Splits `amount` in proportion to `weights`: no share is above its weight as long as `amount` is not above their sum.
fn largest_remainder(amount: i128, weights: &[i128]) -> Vec<i128> {
    let sum = weights
        .iter()
        .fold(0_i128, |sum, weight| sum.saturating_add(*weight));
    let product = |weight: &i128| weight.saturating_mul(amount);
    let mut shares: Vec<i128> = weights
        .iter()
        .map(|weight| product(weight).checked_div(sum).unwrap_or(0))
        .collect();
    let given = shares
        .iter()
        .fold(0_i128, |sum, share| sum.saturating_add(*share));
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    let remainder = |place: &usize| {
        weights
            .get(*place)
            .and_then(|weight| product(weight).checked_rem(sum))
            .unwrap_or(0)
    };
    // Stable: of equal remainders the earlier comes first.
    by_remainder.sort_by_key(|place| std::cmp::Reverse(remainder(place)));
    let rest = usize::try_from(amount.saturating_sub(given)).unwrap_or(0);
    for place in by_remainder.into_iter().take(rest) {
        if let Some(share) = shares.get_mut(place) {
            *share = share.saturating_add(1);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_do_not_divide_go_to_the_largest_remainders_and_none_is_lost() {
        assert_eq!(largest_remainder(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(largest_remainder(2, &[50, 30, 20]), [1, 1, 0]);
        assert_eq!(largest_remainder(100, &[50, 30, 20]), [50, 30, 20]);
        assert_eq!(largest_remainder(0, &[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(0, &[]), [0; 0]);
    }

    #[test]
    fn halves_go_up() {
        for (amount, of, rounded) in [(5, 10, 1), (4, 10, 0), (15, 10, 2), (14, 10, 1), (0, 10, 0)] {
            assert_eq!(half_up(amount, of), rounded, "{amount} / {of}");
        }
    }
}
