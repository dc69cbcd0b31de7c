//! What the clients do: a walk that the seed decides, as fast as the answers come.

mod tills;

use std::{
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use tills::finish;

use futures::future::{join, join_all};
use history_checker::{Balance, Kind, Line, Outcome, Post, Read, Request, Side, Source};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tonic::Status;

use crate::{
    api::Api,
    recorder::Recorder,
    wire::outcome_of,
    world::{Customer, Merchant, World},
};

/// Calls that one client makes at once, at most: each gets a process number of its own. Odd, so that the clients'
/// first lanes spread over two replicas.
const LANES: u32 = 7;
/// How often a write is sent while its outcome is unknown.
const TRIES: u32 = 8;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// One for each replica that is called now.
    pub(crate) apis: RwLock<Vec<Arc<Api>>>,
    pub(crate) world: World,
    pub(crate) recorder: Recorder,
    pub(crate) stop: AtomicBool,
    /// Where there is one, a call whose outcome is unknown is made again until so much time has passed, in place of a
    /// number of tries.
    pub(crate) patience: Option<Duration>,
}

/// One client.
struct Client {
    shared: Arc<Shared>,
    random: StdRng,
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

impl Client {
    async fn work(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.step().await;
            let pause = self.random.random_range(5..60);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn step(&mut self) {
        let shared = Arc::clone(&self.shared);
        let here = self.random.random_range(0..shared.world.merchants.len());
        let Some(merchant) = shared.world.merchants.get(here) else {
            return;
        };
        match self.random.random_range(0..100) {
            0..34 => self.write(merchant).await,
            34..38 => self.rush(merchant).await,
            38..72 => self.trade(merchant).await,
            72..76 => self.card_rush(merchant).await,
            76..90 => self.read(merchant).await,
            90..96 => self.look(merchant).await,
            _ => {
                let stranger = shared
                    .world
                    .merchants
                    .get((here + 1) % shared.world.merchants.len());
                if let Some(stranger) = stranger {
                    self.trespass(merchant, stranger).await;
                }
            }
        }
    }

    /// A write, with what networks and clients do to writes.
    async fn write(&mut self, merchant: &Merchant) {
        let Some(post) = self.wanted(merchant) else {
            return;
        };
        let key = self.key();
        let (lane, other_lane) = (self.lane(0), self.lane(1));
        let shared = Arc::clone(&self.shared);
        let send = |lane, post: Post| shared.send(lane, merchant, key.clone(), post, TRIES);
        // Still balanced.
        let mut other = post.clone();
        other
            .lines
            .iter_mut()
            .for_each(|line| line.amount = line.amount.saturating_mul(2));
        match self.random.random_range(0..100) {
            0..65 => drop(send(lane, post).await),
            // Sent twice at once.
            65..77 => drop(join(send(lane, post.clone()), send(other_lane, post)).await),
            // Sent again later.
            77..85 => {
                send(lane, post.clone()).await;
                send(lane, post).await;
            }
            // Its key comes again with another request: later, and at once.
            85..89 => {
                send(lane, post).await;
                send(lane, other).await;
            }
            89..92 => drop(join(send(lane, post), send(other_lane, other)).await),
            // Given up at once, whatever became of it.
            _ => drop(shared.send(lane, merchant, key.clone(), post, 1).await),
        }
    }

    /// Many at once take from one account what is not there for all of them.
    async fn rush(&mut self, merchant: &Merchant) {
        let Some(customer) = self.customer(merchant) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let Some(api) = shared.api(self.lane(0)) else {
            return;
        };
        let held = api.ledger_balance(merchant.id, &customer.account).await;
        let share = held.map_or(10, |held| held.balance / 3).max(1);
        let rush: Vec<_> = (0..LANES)
            .map(|lane| {
                let (from, to) = (&customer.account, &merchant.redemption);
                let post = moving(Kind::Burn, String::new(), from, to, share);
                shared.send(self.lane(lane), merchant, self.key(), post, TRIES)
            })
            .collect();
        join_all(rush).await;
    }

    async fn read(&mut self, merchant: &Merchant) {
        let Some(customer) = self.customer(merchant) else {
            return;
        };
        let lane = self.lane(0);
        match self.random.random_range(0..10) {
            0..3 => self.shared.read_ledger(lane, merchant, &customer.account).await,
            // Hot, and in every batch.
            3 => self.shared.read_ledger(lane, merchant, &merchant.issuance).await,
            4..7 => self.shared.read_wallet(lane, merchant, customer, false).await,
            _ => self.shared.read_wallet(lane, merchant, customer, true).await,
        };
    }

    /// Asks for what is another merchant's.
    async fn trespass(&mut self, merchant: &Merchant, stranger: &Merchant) {
        let (Some(own), Some(theirs)) = (self.customer(merchant), self.customer(stranger)) else {
            return;
        };
        let lane = self.lane(0);
        match self.random.random_range(0..4) {
            3 => self.look_at(merchant, stranger.id).await,
            0 => drop(self.shared.read_ledger(lane, merchant, &theirs.account).await),
            1 => drop(self.shared.read_wallet(lane, merchant, theirs, false).await),
            _ => {
                let post = moving(Kind::General, String::new(), &theirs.account, &own.account, 1);
                let key = self.key();
                self.shared.send(lane, merchant, key, post, TRIES).await;
            }
        }
    }

    fn wanted(&mut self, merchant: &Merchant) -> Option<Post> {
        let amount = self.random.random_range(1..=200_i64);
        // Without a name, nothing but the key keeps a write from being posted twice.
        let name = if self.random.random_bool(0.5) {
            format!("order-{}-{}", self.number, self.keys)
        } else {
            String::new()
        };
        let (one, two) = (self.customer(merchant)?, self.customer(merchant)?);
        let (one, two, capped) = (&one.account, &two.account, &merchant.capped);
        Some(match self.random.random_range(0..10) {
            0..5 => moving(
                Kind::Earn,
                name,
                &merchant.issuance,
                one,
                amount.saturating_mul(2),
            ),
            5..7 => moving(Kind::Burn, name, one, &merchant.redemption, amount),
            7 => moving(Kind::General, name, capped, two, amount),
            // Several legs; where both customers are one, two entries of one account.
            _ => {
                let mut post = moving(Kind::General, name, one, two, amount);
                post.lines
                    .extend(moving(Kind::General, String::new(), one, capped, amount).lines);
                post
            }
        })
    }

    fn customer<'a>(&mut self, merchant: &'a Merchant) -> Option<&'a Customer> {
        merchant
            .customers
            .get(self.random.random_range(0..merchant.customers.len()))
    }

