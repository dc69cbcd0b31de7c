//! Where a balance is read from, and what a reader is told about it.

use std::time::{Duration, Instant};

use lp_contracts::wallet::v1::{BalanceSource, GetBalanceResponse};
use tonic::Code;

use crate::{
    ledger::{Mode, position},
    records::Publisher,
    support::{Client, Ground, fields, new_key, reason, until, uuid_of},
};

fn told(answer: &GetBalanceResponse) -> (i64, i64, BalanceSource) {
    let staleness = answer.staleness.as_ref().expect("staleness");
    let staleness = Duration::try_from(*staleness).unwrap();
    assert!(staleness <= Duration::from_secs(30), "{staleness:?}");
    (
        answer.sequence,
        answer.balance.as_ref().unwrap().minor_units,
        answer.source(),
    )
}

/// Waits until two instances meet in Valkey: they connect in the background, and do without it until then.
async fn meet(one: &Client, other: &Client) {
    until("a value of one instance is found by the other", async || {
        let id = one.open(&new_key()).await.wallet_id;
        one.balance(&id).await.unwrap();
        other.balance(&id).await.unwrap().source() == BalanceSource::SharedCache
    })
    .await;
}

#[tokio::test]
async fn a_balance_comes_from_the_nearest_level_that_has_it() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    meet(&client, &elsewhere).await;
    let id = client.open("c-1").await.wallet_id;

    let first = client.balance(&id).await.unwrap();
    assert_eq!(told(&first), (0, 0, BalanceSource::Database));
    assert_eq!(first.balance.as_ref().unwrap().asset_code, "PTS");
    assert_eq!(first.posted_at, None);
    let again = client.balance(&id).await.unwrap();
    assert_eq!(told(&again), (0, 0, BalanceSource::LocalCache));
    let shared = elsewhere.balance(&id).await.unwrap();
    assert_eq!(told(&shared), (0, 0, BalanceSource::SharedCache));
    let local = elsewhere.balance(&id).await.unwrap();
    assert_eq!(told(&local), (0, 0, BalanceSource::LocalCache));

    let (status, json) = client.get(&format!("/v1/wallets/{id}/balance")).await;
    assert_eq!(status, 200);
    assert_eq!(json["source"], "BALANCE_SOURCE_LOCAL_CACHE");
    assert!(json["staleness"].as_str().unwrap().ends_with('s'));
    assert_eq!(ground.ledger.asked(), 0);
}

#[tokio::test]
async fn an_event_refreshes_the_caches() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let mut publisher = Publisher::start(&ground).await;
    client.balance(&wallet.wallet_id).await.unwrap();
    for sequence in 1..=3 {
        publisher
            .post(client.merchant, &wallet.account_id, position(sequence))
            .await;
        let found = client.reaches(&wallet.wallet_id, sequence).await;
        assert_eq!(told(&found), (sequence, 10 * sequence, BalanceSource::LocalCache));
        assert!(found.posted_at.is_some());
    }
    // A process that starts now finds it in Valkey.
    let other = ground.start().await;
    let elsewhere = other.client(client.merchant);
    meet(&client, &elsewhere).await;
    let shared = elsewhere.balance(&wallet.wallet_id).await.unwrap();
    assert_eq!(told(&shared), (3, 30, BalanceSource::SharedCache));
}

#[tokio::test]
async fn a_token_that_the_cache_has_reached_is_answered_from_it() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let mut publisher = Publisher::start(&ground).await;
    publisher
        .post(client.merchant, &wallet.account_id, position(3))
        .await;
    client.reaches(&wallet.wallet_id, 3).await;
    for sequence in [0, 1, 3] {
        let token = position(sequence).token(&wallet.account_id);
        let found = client.balance_at(&wallet.wallet_id, &token).await.unwrap();
        assert_eq!(told(&found), (3, 30, BalanceSource::LocalCache));
    }
    assert_eq!(ground.ledger.asked(), 0);
}

