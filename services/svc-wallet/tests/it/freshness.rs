//! A read with a token is never older than the token, whoever reads beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use lp_contracts::wallet::v1::BalanceSource;

use crate::{
    ledger::{Mode, position},
    records::Publisher,
    support::{Client, Ground, until, uuid_of},
};

/// Reads with the newest token until the writer has ended; gives how often.
async fn read_with_tokens(client: Client, wallet: String, account: String, newest: Arc<AtomicI64>) -> usize {
    let mut reads = 0;
    loop {
        let sequence = newest.load(Ordering::Acquire);
        if sequence < 0 {
            return reads;
        }
        let token = position(sequence).token(&account);
        let found = client.balance_at(&wallet, &token).await.unwrap();
        assert!(
            found.sequence >= sequence,
            "asked for {sequence}, got {} from {:?}",
            found.sequence,
            found.source()
        );
        assert_eq!(
            found.balance.unwrap().minor_units,
            position(found.sequence).balance
        );
        reads += 1;
    }
}

/// Reads without a token: in one process, time does not go back.
async fn read_without(client: Client, wallet: String, newest: Arc<AtomicI64>) -> usize {
    let (mut reads, mut last) = (0, 0);
    while newest.load(Ordering::Acquire) >= 0 {
        let found = client.balance(&wallet).await.unwrap();
        assert!(found.sequence >= last, "{} after {last}", found.sequence);
        last = found.sequence;
        reads += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_with_tokens_never_see_less_than_was_written() {
    let ground = Ground::with_topics().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let wallet = client.open("c-1").await;
    let (id, account) = (wallet.wallet_id, wallet.account_id);
    let mut publisher = Publisher::start(&ground).await;
    ground.ledger.set_balance(&account, position(0));
    let newest = Arc::new(AtomicI64::new(0));

    let mut readers = tokio::task::JoinSet::new();
    for n in 0..6 {
        let client = if n % 2 == 0 { &client } else { &elsewhere }.clone();
        readers.spawn(read_with_tokens(
            client,
            id.clone(),
            account.clone(),
            Arc::clone(&newest),
        ));
    }
    for client in [&client, &elsewhere] {
        readers.spawn(read_without(client.clone(), id.clone(), Arc::clone(&newest)));
    }
    for sequence in 1..=60 {
        // As svc-ledger does: first it knows, then the caller, and at some time the topic.
        ground.ledger.set_balance(&account, position(sequence));
        newest.store(sequence, Ordering::Release);
        if sequence % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        publisher
            .post(client.merchant, &account, position(sequence))
            .await;
    }
    newest.store(-1, Ordering::Release);
    for reads in readers.join_all().await {
        assert!(reads > 0);
    }
    client.reaches(&id, 60).await;
}

/// Readers that miss the cache together share a load. What serves one of them must not be taken for an answer to
/// another one who has seen more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_not_served_what_another_one_asked_for() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut owner = ground.owner().await;
    for n in 0..10 {
        let wallet = client.open(&format!("c-{n}")).await;
        let account = wallet.account_id.as_str();
        sqlx::query("INSERT INTO balance_snapshots VALUES ($1, $2, 'PTS', 1, 1, 10, now())")
            .bind(uuid_of(account))
            .bind(uuid_of(&client.merchant.to_string()))
            .execute(&mut owner)
            .await
            .unwrap();
        ground.ledger.set_balance(account, position(5));
        let reads = (0..12).map(|n| {
            let sequence = if n % 2 == 0 { 1 } else { 5 };
            let token = position(sequence).token(account);
            let (client, id) = (&client, &wallet.wallet_id);
            async move { (sequence, client.balance_at(id, &token).await.unwrap()) }
        });
        for (sequence, found) in join_all(reads).await {
            assert!(found.sequence >= sequence, "asked for {sequence}: {found:?}");
        }
    }
}

/// A read that has to ask a ledger which does not answer keeps nobody else waiting.
#[tokio::test]
async fn who_waits_for_the_ledger_waits_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    ground.ledger.set_mode(Mode::Hang);
    let token = position(5).token(&wallet.account_id);
    let insisting = client.within(Duration::from_secs(3));
    let id = wallet.wallet_id.clone();
    let insisting = tokio::spawn(async move { insisting.balance_at(&id, &token).await });
    until("the ledger is asked", async || ground.ledger.asked() > 0).await;
    let started = Instant::now();
    let found = client.balance(&wallet.wallet_id).await.unwrap();
    assert_eq!(found.sequence, 0);
    assert!(matches!(
        found.source(),
        BalanceSource::LocalCache | BalanceSource::SharedCache | BalanceSource::Database
    ));
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert!(insisting.await.unwrap().is_err());
}
