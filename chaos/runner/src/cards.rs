//! The cards that a run's tills have in hand, with their codes. Histories have the cards' ids only.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use lp_types::MerchantId;
use rand::{RngExt as _, rngs::StdRng};

/// What opens a card.
#[derive(Clone, Hash)]
pub(crate) struct Secret {
    code: String,
    pin: String,
}

impl Secret {
    pub(crate) fn new(code: String, pin: String) -> Self {
        Self { code, pin }
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn pin(&self) -> &str {
        &self.pin
    }

    /// The same code with a PIN that is not the card's, also where the card has none.
    pub(crate) fn spoilt(&self) -> Self {
        let turn = |c: char| char::from_digit(c.to_digit(10).map_or(0, |digit| (digit + 1) % 10), 10);
        let pin = if self.pin.is_empty() { "0000" } else { &self.pin };
        Self {
            code: self.code.clone(),
            pin: pin.chars().filter_map(turn).collect(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A card that somebody was told of.
#[derive(Debug, Clone)]
pub(crate) struct InHand {
    pub(crate) merchant: MerchantId,
    pub(crate) secret: Secret,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct Cards(Mutex<BTreeMap<String, InHand>>);

impl Cards {
    pub(crate) fn keep(&self, id: &str, merchant: MerchantId, secret: Secret) {
        let card = InHand { merchant, secret };
        self.lock().insert(id.to_owned(), card);
    }

    pub(crate) fn secret(&self, id: &str) -> Option<Secret> {
        self.lock().get(id).map(|card| card.secret.clone())
    }

    /// One of a merchant's newest, of which many are still worth something.
    pub(crate) fn pick(&self, merchant: MerchantId, random: &mut StdRng) -> Option<String> {
        const NEWEST: usize = 6;
        let cards = self.lock();
        let own: Vec<_> = cards
            .iter()
            .filter(|(_, card)| card.merchant == merchant)
            .collect();
        let newest = own.len().saturating_sub(NEWEST)..own.len();
        let of = own.get(newest)?;
        let at = random.random_range(0..of.len().max(1));
        of.get(at).map(|(id, _)| (*id).clone())
    }

    /// Every id, with its merchant.
    pub(crate) fn all(&self) -> Vec<(String, MerchantId)> {
        let cards = self.lock();
        cards
            .iter()
            .map(|(id, card)| (id.clone(), card.merchant))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, InHand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoilt_pin_is_another_one_of_the_same_form() {
        let secret = Secret::new("ABCD".to_owned(), "0129".to_owned());
        assert_eq!((secret.spoilt().code(), secret.spoilt().pin()), ("ABCD", "1230"));
        let secret = Secret::new("ABCD".to_owned(), String::new());
        assert_eq!(secret.spoilt().pin(), "1111");
    }
}
