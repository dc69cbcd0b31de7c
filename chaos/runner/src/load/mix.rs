//! What the requests are: each rpc that a shop lives by, through each of its services.

use std::sync::{Mutex, PoisonError};

use history_checker::{Done, Key, Kind, Look, Outcome, Tender, TenderKind, Trade};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    trade_api::DENOMINATIONS,
    traffic::{Shared, moving},
    world::{Customer, Merchant},
};

/// So many of the cards that were sold last are spent and looked at.
const IN_USE: usize = 60;
/// The number of tries, where it does not count: patience does.
const PATIENTLY: u32 = u32::MAX;

/// The requests of a run, and the cards that they made so far.
#[derive(Debug)]
pub(super) struct Mix {
    seed: u64,
    cards: Mutex<Cards>,
}

/// Merchant and card.
#[derive(Debug, Default)]
struct Cards {
    unsold: Vec<(usize, String)>,
    sold: Vec<(usize, String)>,
}

/// One request, and where it comes from.
struct Asker<'a> {
    shared: &'a Shared,
    cards: &'a Mutex<Cards>,
    random: StdRng,
    number: u32,
}

impl Mix {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            cards: Mutex::default(),
        }
    }

    /// Makes request number `number`, until it is answered or patience ends.
    pub(super) async fn request(&self, shared: &Shared, number: u32) -> Outcome {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number.into());
        let asker = Asker {
            shared,
            cards: &self.cards,
            random: StdRng::seed_from_u64(seed),
            number,
        };
        asker.request().await
    }
}

impl Asker<'_> {
    async fn request(mut self) -> Outcome {
        let merchants = &self.shared.world.merchants;
        let here = self.random.random_range(0..merchants.len().max(1));
        let customer = merchants.get(here).and_then(|merchant| {
            let customer = merchant.customers.choose(&mut self.random)?;
            Some((merchant, customer))
        });
        let Some((merchant, customer)) = customer else {
            return Outcome::Unknown("nobody is there".to_owned());
        };
        // Customers look at their points far more often than they earn any.
        match self.random.random_range(0..100) {
            0..3 => self.post(merchant, Kind::Earn, customer).await,
            3 => self.post(merchant, Kind::Burn, customer).await,
            4..88 => {
                let with_token = self.random.random_bool(0.5);
                self.shared
                    .read_wallet(self.number, merchant, customer, with_token)
                    .await
            }
            88..95 => {
                self.shared
                    .read_ledger(self.number, merchant, &customer.account)
                    .await
            }
            95 => self.issue(merchant, here).await,
            96 => self.sell(merchant, here).await,
            97 => self.redeem(merchant, here, customer).await,
            98 => self.look(merchant, here, customer).await,
            _ => self.buy(merchant, here, customer).await,
        }
    }

    async fn post(mut self, merchant: &Merchant, kind: Kind, customer: &Customer) -> Outcome {
        let name = if self.random.random_bool(0.5) {
            format!("order-{}", self.number)
        } else {
            String::new()
        };
        let amount = self.random.random_range(1..=200);
        let account = &customer.account;
        let post = match kind {
            Kind::Burn => moving(kind, name, account, &merchant.redemption, amount),
            _ => moving(kind, name, &merchant.issuance, account, amount * 2),
        };
        self.shared
            .send(self.number, merchant, self.key(), post, PATIENTLY)
            .await
    }

    async fn issue(self, merchant: &Merchant, here: usize) -> Outcome {
        let product = merchant.product.clone();
        let outcome = self.trade(merchant, &Trade::Issue { product }).await;
        if let Outcome::Done(Done::Issued { card, .. }) = &outcome {
            self.cards().unsold.push((here, card.clone()));
        }
        outcome
    }

    /// Sells a card, or makes one where none is there.
    async fn sell(mut self, merchant: &Merchant, here: usize) -> Outcome {
        let unsold = {
            let mut cards = self.cards();
            let own = cards.unsold.iter().position(|(owner, _)| *owner == here);
            own.map(|own| cards.unsold.swap_remove(own).1)
        };
        let Some(card) = unsold else {
            return self.issue(merchant, here).await;
        };
        let amount = DENOMINATIONS
            .choose(&mut self.random)
            .copied()
            .unwrap_or_default();
        let sale = Trade::Sale {
            card: card.clone(),
            amount,
        };
        let outcome = self.trade(merchant, &sale).await;
        if matches!(outcome, Outcome::Done(Done::Sold { .. })) {
            let mut cards = self.cards();
            cards.sold.push((here, card));
            let old = cards.sold.len().saturating_sub(IN_USE);
            cards.sold.drain(..old);
        }
        outcome
    }

    async fn redeem(mut self, merchant: &Merchant, here: usize, customer: &Customer) -> Outcome {
        let Some(card) = self.card(here) else {
            return self.buy(merchant, here, customer).await;
        };
        let amount = self.random.random_range(1..=300);
        self.trade(merchant, &Trade::Redemption { card, amount }).await
    }

    async fn look(mut self, merchant: &Merchant, here: usize, customer: &Customer) -> Outcome {
        let Some(key) = self.card(here) else {
            return self.buy(merchant, here, customer).await;
        };
        let authorize = self.random.random_bool(0.5);
        self.shared
            .look(self.number, merchant, &Look { key, authorize })
            .await
    }

    /// A purchase of a customer, paid in cash, and partly with a card or with points.
    async fn buy(mut self, merchant: &Merchant, here: usize, customer: &Customer) -> Outcome {
        let tender = |kind, amount, card| Tender { kind, amount, card };
        let cash = self.random.random_range(1..=20_000);
        let mut tenders = vec![tender(TenderKind::External, cash, None)];
        if self.random.random_bool(0.3)
            && let Some(card) = self.card(here)
        {
            let amount = self.random.random_range(1..=300);
            tenders.push(tender(TenderKind::GiftCard, amount, Some(card)));
        }
        if self.random.random_bool(0.2) {
            let points = self.random.random_range(1..=2) * merchant.burn_value;
            tenders.push(tender(TenderKind::Points, points, None));
        }
        let purchase = Trade::Purchase {
            amount: tenders.iter().map(|tender| tender.amount).sum(),
            tenders,
            customer: Some(customer.account.clone()),
            reference: format!("receipt-{}", self.number),
        };
        self.trade(merchant, &purchase).await
    }

    async fn trade(&self, merchant: &Merchant, trade: &Trade) -> Outcome {
        self.shared
            .trade(self.number, merchant, &self.key(), trade, PATIENTLY)
            .await
    }

    /// One of the merchant's cards that were sold.
    fn card(&mut self, here: usize) -> Option<Key> {
        let own: Vec<_> = {
            let cards = self.cards();
            let own = cards.sold.iter().filter(|(owner, _)| *owner == here);
            own.map(|(_, card)| card.clone()).collect()
        };
        let card = own.choose(&mut self.random)?.clone();
        Some(Key { card, opens: true })
    }

    fn key(&self) -> String {
        format!("load-{}", self.number)
    }

    fn cards(&self) -> std::sync::MutexGuard<'_, Cards> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
