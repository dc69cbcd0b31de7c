//! The queue and its poster alone, so that a test decides what is in one batch: everything is queued before
//! the poster begins.

use std::pin::Pin;

use futures::{FutureExt as _, future::join_all};
use ledger_domain::{Command, NewTransaction, Refusal};
use lp_pg::{Database, idempotency::Claim};
use lp_telemetry::Metrics;
use lp_types::{IdSource as _, RequestId, SystemIds, TransactionId, time::Ambient};
use svc_ledger::application::post_transaction::{
    Order, Outcome, Poster, Queue, Terms, Verdict, Wanted, poster,
};
use tokio::task::unconstrained;

use crate::{
    audit::audit,
    support::{Client, Ground},
};

type Posting<'q> = Pin<Box<dyn Future<Output = lp_error::Result<Verdict>> + 'q>>;

pub struct Stage {
    pub queue: Queue,
    pub poster: Poster,
    pub metrics: Metrics,
}

impl Stage {
    pub fn new(ground: &Ground) -> Self {
        let metrics = Metrics::new();
        let database: Database = ground.database.open();
        let (queue, poster) = poster(database, Ambient::system(), lp_outbox::Wake::default(), &metrics);
        Self {
            queue,
            poster,
            metrics,
        }
    }

    /// Queues `wanted` and posts it: one batch, as far as it fits.
    pub async fn post(self, wanted: Vec<Wanted>) -> Vec<lp_error::Result<Verdict>> {
        let Self {
            queue,
            poster,
            metrics,
        } = self;
        let mut postings: Vec<_> = wanted.into_iter().map(|one| enqueue(&queue, one)).collect();
        for posting in &mut postings {
            assert!(posting.as_mut().now_or_never().is_none(), "it waits");
        }
        tokio::spawn(poster.run());
        let verdicts = join_all(postings).await;
        drop(metrics);
        verdicts
    }
}

pub fn enqueue(queue: &Queue, wanted: Wanted) -> Posting<'_> {
    Box::pin(queue.post(wanted))
}

/// What a caller of `client`'s merchant wants. The fingerprint is made of the amount.
pub fn wanted(client: &Client, key: &str, transaction: NewTransaction) -> Wanted {
    let amount = match &transaction {
        NewTransaction::General { entries, .. } => entries[0].amount,
        NewTransaction::Earn { amount, .. } | NewTransaction::Burn { amount, .. } => *amount,
        NewTransaction::Capture { .. } => panic!("no hold is captured here"),
    };
    let mut fingerprint = [0; 32];
    fingerprint[..8].copy_from_slice(&amount.get().to_be_bytes());
    let caller = lp_types::CallerContext {
        merchant: client.merchant,
        actor: "till-7".to_owned().try_into().unwrap(),
        request: RequestId::from_uuid(SystemIds.uuid()),
    };
    let claim = Claim {
        caller,
        rpc: "Test",
        key: key.to_owned().try_into().unwrap(),
        fingerprint,
        at: Ambient::system().clock.now(),
    };
    Wanted {
        claim,
        orders: vec![Order {
            command: Command::Post(transaction),
            terms: Terms::default(),
            transaction: TransactionId::from_uuid(SystemIds.uuid()),
        }],
        all_or_nothing: true,
        traceparent: None,
    }
}

pub fn earn(account: &str, amount: i64) -> NewTransaction {
    NewTransaction::Earn {
        account: account.parse().unwrap(),
        amount: amount.try_into().unwrap(),
        asset: "PTS".to_owned().try_into().unwrap(),
    }
}

pub fn burn(account: &str, amount: i64) -> NewTransaction {
    NewTransaction::Burn {
        account: account.parse().unwrap(),
        amount: amount.try_into().unwrap(),
        asset: "PTS".to_owned().try_into().unwrap(),
    }
}

pub fn posted(verdict: &lp_error::Result<Verdict>) -> bool {
    matches!(verdict, Ok(Verdict::Done { .. }))
}

#[tokio::test]
async fn a_batch_is_decided_in_order_of_arrival() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let before = ground.written().await;
    let verdicts = Stage::new(&ground)
        .post(vec![
            wanted(&client, "1", burn(&account, 8)),
            wanted(&client, "2", burn(&account, 8)),
            wanted(&client, "3", earn(&account, 6)),
            wanted(&client, "4", burn(&account, 8)),
            wanted(&client, "5", burn(&account, 1)),
        ])
        .await;
    let outcome: Vec<_> = verdicts.iter().map(posted).collect();
    assert_eq!(outcome, [true, false, true, true, false]);
    let Ok(Verdict::Refused {
        refusal: Refusal::InsufficientFunds { would_be, .. },
        ..
    }) = &verdicts[1]
    else {
        panic!("{:?}", verdicts[1]);
    };
    assert_eq!(would_be.get(), -6, "after the first, before the third");
    let written = ground.written().await;
    assert_eq!(written, [before[0] + 3, before[1] + 6, before[2] + 5]);
    // Sequence 1 was the first earn's.
    let sequences: Vec<_> = verdicts
        .iter()
        .filter_map(|v| match v {
            Ok(Verdict::Done { outcomes, .. }) => Some(outcomes),
            _ => None,
        })
        .flatten()
        .filter_map(|outcome| match outcome {
            Ok(Outcome::Posted { transaction, .. }) => Some(transaction),
            _ => None,
        })
        .flat_map(|t| t.entries.iter().filter(|e| e.account.to_string() == account))
        .map(|e| (e.account_sequence, e.balance_after.get()))
        .collect();
    assert_eq!(sequences, [(2, 2), (3, 8), (4, 0)]);
    audit(&ground).await;
}

