//! What the tills do: make, sell and spend cards, submit purchases, and look at cards.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use futures::{
    future::{join, join_all},
    stream::{self, StreamExt as _},
};
use history_checker::{Key, Look, Operation, Outcome, Request, Tender, TenderKind, Trade};
use lp_types::MerchantId;
use rand::{RngExt as _, seq::IndexedRandom as _};
use tokio::time::Instant;
use tonic::Status;

use super::{Client, LANES, Shared, TRIES};
use crate::{api::Api, cards::Secret, trade_api::DENOMINATIONS, wire::outcome_of, world::Merchant};

/// How long the tills try to finish, in the end, what they were not answered.
const FINISH: Duration = Duration::from_secs(60);
/// So many tills finish at once.
const AT_ONCE: usize = 8;

impl Client {
    /// A card is made and sold, or value is spent.
    pub(super) async fn trade(&mut self, merchant: &Merchant) {
        match self.random.random_range(0..100) {
            0..22 => self.new_card(merchant).await,
            22..45 => {
                if let Some(card) = self.card(merchant.id) {
                    let opens = self.random.random_bool(0.94);
                    let amount = self.random.random_range(1..=900);
                    let card = Key { card, opens };
                    self.submit(merchant, Trade::Redemption { card, amount }).await;
                }
            }
            _ => {
                if let Some(purchase) = self.purchase(merchant) {
                    self.submit(merchant, purchase).await;
                }
            }
        }
    }

    /// Many at once spend one card, which has not enough for all of them.
    pub(super) async fn card_rush(&mut self, merchant: &Merchant) {
        let (Some(card), Some(api)) = (self.card(merchant.id), self.shared.api(self.lane(0))) else {
            return;
        };
        // A PIN takes its time to verify, on purpose: what comes at once would wait in a queue and race no more.
        if self
            .shared
            .world
            .cards
            .secret(&card)
            .is_none_or(|secret| !secret.pin().is_empty())
        {
            return;
        }
        let held = api.get_card(merchant.id, &card).await;
        let share = held.map_or(10, |held| held.balance / 3).max(1);
        let shared = Arc::clone(&self.shared);
        let rush: Vec<_> = (0..LANES)
            .map(|lane| {
                let (card, key, lane) = (card.clone(), self.key(), self.lane(lane));
                let card = Key { card, opens: true };
                let trade = Trade::Redemption { card, amount: share };
                let shared = &shared;
                async move { shared.trade(lane, merchant, &key, &trade, TRIES).await }
            })
            .collect();
        join_all(rush).await;
    }

    /// Looks at a card of its own.
    pub(super) async fn look(&mut self, merchant: &Merchant) {
        self.look_at(merchant, merchant.id).await;
    }

    /// Looks at a card of `owner`.
    pub(super) async fn look_at(&mut self, merchant: &Merchant, owner: MerchantId) {
        let Some(card) = self.card(owner) else { return };
        let authorize = self.random.random_bool(0.5);
        let opens = !authorize || self.random.random_bool(0.9);
        let key = Key { card, opens };
        let look = Look { key, authorize };
        self.shared.look(self.lane(0), merchant, &look).await;
    }

    async fn new_card(&mut self, merchant: &Merchant) {
        let product = merchant.product.clone();
        let key = self.key();
        let (lane, other_lane) = (self.lane(0), self.lane(1));
        let shared = Arc::clone(&self.shared);
        let issue = Trade::Issue { product };
        let made = shared.trade(lane, merchant, &key, &issue, TRIES).await;
        if self.random.random_bool(0.2) {
            shared.trade(other_lane, merchant, &key, &issue, TRIES).await;
        }
        let Outcome::Done(history_checker::Done::Issued { card, .. }) = made else {
            return;
        };
        let amount = DENOMINATIONS
            .choose(&mut self.random)
            .copied()
            .unwrap_or_default();
        let sale = Trade::Sale { card, amount };
        if self.random.random_bool(0.15) {
            // Two tills sell it at once.
            let (one, two) = (self.key(), self.key());
            let first = shared.trade(lane, merchant, &one, &sale, TRIES);
            let second = shared.trade(other_lane, merchant, &two, &sale, TRIES);
            join(first, second).await;
        } else {
            self.submit(merchant, sale).await;
        }
    }

