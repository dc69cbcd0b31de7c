//! Room that many merchants use, of which none takes all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lp_types::MerchantId;

/// How much of some room each merchant has taken. None gets more than three quarters of it, so that there is some
/// for the others whatever one of them sends.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    taken: Mutex<HashMap<MerchantId, usize>>,
}

/// What a merchant has taken; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    of: Shares,
    merchant: MerchantId,
    weight: usize,
}

impl Shares {
    /// Of a room of so much.
    pub fn of(room: usize) -> Self {
        let most = room.saturating_sub(room / 4);
        Self(Arc::new(Inner {
            most,
            taken: Mutex::default(),
        }))
    }

    /// So much for a merchant; none where it would be too much. What is more than a whole share is let in alone.
    pub fn take(&self, merchant: MerchantId, weight: usize) -> Option<Share> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.get(&merchant).copied().unwrap_or_default();
        let after = before.saturating_add(weight);
        if before > 0 && after > self.0.most {
            return None;
        }
        taken.insert(merchant, after);
        Some(Share {
            of: self.clone(),
            merchant,
            weight,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let after = taken
            .get(&self.merchant)
            .map(|before| before.saturating_sub(self.weight));
        match after {
            Some(rest) if rest > 0 => _ = taken.insert(self.merchant, rest),
            _ => _ = taken.remove(&self.merchant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merchant(number: char) -> MerchantId {
        let text = format!(
            "mer_0199f0c1d2e37a4b8c5d6e7f8091{}",
            String::from(number).repeat(4)
        );
        text.parse().unwrap()
    }

    #[test]
    fn one_takes_three_quarters_and_another_finds_room() {
        let shares = Shares::of(8);
        let (one, other) = (merchant('1'), merchant('2'));
        let mut held: Vec<_> = (0..6).map(|_| shares.take(one, 1).unwrap()).collect();
        assert!(shares.take(one, 1).is_none());
        let others = shares.take(other, 2).unwrap();
        held.pop();
        held.push(shares.take(one, 1).unwrap());
        drop((held, others));
        assert!(shares.0.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_more_than_a_share_goes_alone() {
        let shares = Shares::of(1);
        let one = merchant('1');
        let held = shares.take(one, 500).unwrap();
        assert!(shares.take(one, 1).is_none());
        drop(held);
        shares.take(one, 1).unwrap();
    }
}