#[tokio::test]
async fn one_key_in_one_batch_posts_once_and_another_request_under_it_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let verdicts = Stage::new(&ground)
        .post(vec![
            wanted(&client, "same", earn(&account, 1)),
            wanted(&client, "same", earn(&account, 2)),
            wanted(&client, "same", earn(&account, 1)),
        ])
        .await;
    assert_eq!(verdicts[0].as_ref().unwrap(), verdicts[2].as_ref().unwrap());
    assert_eq!(verdicts[1].as_ref().unwrap(), &Verdict::KeyReused);

    // What the first of a batch asks under a key says nothing of the others: the record does.
    let verdicts = Stage::new(&ground)
        .post(vec![
            wanted(&client, "same", earn(&account, 2)),
            wanted(&client, "same", earn(&account, 1)),
        ])
        .await;
    assert_eq!(verdicts[0].as_ref().unwrap(), &Verdict::KeyReused);
    assert!(posted(&verdicts[1]), "{:?}", verdicts[1]);
    assert_eq!(client.units(&account).await, 11);
}

#[tokio::test]
async fn a_caller_that_gave_up_before_its_batch_posts_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let before = ground.written().await;
    let Stage { queue, poster, .. } = Stage::new(&ground);
    let mut gone = enqueue(&queue, wanted(&client, "gone", earn(&account, 1)));
    let mut stays = enqueue(&queue, wanted(&client, "stays", earn(&account, 2)));
    assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
    drop(gone);
    tokio::spawn(poster.run());
    assert!(posted(&stays.await));
    assert_eq!(
        ground.written().await,
        [before[0] + 1, before[1] + 2, before[2] + 1]
    );
    assert_eq!(client.units(&account).await, 12);
}

#[tokio::test]
async fn a_full_share_of_the_queue_refuses_at_once_and_another_merchant_finds_room() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let Stage { queue, poster, .. } = Stage::new(&ground);
    // As much as streams may have, then as much as calls may.
    let mut streamed = Vec::new();
    loop {
        assert!(streamed.len() < 100_000, "the streams' part has no end");
        let key = format!("stream-{}", streamed.len());
        let entering = queue.enter(wanted(&client, &key, earn(&account, 1)));
        // Or tokio would make it wait after some, though there is room.
        match unconstrained(entering).now_or_never() {
            Some(entered) => streamed.push(entered.unwrap().verdict()),
            None => break,
        }
    }
    let mut waiting = Vec::new();
    let refused = loop {
        assert!(waiting.len() < 100_000, "the queue has no end");
        let key = waiting.len().to_string();
        let mut posting = enqueue(&queue, wanted(&client, &key, earn(&account, 1)));
        match posting.as_mut().now_or_never() {
            None => waiting.push(posting),
            Some(verdict) => break verdict.unwrap_err(),
        }
    };
    assert_eq!(refused.reason(), "OVERLOADED");
    assert!(refused.retry_after().is_some());
    let stranger = instance.merchant();
    let theirs = stranger.customer_with(10).await;
    let mut other = enqueue(&queue, wanted(&stranger, "other", earn(&theirs, 1)));
    assert!(other.as_mut().now_or_never().is_none(), "it waits");
    // What waited is posted, and there is room again.
    let accepted = i64::try_from(waiting.len() + streamed.len()).unwrap();
    tokio::spawn(poster.run());
    assert!(join_all(waiting).await.iter().all(posted) && posted(&other.await));
    assert!(join_all(streamed).await.iter().all(posted));
    assert!(posted(
        &queue.post(wanted(&client, "after", earn(&account, 1))).await
    ));
    assert_eq!(client.units(&account).await, 10 + accepted + 1);
    audit(&ground).await;
}

#[tokio::test]
async fn a_poster_ends_with_its_queues_and_answers_what_waited() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let Stage { queue, poster, .. } = Stage::new(&ground);
    let mut waiting = {
        let (queue, wanted) = (queue.clone(), wanted(&client, "key", earn(&account, 1)));
        Box::pin(async move { queue.post(wanted).await })
    };
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(queue);
    let running = tokio::spawn(poster.run());
    assert!(posted(&waiting.await));
    running.await.unwrap();
}