    /// Sends a trade, with what networks and clients do to writes.
    async fn submit(&mut self, merchant: &Merchant, trade: Trade) {
        let key = self.key();
        let (lane, other_lane) = (self.lane(0), self.lane(1));
        let shared = Arc::clone(&self.shared);
        let send = |lane, tries| shared.trade(lane, merchant, &key, &trade, tries);
        match self.random.random_range(0..100) {
            0..72 => drop(send(lane, TRIES).await),
            // Sent twice at once.
            72..84 => drop(join(send(lane, TRIES), send(other_lane, TRIES)).await),
            // Sent again later.
            84..91 => {
                send(lane, TRIES).await;
                send(lane, TRIES).await;
            }
            // Its key comes again with another request.
            91..94 => {
                send(lane, TRIES).await;
                let other = another(&trade);
                shared.trade(other_lane, merchant, &key, &other, TRIES).await;
            }
            // Given up at once, and finished in the end.
            _ => drop(send(lane, 1).await),
        }
    }

    fn purchase(&mut self, merchant: &Merchant) -> Option<Trade> {
        let customer = self.customer(merchant)?.account.clone();
        let customer = Some(customer).filter(|_| self.random.random_bool(0.8));
        let tender = |kind, amount, card| Tender { kind, amount, card };
        let mut tenders = Vec::new();
        if self.random.random_bool(0.35)
            && let Some(card) = self.card(merchant.id)
        {
            let opens = self.random.random_bool(0.96);
            let card = Some(Key { card, opens });
            tenders.push(tender(
                TenderKind::GiftCard,
                self.random.random_range(1..=700),
                card,
            ));
        }
        if customer.is_some() && self.random.random_bool(0.35) {
            let whole = self
                .random
                .random_range(1..=4_i64)
                .saturating_mul(merchant.burn_value);
            // Once in a while no multiple.
            let amount = whole.saturating_add(i64::from(self.random.random_bool(0.06)));
            tenders.push(tender(TenderKind::Points, amount, None));
        }
        if tenders.is_empty() || self.random.random_bool(0.7) {
            tenders.push(tender(
                TenderKind::External,
                self.random.random_range(1..=20_000),
                None,
            ));
        }
        let sum = tenders
            .iter()
            .fold(0_i64, |sum, tender| sum.saturating_add(tender.amount));
        let amount = sum.saturating_add(i64::from(self.random.random_bool(0.03)));
        let reference = match self.random.random_range(0..100) {
            0..30 => format!("order-{}-{}", self.number, self.keys),
            // Of which there are many.
            30..36 => format!("table-{}", self.random.random_range(1..=5)),
            _ => String::new(),
        };
        Some(Trade::Purchase {
            amount,
            tenders,
            customer,
            reference,
        })
    }

    fn card(&mut self, owner: MerchantId) -> Option<String> {
        self.shared.world.cards.pick(owner, &mut self.random)
    }
}

/// A trade that is not this one.
fn another(trade: &Trade) -> Trade {
    let mut other = trade.clone();
    match &mut other {
        Trade::Issue { .. } => {}
        // To a denomination as well.
        Trade::Sale { amount, .. } => {
            *amount = DENOMINATIONS
                .into_iter()
                .find(|one| one != amount)
                .unwrap_or(*amount);
        }
        Trade::Redemption { amount, .. } => *amount = amount.saturating_add(1),
        Trade::Purchase { reference, .. } => reference.push_str("-again"),
    }
    other
}

impl Shared {
    /// Sends a trade.
    pub(crate) async fn trade(
        &self,
        process: u32,
        merchant: &Merchant,
        key: &str,
        trade: &Trade,
        tries: u32,
    ) -> Outcome {
        let request = Request::Trade(trade.clone());
        let call = |api: Arc<Api>| async move { self.trade_once(&api, merchant, key, trade).await };
        self.insist(process, merchant, key, &request, tries, call).await
    }

