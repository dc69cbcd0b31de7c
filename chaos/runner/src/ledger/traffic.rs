//! What the clients ask: everything that moves or reserves value, on few accounts, with what networks and clients do to
//! writes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use history_checker::{
    Command, Kind, Line, Outcome, Part, Post, Read, Request, Shortfall, Side, Source, State,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    api::{LedgerApi, Reading},
    batches::{Imported, SentBatch, batch_of},
    world::{Merchant, World},
};
use crate::{api::POINTS, recorder::Recorder, trade_api::CURRENCY, traffic::moving};

/// Process numbers of one client: its calls at the same time have different ones. Odd, so that the clients' first ones
/// spread over two replicas.
const LANES: u32 = 13;
/// How often a client asks again before it leaves a request alone.
pub(super) const TRIES: u32 = 5;
/// How long a client waits that is in no hurry.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// For how long holds are placed, milliseconds.
const HOLD: std::ops::RangeInclusive<u64> = 50..=2_500;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// One for each replica.
    pub(crate) apis: Vec<LedgerApi>,
    pub(crate) reading: Reading,
    pub(crate) world: World,
    pub(crate) recorder: Recorder,
    pub(crate) stop: AtomicBool,
    /// Of which nobody knows what became.
    pub(crate) open_batches: Mutex<Vec<SentBatch>>,
    /// What imports called posted.
    pub(crate) imported: Mutex<Vec<Imported>>,
    /// What was wrong that the history does not tell.
    pub(crate) wrong: Mutex<Vec<String>>,
}

pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) random: StdRng,
    number: u32,
    keys: u32,
}

/// Lets `clients` of them work until they are stopped and their last calls have ended.
pub(crate) async fn run(shared: Arc<Shared>, seed: u64, clients: u32) {
    let work = (0..clients).map(|number| {
        let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number.into()));
        let client = Client {
            shared: Arc::clone(&shared),
            random,
            number,
            keys: 0,
        };
        tokio::spawn(client.work())
    });
    join_all(work.collect::<Vec<_>>()).await;
}

