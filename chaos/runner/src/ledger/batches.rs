//! Several transactions in one call: as a batch under one key, as an import under a key each, and tried without posting.
//!
//! The history has one call for each transaction. Those of a batch are known by the batch's key and their place in it,
//! and are asked for again with all of it; those of an import by their own, and are asked for again one by one, unless
//! the ledger called them posted: those have to be there in the end.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _,
    future::{join, join_all, ready},
};
use history_checker::{History, Kind, Outcome, Post, Request};
use lp_contracts::ledger::v1 as ledger;
use lp_types::MerchantId;
use rand::RngExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    api::{Failed, LedgerApi, Reading},
    traffic::{Client, PATIENCE, Shared, TRIES},
    world::Merchant,
};

/// A batch that was sent.
#[derive(Debug, Clone)]
pub(crate) struct SentBatch {
    merchant: String,
    key: String,
    posts: Vec<Post>,
}

/// Transactions of one call at most: each is a process of the client's.
const MOST: usize = 6;
/// The first process of a second call at the same time; through another replica.
const SECOND: u32 = 7;

/// What an answered import says of an item that it does not refuse: it is posted, and the answer has no more of it.
const IMPORTED: &str = "imported";
/// What an outcome begins with that no answer may have.
const WRONG: &str = "wrong: ";

/// An item of an import that the ledger called posted. It is not asked for again: that would post what was lost.
#[derive(Debug)]
pub(crate) struct Imported {
    merchant: String,
    key: String,
    reference: String,
}

/// Between the key of a batch and the place in it. No other key has it.
const PLACE: char = '/';

/// The key that the history has for a transaction of a batch.
fn key_in(batch: &str, place: usize) -> String {
    format!("{batch}{PLACE}{place}")
}

/// The key of the batch, where it is one's of a batch.
pub(super) fn batch_of(key: &str) -> Option<&str> {
    key.split_once(PLACE).map(|(batch, _)| batch)
}

/// How several go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Batch,
    Import,
}

impl Client {
    /// Some transactions in one call, with what networks and clients do to it.
    pub(super) async fn send_several(&mut self, merchant: &Merchant) {
        let mut posts = Vec::new();
        for place in 0..self.random.random_range(2..=MOST) {
            if let Some(Request::Post(mut post)) = self.wanted(merchant) {
                post.kind = Kind::General;
                if !post.reference.is_empty() {
                    post.reference = format!("{}-{place}", post.reference);
                }
                posts.push(post);
            }
        }
        let (key, patience) = (self.key(), self.patience());
        let shared = Arc::clone(&self.shared);
        if self.random.random_bool(0.5) {
            return self.import(merchant, &key, posts, patience).await;
        }
        let batch = SentBatch {
            merchant: merchant.id.to_string(),
            key,
            posts,
        };
        // At once through two replicas, or again later, or once.
        let twice = self.random.random_bool(0.2);
        let known = if self.random.random_bool(0.2) {
            let (one, other) = (self.lane(0), self.lane(SECOND));
            let send = |process| shared.once_a_batch(process, merchant, &batch, patience);
            let (one, other) = join(send(one), send(other)).await;
            one || other
        } else {
            shared
                .once_a_batch(self.lane(0), merchant, &batch, patience)
                .await
        };
        if !known || twice {
            let known = shared
                .once_a_batch(self.lane(SECOND), merchant, &batch, PATIENCE)
                .await;
            if !known {
                let mut open = shared.open_batches.lock().unwrap_or_else(PoisonError::into_inner);
                open.push(batch);
            }
        }
    }