#[tokio::test]
async fn a_token_that_is_ahead_of_the_snapshot_is_answered_by_the_ledger() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    meet(&client, &elsewhere).await;
    let wallet = client.open("c-1").await;
    // Both levels hold an older balance.
    assert_eq!(client.balance(&wallet.wallet_id).await.unwrap().sequence, 0);
    ground.ledger.set_balance(&wallet.account_id, position(6));
    let token = position(5).token(&wallet.account_id);

    let started = Instant::now();
    let found = client.balance_at(&wallet.wallet_id, &token).await.unwrap();
    assert!(
        started.elapsed() >= Duration::from_millis(50),
        "the snapshot gets a moment first"
    );
    assert_eq!(told(&found), (6, 60, BalanceSource::Ledger));
    assert!(found.posted_at.is_some());
    assert_eq!(ground.ledger.asked(), 1);

    // What the ledger said is kept, also for those who ask without a token, and elsewhere.
    let again = client.balance_at(&wallet.wallet_id, &token).await.unwrap();
    assert_eq!(told(&again), (6, 60, BalanceSource::LocalCache));
    assert_eq!(client.balance(&wallet.wallet_id).await.unwrap().sequence, 6);
    let shared = elsewhere.balance_at(&wallet.wallet_id, &token).await.unwrap();
    assert_eq!(told(&shared), (6, 60, BalanceSource::SharedCache));
    assert_eq!(ground.ledger.asked(), 1);

    // A token of a later life of the ledger is ahead of any sequence.
    let restored = crate::ledger::Position {
        epoch: 2,
        sequence: 1,
        balance: 10,
    };
    ground.ledger.set_balance(&wallet.account_id, restored);
    let token = restored.token(&wallet.account_id);
    let found = client.balance_at(&wallet.wallet_id, &token).await.unwrap();
    assert_eq!(told(&found), (1, 10, BalanceSource::Ledger));
    assert_eq!(client.balance(&wallet.wallet_id).await.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_read_waits_a_moment_for_its_token() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    client.balance(&wallet.wallet_id).await.unwrap();
    let mut owner = ground.owner().await;
    let raise = "INSERT INTO balance_snapshots VALUES ($1, $2, 'PTS', 1, $3, $3 * 10, now())
                 ON CONFLICT (account_id) DO UPDATE SET sequence = $3, balance = $3 * 10";
    // The snapshot comes while the read is under way. On a busy machine it may come too late for one read, and
    // then the ledger answers; not for all.
    let mut sources = Vec::new();
    for sequence in 1..=20 {
        ground.ledger.set_balance(&wallet.account_id, position(sequence));
        let token = position(sequence).token(&wallet.account_id);
        let raise = async {
            tokio::time::sleep(Duration::from_millis(15)).await;
            sqlx::query(raise)
                .bind(uuid_of(&wallet.account_id))
                .bind(uuid_of(&client.merchant.to_string()))
                .bind(sequence)
                .execute(&mut owner)
                .await
                .unwrap();
        };
        let (found, ()) = tokio::join!(client.balance_at(&wallet.wallet_id, &token), raise);
        let found = found.unwrap();
        assert_eq!(found.sequence, sequence);
        sources.push(found.source());
        if found.source() == BalanceSource::Database {
            break;
        }
    }
    assert_eq!(sources.last(), Some(&BalanceSource::Database), "{sources:?}");
}

#[tokio::test]
async fn a_token_that_is_none_or_not_of_this_wallet_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (wallet, other) = (client.open("c-1").await, client.open("c-2").await);
    let far = position(i64::MAX).token(&other.account_id);
    let near = position(0).token(&other.account_id);
    for token in [far.as_str(), &near, "x", "!!!!", "AAAA", "é", &"A".repeat(5_000)] {
        // With an empty cache and with a full one.
        for _ in 0..2 {
            let started = Instant::now();
            let refused = client.balance_at(&wallet.wallet_id, token).await.unwrap_err();
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::InvalidArgument, "INVALID_FIELD")
            );
            assert_eq!(fields(&refused), ["consistencyToken"]);
            assert!(started.elapsed() < Duration::from_secs(2));
            client.balance(&wallet.wallet_id).await.unwrap();
        }
    }
    assert_eq!(
        ground.ledger.asked(),
        0,
        "no foreign token is a question to the ledger"
    );
    let path = format!("/v1/wallets/{}/balance?consistencyToken={near}", wallet.wallet_id);
    let (status, problem) = client.get(&path).await;
    assert_eq!(status, 400);
    assert_eq!(problem["violations"][0]["field"], "consistencyToken");
}

#[tokio::test]
async fn without_valkey_reads_are_right_and_quick() {
    let ground = Ground::with_topics().await;
    let closed = |config: &mut svc_wallet::config::Config| {
        config.valkey.valkey_url = "redis://127.0.0.1:1".parse().unwrap();
    };
    let instance = ground.start_with(closed).await;
    let client = instance.merchant();
    let mut publisher = Publisher::start(&ground).await;
    let wallets = [
        client.open("c-1").await,
        client.open("c-2").await,
        client.open("c-3").await,
    ];
    for wallet in &wallets {
        let started = Instant::now();
        let first = client.balance(&wallet.wallet_id).await.unwrap();
        assert_eq!(told(&first), (0, 0, BalanceSource::Database));
        let again = client.balance(&wallet.wallet_id).await.unwrap();
        assert_eq!(told(&again), (0, 0, BalanceSource::LocalCache));
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
    }
    let account = &wallets[0].account_id;
    publisher.post(client.merchant, account, position(1)).await;
    let found = client.reaches(&wallets[0].wallet_id, 1).await;
    assert_eq!(told(&found), (1, 10, BalanceSource::LocalCache));
    ground.ledger.set_balance(account, position(2));
    let token = position(2).token(account);
    let found = client.balance_at(&wallets[0].wallet_id, &token).await.unwrap();
    assert_eq!(told(&found), (2, 20, BalanceSource::Ledger));
}

#[tokio::test]
async fn while_the_ledger_is_away_a_token_is_never_answered_with_less() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    client.balance(&wallet.wallet_id).await.unwrap();
    ground.ledger.set_mode(Mode::Unavailable);
    let token = position(5).token(&wallet.account_id);
    let refused = client.balance_at(&wallet.wallet_id, &token).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    assert!(ground.ledger.asked() > 1, "it was asked again");
    // Those who do not insist are served as before.
    let found = client.balance(&wallet.wallet_id).await.unwrap();
    assert_eq!(told(&found), (0, 0, BalanceSource::LocalCache));
}