/// Asks once more for everything whose outcome nobody knows, under its own key, until it is answered or the time is
/// over: the retry tells the truth.
pub(crate) async fn finish(shared: &Arc<Shared>, limit: Duration) {
    shared.finish_batches(limit).await;
    let imported = shared.imported_keys();
    let mut open: BTreeMap<(String, String, String), (Request, bool)> = BTreeMap::new();
    for call in shared.recorder.operations() {
        // A batch is asked for again as a whole, by whoever sent it.
        if batch_of(&call.key).is_some() {
            continue;
        }
        if imported.contains(&(call.merchant.clone(), call.key.clone())) {
            continue;
        }
        let known = !matches!(call.outcome, Outcome::Unknown(_));
        let text = serde_json::to_string(&call.request).unwrap_or_default();
        if !call.key.is_empty() {
            let entry = open.entry((call.merchant, call.key, text));
            let (_, answered) = entry.or_insert((call.request, false));
            *answered |= known;
        }
    }
    let begun = Instant::now();
    let asked = open.into_iter().filter(|(_, (_, answered))| !answered);
    let asked = asked
        .enumerate()
        .map(|(number, ((merchant, key, _), (request, _)))| async move {
            let Some(merchant) = shared.world.merchant(&merchant) else {
                return;
            };
            let process = u32::try_from(number).unwrap_or(0);
            while begun.elapsed() < limit {
                let outcome = shared.once(process, merchant, &key, &request, PATIENCE).await;
                if !matches!(outcome, Outcome::Unknown(_)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    // Some at a time: they would wait for each other in any case.
    let mut asked: Vec<_> = asked.collect();
    while !asked.is_empty() {
        let rest = asked.split_off(asked.len().min(64));
        join_all(asked).await;
        asked = rest;
    }
}

impl Shared {
    /// The replica that a process calls.
    pub(super) fn api(&self, process: u32) -> Option<&LedgerApi> {
        let replica = usize::try_from(process).unwrap_or(0).checked_rem(self.apis.len());
        replica.and_then(|replica| self.apis.get(replica))
    }

    /// Calls one replica, once.
    async fn once(
        &self,
        process: u32,
        merchant: &Merchant,
        key: &str,
        request: &Request,
        patience: Duration,
    ) -> Outcome {
        let Some(api) = self.api(process) else {
            return Outcome::Unknown("there is no replica".to_owned());
        };
        let call = api.call(&self.reading, merchant.id, key, request, patience);
        let merchant_id = merchant.id.to_string();
        let outcome = self
            .recorder
            .call(process, &merchant_id, key, request.clone(), None, call);
        let outcome = outcome.await;
        merchant.hear(&outcome);
        outcome
    }

    /// Calls until the outcome is known, at most so often, each time another replica. Only the first call has the
    /// patience that is given.
    pub(super) async fn insist(
        &self,
        process: u32,
        merchant: &Merchant,
        key: &str,
        request: &Request,
        tries: u32,
        patience: Duration,
    ) {
        let mut delay = Duration::from_millis(20);
        for number in 0..tries {
            let patience = if number == 0 { patience } else { PATIENCE };
            let process = process.wrapping_add(number.wrapping_mul(LANES).wrapping_add(number));
            let outcome = self.once(process, merchant, key, request, patience).await;
            if !matches!(outcome, Outcome::Unknown(_)) {
                return;
            }
            tokio::time::sleep(delay).await;
            delay = delay.saturating_mul(2);
        }
    }

    /// Reads an account, as everybody may.
    pub(crate) async fn read(&self, process: u32, merchant: &Merchant, account: &str) -> Outcome {
        let read = Request::Read(Read {
            account: account.to_owned(),
            from: Source::Ledger,
            token: None,
        });
        self.once(process, merchant, "", &read, PATIENCE).await
    }
}

impl Client {
    async fn work(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.step().await;
            let pause = self.random.random_range(2..40);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn step(&mut self) {
        let shared = Arc::clone(&self.shared);
        let at = self.random.random_range(0..shared.world.merchants.len());
        let Some(merchant) = shared.world.merchants.get(at) else {
            return;
        };
        if self.random.random_bool(0.12) {
            let account = self.any_of(&[&merchant.customers, &merchant.cards]);
            shared.read(self.lane(0), merchant, &account).await;
        } else if self.random.random_bool(0.08) {
            self.send_several(merchant).await;
        } else if let Some(request) = self.wanted(merchant) {
            self.send(merchant, request).await;
        }
    }

    /// A write, with what networks and clients do to writes.
    async fn send(&mut self, merchant: &Merchant, request: Request) {
        let key = self.key();
        let patience = self.patience();
        let shared = Arc::clone(&self.shared);
        let (one, other) = (self.lane(0), self.lane(1));
        if let Request::Post(post) = &request
            && self.random.random_bool(0.1)
        {
            shared.try_out(one, merchant, &key, post).await;
        }
        let send = |lane, tries| shared.insist(lane, merchant, &key, &request, tries, patience);
        match self.random.random_range(0..100) {
            0..70 => send(one, TRIES).await,
            // At once, through two replicas.
            70..82 => {
                join(send(one, TRIES), send(other, TRIES)).await;
            }
            // Again later, when it may have been answered.
            82..90 => {
                send(one, TRIES).await;
                send(other, TRIES).await;
            }
            // Left alone.
            90..96 => send(one, 1).await,
            // Its key comes with another request as well.
            _ => {
                let Some(another) = changed(&request) else {
                    return send(one, TRIES).await;
                };
                let reuse = shared.insist(other, merchant, &key, &another, TRIES, PATIENCE);
                join(send(one, TRIES), reuse).await;
            }
        }
    }

    /// A new one.
    pub(super) fn key(&mut self) -> String {
        self.keys = self.keys.saturating_add(1);
        format!("{}-{}", self.number, self.keys)
    }

    /// Some deadlines end in the middle of the commit.
    pub(super) fn patience(&mut self) -> Duration {
        if self.random.random_bool(0.15) {
            Duration::from_millis(self.random.random_range(1..=60))
        } else {
            PATIENCE
        }
    }

    pub(super) fn wanted(&mut self, merchant: &Merchant) -> Option<Request> {
        let amount = self.random.random_range(1..=60_i64);
        let name = if self.random.random_bool(0.5) {
            format!("order-{}-{}", self.number, self.keys)
        } else {
            String::new()
        };
        let customer = self.any_of(&[&merchant.customers]);
        let points = self.any_of(&[&merchant.customers, &merchant.closing]);
        let post = |kind, from: &str, to: &str| Request::Post(moving(kind, name.clone(), from, to, amount));
        Some(match self.random.random_range(0..100) {
            0..14 => post(Kind::Earn, &merchant.issuance, &points),
            14..26 => post(Kind::Burn, &points, &merchant.redemption),
            26..31 => post(Kind::General, &customer, &merchant.capped),
            31..34 => post(Kind::General, &merchant.capped, &customer),
            // A card is loaded.
            34..39 => {
                let card = self.any_of(&[&merchant.cards]);
                post(Kind::General, &merchant.bank, &card)
            }
            39..57 => self.place(name, amount, &customer, merchant),
            57..70 => self.capture(name, amount, merchant)?,
            70..76 => Request::Command(Command::Void {
                hold: merchant.a_hold(&mut self.random)?.id,
            }),
            76..84 => self.purchase(name, amount, merchant)?,
            84..94 => self.reverse(name, amount, merchant)?,
            _ => self.set_state(&customer, merchant),
        })
    }

    fn place(&mut self, reference: String, amount: i64, customer: &str, merchant: &Merchant) -> Request {
        let account = match self.random.random_range(0..3) {
            0 => self.any_of(&[&merchant.cards]),
            _ => customer.to_owned(),
        };
        let lasts = Duration::from_millis(self.random.random_range(HOLD));
        let lasts = u64::try_from(lasts.as_micros()).unwrap_or(0);
        Request::Command(Command::Place {
            account,
            side: Side::Debit,
            amount,
            expires_at: self.shared.recorder.now().saturating_add(lasts),
            reference,
        })
    }

    fn capture(&mut self, reference: String, amount: i64, merchant: &Merchant) -> Option<Request> {
        let hold = merchant.a_hold(&mut self.random)?;
        let is_card = merchant.cards.contains(&hold.account);
        let part = self.random.random_bool(0.7);
        Some(Request::Command(Command::Capture {
            hold: hold.id,
            amount: part.then_some(amount.min(hold.amount)),
            to: if is_card {
                &merchant.sales
            } else {
                &merchant.redemption
            }
            .clone(),
            last: self.random.random_bool(0.2),
            reference,
        }))
    }

    /// A purchase: a part from what a card's hold reserves, a part with points, the rest by bank; points are earned.
    fn purchase(&mut self, reference: String, amount: i64, merchant: &Merchant) -> Option<Request> {
        let hold = merchant.a_hold(&mut self.random)?;
        let line = |account: &str, side, amount| Line {
            account: account.to_owned(),
            side,
            amount,
            hold: None,
        };
        let customer = self.any_of(&[&merchant.customers]);
        let with_card = merchant.cards.contains(&hold.account);
        let drawn = amount.min(hold.amount);
        let drawing = |account: &str| Line {
            hold: Some(hold.id.clone()),
            ..line(account, Side::Debit, drawn)
        };
        let mut lines = if with_card {
            vec![
                drawing(&hold.account),
                line(&merchant.bank, Side::Debit, amount),
                line(&merchant.sales, Side::Credit, amount.saturating_add(drawn)),
            ]
        } else {
            vec![
                drawing(&hold.account),
                line(&merchant.redemption, Side::Credit, drawn),
                line(&merchant.cost, Side::Debit, amount),
                line(&merchant.sales, Side::Credit, amount),
            ]
        };
        lines.push(line(&merchant.issuance, Side::Debit, amount));
        lines.push(line(&customer, Side::Credit, amount));
        let releases = self.random.random_bool(0.6).then(|| hold.id.clone());
        Some(Request::Post(Post {
            kind: Kind::General,
            reference,
            lines,
            releases: releases.into_iter().collect(),
        }))
    }

    fn reverse(&mut self, reference: String, amount: i64, merchant: &Merchant) -> Option<Request> {
        let asset = if self.random.random_bool(0.7) {
            POINTS
        } else {
            CURRENCY
        };
        let part = Part {
            asset: asset.to_owned(),
            amount,
        };
        Some(Request::Command(Command::Reverse {
            transaction: merchant.a_transaction(&mut self.random)?,
            part: self.random.random_bool(0.6).then_some(part),
            shortfall: match self.random.random_range(0..10) {
                0 => Shortfall::Overdraw,
                1..4 => Shortfall::Owe(merchant.debtor.clone()),
                _ => Shortfall::Refuse,
            },
            reference,
        }))
    }

    fn set_state(&mut self, customer: &str, merchant: &Merchant) -> Request {
        let (account, state) = match self.random.random_range(0..12) {
            0 => (self.any_of(&[&merchant.closing]), State::Closed),
            1..5 => (customer.to_owned(), State::Frozen),
            // More often, so that most stand open.
            _ => (customer.to_owned(), State::Open),
        };
        Request::Command(Command::SetState { account, state })
    }

    fn any_of(&mut self, all: &[&Vec<String>]) -> String {
        let all: Vec<&String> = all.iter().copied().flatten().collect();
        let at = self.random.random_range(0..all.len().max(1));
        all.get(at).copied().cloned().unwrap_or_default()
    }

    pub(super) fn lane(&self, lane: u32) -> u32 {
        self.number.wrapping_mul(LANES).wrapping_add(lane)
    }
}

/// The same request but for its amounts; none where it has no other.
fn changed(request: &Request) -> Option<Request> {
    match request {
        Request::Post(post) => {
            let mut post = post.clone();
            for line in &mut post.lines {
                line.amount = line.amount.saturating_mul(2);
            }
            Some(Request::Post(post))
        }
        Request::Command(Command::Place {
            account,
            side,
            amount,
            expires_at,
            reference,
        }) => Some(Request::Command(Command::Place {
            account: account.clone(),
            side: *side,
            amount: amount.saturating_add(1),
            expires_at: *expires_at,
            reference: reference.clone(),
        })),
        _ => None,
    }
}