    async fn trade_once(&self, api: &Api, merchant: &Merchant, key: &str, trade: &Trade) -> Outcome {
        let done = match trade {
            Trade::Issue { product } => {
                let (outcome, secret) = api.issue(merchant.id, key, product).await;
                if let (Outcome::Done(history_checker::Done::Issued { card, .. }), Some(secret)) =
                    (&outcome, secret)
                {
                    self.world.cards.keep(card, merchant.id, secret);
                }
                return outcome;
            }
            Trade::Sale { card, amount } => api.sell(merchant.id, key, card, *amount).await,
            Trade::Redemption { card, amount } => match self.secret(card) {
                Ok(secret) => api.redeem(merchant.id, key, &secret, *amount).await,
                Err(status) => Err(status),
            },
            Trade::Purchase {
                tenders, customer, ..
            } => {
                let secrets: Result<Vec<_>, _> = tenders
                    .iter()
                    .filter_map(|tender| tender.card.as_ref())
                    .map(|key| self.secret(key))
                    .collect();
                let wallet = customer.as_deref().and_then(|account| {
                    let of = merchant.customers.iter().find(|one| one.account == account)?;
                    Some((of.wallet.as_str(), account))
                });
                match secrets {
                    Ok(secrets) => {
                        let bought = api.purchase(merchant.id, key, trade, wallet, &secrets).await;
                        bought.map(|(done, token)| {
                            token.into_iter().for_each(|token| self.world.keep(token));
                            done
                        })
                    }
                    Err(status) => Err(status),
                }
            }
        };
        done.map_or_else(|status| outcome_of(&status), Outcome::Done)
    }

    fn secret(&self, key: &Key) -> Result<Secret, Status> {
        let secret = self.world.cards.secret(&key.card);
        let secret = secret.ok_or_else(|| Status::invalid_argument("nobody has this card"))?;
        Ok(if key.opens { secret } else { secret.spoilt() })
    }

    /// Looks at a card.
    pub(crate) async fn look(&self, process: u32, merchant: &Merchant, look: &Look) -> Outcome {
        let request = Request::Look(look.clone());
        let call = |api: Arc<Api>| async move {
            let seen = if look.authorize {
                match self.secret(&look.key) {
                    Ok(secret) => api.authorize(merchant.id, &secret).await,
                    Err(status) => Err(status),
                }
            } else {
                api.get_card(merchant.id, &look.key.card).await
            };
            seen.map_or_else(|status| outcome_of(&status), Outcome::Card)
        };
        self.insist(process, merchant, "", &request, TRIES, call).await
    }
}

/// Sends every trade that nobody was answered once more, with its key, until it is: what was begun must end.
///
/// # Errors
/// When one is not answered by the whole and mended fleet.
pub(crate) async fn finish(shared: &Shared) -> anyhow::Result<()> {
    let operations = shared.recorder.operations();
    let open = open_trades(&operations);
    let end = Instant::now().checked_add(FINISH);
    let finished = stream::iter(open.into_iter().map(|call| async move {
        let (Request::Trade(trade), Some(merchant)) = (&call.request, shared.world.merchant(&call.merchant))
        else {
            return Ok(());
        };
        loop {
            let outcome = shared
                .trade(call.process, merchant, &call.key, trade, TRIES)
                .await;
            match outcome {
                Outcome::Unknown(reason) if end.is_none_or(|end| Instant::now() > end) => {
                    bail!(
                        "the mended fleet does not finish {trade:?} with key {}: {reason}",
                        call.key
                    )
                }
                Outcome::Unknown(_) => {}
                _ => return Ok(()),
            }
        }
    }));
    let finished: Vec<_> = finished.buffer_unordered(AT_ONCE).collect().await;
    finished.into_iter().collect()
}

/// One call of each trade that was never answered.
fn open_trades(operations: &[Operation]) -> Vec<&Operation> {
    let same = |one: &Operation, other: &Operation| {
        (&one.merchant, &one.key, &one.request) == (&other.merchant, &other.key, &other.request)
    };
    let mut open: Vec<&Operation> = Vec::new();
    for call in operations {
        if !matches!(call.request, Request::Trade(_)) {
            continue;
        }
        match &call.outcome {
            Outcome::Unknown(_) if !open.iter().any(|known| same(known, call)) => {
                let answered =
                    |other: &&Operation| same(other, call) && !matches!(other.outcome, Outcome::Unknown(_));
                if !operations.iter().any(|other| answered(&other)) {
                    open.push(call);
                }
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_once_is_not_open() {
        let call = |key: &str, outcome| Operation {
            id: 0,
            process: 0,
            start: 0,
            end: 0,
            merchant: "m".to_owned(),
            key: key.to_owned(),
            request: Request::Trade(Trade::Issue {
                product: "p".to_owned(),
            }),
            outcome,
            given_up: None,
        };
        let lost = || Outcome::Unknown("UNAVAILABLE".to_owned());
        let refused = Outcome::Refused("UNKNOWN_PRODUCT".to_owned());
        let calls = [
            call("a", lost()),
            call("b", lost()),
            call("b", lost()),
            call("a", refused),
        ];
        let open: Vec<_> = open_trades(&calls).iter().map(|call| call.key.clone()).collect();
        assert_eq!(open, ["b"]);
    }
}