    async fn import(&mut self, merchant: &Merchant, key: &str, mut posts: Vec<Post>, patience: Duration) {
        for (place, post) in posts.iter_mut().enumerate() {
            post.reference = format!("import-{}", imported(key, place));
        }
        let shared = Arc::clone(&self.shared);
        let outcomes = shared.several(self.lane(0), merchant, key, &posts, Way::Import, patience);
        let outcomes = outcomes.await;
        for (place, (post, outcome)) in posts.into_iter().zip(outcomes).enumerate() {
            let key = imported(key, place);
            match outcome {
                Outcome::Unknown(reason) if reason == IMPORTED => {
                    let mut all = shared.imported.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(Imported {
                        merchant: merchant.id.to_string(),
                        key,
                        reference: post.reference,
                    });
                }
                Outcome::Unknown(_) => {
                    let (lane, request) = (self.lane(SECOND), Request::Post(post));
                    shared
                        .insist(lane, merchant, &key, &request, TRIES, PATIENCE)
                        .await;
                }
                _ => {}
            }
        }
    }
}

impl Shared {
    /// Takes down what no history can tell.
    fn note(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.push(what);
    }

    /// The keys that are not asked for again.
    pub(super) fn imported_keys(&self) -> BTreeSet<(String, String)> {
        let all = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|one| (one.merchant.clone(), one.key.clone()))
            .collect()
    }

    /// What was wrong beside the history, whose transactions at the end have all that was imported.
    pub(super) fn wrong(&self, history: &History) -> Vec<String> {
        let there: BTreeSet<_> = history
            .transactions
            .iter()
            .map(|one| (one.merchant.as_str(), one.reference.as_str()))
            .collect();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = all
            .iter()
            .filter(|one| !there.contains(&(one.merchant.as_str(), one.reference.as_str())));
        wrong.extend(
            lost.map(|one| format!("imports: {} was called posted, and is not there", one.reference)),
        );
        wrong
    }

    /// Whether the outcome of all is known.
    async fn once_a_batch(
        &self,
        process: u32,
        merchant: &Merchant,
        batch: &SentBatch,
        patience: Duration,
    ) -> bool {
        let (key, posts) = (&batch.key, &batch.posts);
        let outcomes = self
            .several(process, merchant, key, posts, Way::Batch, patience)
            .await;
        !outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Unknown(_)))
    }

    /// Asks again for the batches of which nobody knows what became.
    pub(super) async fn finish_batches(&self, limit: Duration) {
        let open = std::mem::take(&mut *self.open_batches.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = Instant::now();
        for batch in open {
            let Some(merchant) = self.world.merchant(&batch.merchant) else {
                continue;
            };
            while !self.once_a_batch(0, merchant, &batch, PATIENCE).await {
                if begun.elapsed() > limit {
                    self.note(format!("batches: nobody told what became of {}", batch.key));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Sends them in one call. Each is taken down as a call of its own, under a process of its own from `process` on.
    async fn several(
        &self,
        process: u32,
        merchant: &Merchant,
        key: &str,
        posts: &[Post],
        way: Way,
        patience: Duration,
    ) -> Vec<Outcome> {
        let Some(api) = self.api(process) else {
            return Vec::new();
        };
        let sending = Sending {
            api,
            reading: &self.reading,
            merchant: merchant.id,
            key,
            posts,
            patience,
        };
        let answers = async {
            // Not before all of them are taken down as begun.
            tokio::task::yield_now().await;
            let answers = match way {
                Way::Batch => sending.batch().await,
                Way::Import => sending.import().await,
            };
            Arc::new(answers.map_err(Failed::outcome))
        };
        let answers = answers.boxed().shared();
        let merchant_id = merchant.id.to_string();
        let calls = posts.iter().enumerate().map(|(place, post)| {
            let answers = answers.clone();
            let answer = answers.then(move |answers| ready(answer(&answers, place)));
            let process = process.wrapping_add(u32::try_from(place).unwrap_or(0));
            let name = match way {
                Way::Batch => key_in(key, place),
                Way::Import => imported(key, place),
            };
            let (merchant_id, post) = (&merchant_id, Request::Post(post.clone()));
            async move {
                self.recorder
                    .call(process, merchant_id, &name, post, None, answer)
                    .await
            }
        });
        let outcomes = join_all(calls).await;
        for outcome in &outcomes {
            merchant.hear(outcome);
            if let Outcome::Unknown(reason) = outcome
                && reason.starts_with(WRONG)
            {
                self.note(format!("{way:?} {key}: {reason}"));
            }
        }
        outcomes
    }

    /// Asks what would happen. Nothing is taken down: nothing may come of it, and the key stays free.
    pub(super) async fn try_out(&self, process: u32, merchant: &Merchant, key: &str, post: &Post) {
        let Some(api) = self.api(process) else { return };
        let message = ledger::CreateTransactionRequest {
            validate_only: true,
            ..self.reading.wanted(post)
        };
        let Ok(request) = api.request(merchant.id, key, Duration::from_secs(1), message) else {
            return;
        };
        if let Err(status) = api.client.clone().create_transaction(request).await
            && status.code() == Code::Internal
            && status.get_details_error_info().is_some()
        {
            self.note(format!("dry run {key}: {status}"));
        }
    }
}

/// The key of an imported transaction.
fn imported(key: &str, place: usize) -> String {
    format!("{key}-{place}")
}

fn answer(answers: &Result<Vec<Outcome>, Outcome>, place: usize) -> Outcome {
    let missing = || Outcome::Unknown(format!("{WRONG}the answer has no place {place}"));
    match answers {
        Ok(all) => all.get(place).cloned().unwrap_or_else(missing),
        Err(outcome) => outcome.clone(),
    }
}

/// Several transactions on their way to one replica.
struct Sending<'a> {
    api: &'a LedgerApi,
    reading: &'a Reading,
    merchant: MerchantId,
    key: &'a str,
    posts: &'a [Post],
    patience: Duration,
}

impl Sending<'_> {
    async fn batch(&self) -> Result<Vec<Outcome>, Failed> {
        let message = ledger::BatchCreateTransactionsRequest {
            transactions: self.posts.iter().map(|post| self.reading.wanted(post)).collect(),
            ..Default::default()
        };
        let request = self
            .api
            .request(self.merchant, self.key, self.patience, message)?;
        let answer = self.api.client.clone().batch_create_transactions(request).await?;
        let results = answer.into_inner().results.into_iter();
        Ok(results.map(|result| self.outcome(result)).collect())
    }

    /// The answer has no transactions: those that it does not call refused are [`IMPORTED`].
    async fn import(&self) -> Result<Vec<Outcome>, Failed> {
        let items = self.posts.iter().enumerate().map(|(place, post)| {
            let transaction = Some(self.reading.wanted(post));
            ledger::ImportTransactionsRequest {
                idempotency_key: imported(self.key, place),
                transaction,
            }
        });
        let items: Vec<_> = items.collect();
        let message = futures::stream::iter(items);
        let request = self.api.request(self.merchant, "", self.patience, message)?;
        let answer = self.api.client.clone().import_transactions(request).await?;
        let answer = answer.into_inner();
        let (counted, sent) = (answer.posted.saturating_add(answer.refused), self.posts.len());
        let said = if usize::try_from(counted).is_ok_and(|counted| counted == sent) {
            IMPORTED.to_owned()
        } else {
            format!("{WRONG}{counted} of {sent} are counted")
        };
        let mut outcomes = vec![Outcome::Unknown(said); sent];
        for refusal in answer.refusals {
            let place = usize::try_from(refusal.index).ok();
            let at = place.and_then(|place| outcomes.get_mut(place));
            if let (Some(outcome), Some(why)) = (at, refusal.refusal) {
                *outcome = Outcome::Refused(why.reason);
            }
        }
        Ok(outcomes)
    }

    fn outcome(&self, result: ledger::TransactionResult) -> Outcome {
        use ledger::transaction_result::Result as Of;
        match result.result {
            Some(Of::Posted(posted)) => self
                .reading
                .posted(self.merchant, posted.transaction, &posted.balances, &posted.holds)
                .unwrap_or_else(|error| Outcome::Unknown(format!("{WRONG}{error:#}"))),
            Some(Of::Refused(refused)) => Outcome::Refused(refused.reason),
            None => Outcome::Unknown(format!("{WRONG}a result without one")),
        }
    }
}