    fn key(&mut self) -> String {
        self.keys = self.keys.saturating_add(1);
        format!("{}-{}", self.number, self.keys)
    }

    fn lane(&self, lane: u32) -> u32 {
        self.number.saturating_mul(LANES).saturating_add(lane)
    }
}

/// A transaction that takes from one account and gives to another.
pub(crate) fn moving(kind: Kind, reference: String, from: &str, to: &str, amount: i64) -> Post {
    let line = |account: &str, side| Line {
        account: account.to_owned(),
        side,
        amount,
        hold: None,
    };
    Post {
        kind,
        reference,
        lines: vec![line(from, Side::Debit), line(to, Side::Credit)],
        releases: Vec::new(),
    }
}

impl Shared {
    /// The replica that process number `process` calls.
    fn api(&self, process: u32) -> Option<Arc<Api>> {
        let number = usize::try_from(process).ok()?;
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.get(number.checked_rem(apis.len())?).cloned()
    }

    /// Makes a call, again while its outcome is unknown, at most `tries` times or as long as patience lasts, each time
    /// at another replica.
    async fn insist<C, F>(
        &self,
        process: u32,
        merchant: &Merchant,
        key: &str,
        request: &Request,
        tries: u32,
        call: C,
    ) -> Outcome
    where
        C: Fn(Arc<Api>) -> F,
        F: Future<Output = Outcome>,
    {
        let first = self.recorder.now();
        let begun = Instant::now();
        let mut delay = Duration::from_millis(50);
        let mut outcome = Outcome::Unknown("never sent".to_owned());
        for number in 1_u32.. {
            let Some(api) = self.api(process.wrapping_add(number)) else {
                break;
            };
            // One that is given up on purpose says nothing about the fleet.
            let given_up = (number == TRIES).then_some(first);
            outcome = self
                .recorder
                .call(
                    process,
                    &merchant.id.to_string(),
                    key,
                    request.clone(),
                    given_up,
                    call(api),
                )
                .await;
            let enough = match self.patience {
                None => number >= tries,
                Some(patience) => begun.elapsed().saturating_add(delay) >= patience,
            };
            if !matches!(outcome, Outcome::Unknown(_)) || enough {
                break;
            }
            tokio::time::sleep(delay).await;
            delay = delay.saturating_mul(2).min(Duration::from_secs(1));
        }
        outcome
    }

    /// Sends a write.
    pub(crate) async fn send(
        &self,
        process: u32,
        merchant: &Merchant,
        key: String,
        post: Post,
        tries: u32,
    ) -> Outcome {
        let request = Request::Post(post.clone());
        let (key, post) = (key.as_str(), &post);
        let call = |api: Arc<Api>| async move {
            let (outcome, tokens) = api.post(merchant.id, key, post).await;
            tokens.into_iter().for_each(|token| self.world.keep(token));
            outcome
        };
        self.insist(process, merchant, key, &request, tries, call).await
    }

    pub(crate) async fn read_ledger(&self, process: u32, merchant: &Merchant, account: &str) -> Outcome {
        let read = Request::Read(Read {
            account: account.to_owned(),
            from: Source::Ledger,
            token: None,
        });
        let call =
            |api: Arc<Api>| async move { read_outcome(api.ledger_balance(merchant.id, account).await) };
        self.insist(process, merchant, "", &read, TRIES, call).await
    }

    pub(crate) async fn read_wallet(
        &self,
        process: u32,
        merchant: &Merchant,
        of: &Customer,
        with_token: bool,
    ) -> Outcome {
        let token = if with_token {
            self.world.token(&of.account)
        } else {
            None
        };
        let read = Request::Read(Read {
            account: of.account.clone(),
            from: Source::Wallet,
            token: token.as_ref().map(|token| token.sequence),
        });
        let token = token.as_ref();
        let call = |api: Arc<Api>| async move {
            let answer = api.wallet_balance(merchant.id, &of.wallet, &of.account, token);
            read_outcome(answer.await)
        };
        self.insist(process, merchant, "", &read, TRIES, call).await
    }
}

fn read_outcome(answer: Result<Balance, Status>) -> Outcome {
    answer.map_or_else(|status| outcome_of(&status), Outcome::Balance)
}
