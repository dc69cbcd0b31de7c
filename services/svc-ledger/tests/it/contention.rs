//! Two replicas that want the same at the same time.

use futures::future::join_all;
use lp_contracts::ledger::v1;
use tonic::Response;

use crate::{
    audit::audit,
    support::{Ground, credit, debit, earn, new_key, points, reason},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_names_one_transaction() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = other.client(client.merchant);
    let account = client.customer_with(1).await;
    for round in 0..10 {
        let mut calls = Vec::new();
        for n in 0..8 {
            let client = if n % 2 == 0 { client.clone() } else { there.clone() };
            // Each moves points of two accounts of its own, so that no row lock keeps them apart.
            let (from, to) = (
                client.account("PTS", v1::AccountType::Issuance).await,
                client.customer("PTS").await,
            );
            let wanted = v1::CreateTransactionRequest {
                entries: vec![debit(&from, points(1)), credit(&to, points(1))],
                reference: format!("order/{round}"),
                ..Default::default()
            };
            let request = client.request(&new_key(), wanted);
            let mut grpc = client.grpc.clone();
            calls.push(async move { grpc.create_transaction(request).await.map(Response::into_inner) });
        }
        let outcomes = join_all(calls).await;
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
        for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
            assert_eq!(reason(refused), "REFERENCE_TAKEN");
        }
    }
    // Of another merchant it is another name.
    let stranger = one.merchant();
    let theirs = stranger.customer_with(1).await;
    let mut wanted = earn(&theirs, 1);
    wanted.reference = "order/0".to_owned();
    let request = stranger.request(&new_key(), wanted);
    stranger.grpc.clone().earn(request).await.unwrap();
    assert_eq!(client.units(&account).await, 1);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_share_accounts_and_keys_do_not_deadlock() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = other.client(client.merchant);
    client.points("PTS").await;
    let accounts = join_all((0..6).map(|_| client.customer("PTS"))).await;
    let issuance = client.account("PTS", v1::AccountType::Issuance).await;
    let spread = |backwards: bool| {
        let mut entries: Vec<_> = accounts.iter().map(|a| credit(a, points(1))).collect();
        entries.push(debit(&issuance, points(6)));
        if backwards {
            entries.reverse();
        }
        entries
    };
    // The same 40 keys on both sides, one side in reverse order; each side also has its own direction.
    let calls = (0..80_usize).map(|n| {
        let (client, key) = if n % 2 == 0 {
            (&client, format!("key-{}", n / 2))
        } else {
            (&there, format!("key-{}", 39 - n / 2))
        };
        let backwards = key.len() % 2 == 0;
        let (client, entries) = (client.clone(), spread(backwards));
        async move { client.transact(&key, entries).await.unwrap() }
    });
    join_all(calls).await;
    assert_eq!(ground.count("transactions").await, 40);
    for account in &accounts {
        assert_eq!(client.units(account).await, 40);
    }
    assert_eq!(deadlocks(&ground).await, 0);
    audit(&ground).await;
}

/// How many PostgreSQL had to end.
async fn deadlocks(ground: &Ground) -> i64 {
    sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = $1")
        .bind(ground.name())
        .fetch_one(&mut ground.admin().await)
        .await
        .unwrap()
}

/// With keys of their own, so that nothing but the accounts' order keeps the replicas from waiting for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_name_accounts_in_opposite_orders_do_not_deadlock() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = other.client(client.merchant);
    client.points("PTS").await;
    let accounts = join_all((0..20).map(|_| client.customer("PTS"))).await;
    let issuance = client.account("PTS", v1::AccountType::Issuance).await;
    let mut forwards: Vec<_> = accounts.iter().map(|a| credit(a, points(1))).collect();
    forwards.push(debit(&issuance, points(20)));
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    for _ in 0..30 {
        let (key, other_key) = (new_key(), new_key());
        let (here, there) = tokio::join!(
            client.transact(&key, forwards.clone()),
            there.transact(&other_key, backwards.clone()),
        );
        here.unwrap();
        there.unwrap();
    }
    assert_eq!(client.units(&accounts[0]).await, 60);
    assert_eq!(deadlocks(&ground).await, 0);
    audit(&ground).await;
}

#[tokio::test]
async fn a_batch_that_waited_decides_on_what_it_waited_for() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let mut hold = ground.hold(&account).await;
    let burn = tokio::spawn({
        let (client, account) = (client.clone(), account.clone());
        async move { client.burn(&new_key(), &account, 1).await }
    });
    ground.somebody_waits().await;
    // Who holds the row empties the account.
    let empty = "UPDATE accounts SET posted_debits = 100 WHERE type = 1";
    hold.run(empty).await;
    hold.commit().await;
    assert_eq!(reason(&burn.await.unwrap().unwrap_err()), "INSUFFICIENT_FUNDS");
    assert_eq!(client.units(&account).await, 0);
}
