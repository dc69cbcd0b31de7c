//! Opening a wallet while the ledger fails, and going on afterwards.

use std::time::{Duration, Instant};

use lp_contracts::wallet::v1;
use tonic::{Code, Status};

use crate::{
    ledger::{Ledger, Mode},
    support::{Client, EMAIL, Ground, contact, reason, run, until, wanted},
};

/// What a caller may be told when its deadline passed: by the service, or by its own client before that.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// A wallet that is being opened: the ledger does not answer, and the caller has gone.
async fn opening(ground: &Ground, client: &Client, key: &str) -> v1::Wallet {
    ground.ledger.set_mode(Mode::Hang);
    let hasty = client.within(Duration::from_millis(500));
    // On a busy machine the caller may go before the first step is done.
    let mut wallets = Vec::new();
    until("a wallet is being opened", async || {
        let late = hasty.create(key, wanted("c-1")).await.unwrap_err();
        assert!(is_late(&late), "{late:?}");
        wallets = client.wallets().await;
        !wallets.is_empty()
    })
    .await;
    assert_eq!(wallets.len(), 1);
    assert_eq!(wallets[0].status(), v1::WalletStatus::Opening);
    assert_eq!(wallets[0].account_id, "");
    wallets.remove(0)
}

#[tokio::test]
async fn a_ledger_that_is_away_for_a_moment_is_asked_again() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    ground.ledger.set_mode(Mode::Unavailable);
    let call = tokio::spawn(async move { client.create("k", wanted("c-1")).await });
    until("the ledger was asked twice", async || {
        ground.ledger.opened().len() > 1
    })
    .await;
    ground.ledger.set_mode(Mode::Well);
    let wallet = call.await.unwrap().unwrap().wallet.unwrap();
    assert_eq!(wallet.status(), v1::WalletStatus::Active);
    assert_eq!(ground.ledger.accounts(), 1);
    let keys: Vec<_> = ground.ledger.opened().into_iter().map(|call| call.key).collect();
    assert!(keys.iter().all(|key| key == &keys[0]), "{keys:?}");
}

#[tokio::test]
async fn while_the_ledger_is_away_the_call_is_refused_and_goes_on_later() {
    let ground = Ground::with(Ledger::absent().await).await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let refused = client.create("k", wanted("c-1")).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    let standing = client.wallets().await;
    assert_eq!(standing[0].status(), v1::WalletStatus::Opening);
    assert_eq!(ground.written().await, [1, 1, 1]);

    ground.ledger.appear().await;
    let wallet = client.create("k", wanted("c-1")).await.unwrap().wallet.unwrap();
    assert_eq!(wallet.wallet_id, standing[0].wallet_id);
    assert_eq!(wallet.status(), v1::WalletStatus::Active);
    assert_eq!(ground.written().await, [1, 1, 1]);
    assert_eq!(ground.ledger.accounts(), 1);
}

#[tokio::test]
async fn a_deadline_ends_the_call_in_time() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    ground.ledger.set_mode(Mode::Hang);
    let hasty = instance.merchant().within(Duration::from_millis(500));
    let started = Instant::now();
    let late = hasty.create("k", wanted("c-1")).await.unwrap_err();
    assert!(is_late(&late), "{late:?}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn another_key_takes_up_a_wallet_that_was_left_opening() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let left = opening(&ground, &client, "first").await;
    instance.stop().await;

    ground.ledger.set_mode(Mode::Well);
    let instance = ground.start().await;
    let client = instance.client(client.merchant);
    let newer = v1::CreateWalletRequest {
        contact: Some(contact("newer@exemple.example")),
        ..wanted("c-1")
    };
    let adopted = client.create("second", newer).await.unwrap().wallet.unwrap();
    assert_eq!(adopted.wallet_id, left.wallet_id);
    assert_eq!(adopted.status(), v1::WalletStatus::Active);

    let first = client
        .create("first", wanted("c-1"))
        .await
        .unwrap()
        .wallet
        .unwrap();
    assert_eq!(first, adopted);
    assert_eq!(ground.ledger.accounts(), 1);
    assert_eq!(ground.written().await, [1, 1, 2]);
    // The call that ended last said how to reach the customer.
    let found = client.contact(&first.account_id).await.unwrap();
    assert_eq!(found.contact, Some(contact(EMAIL)));
    let refused = client.create("third", wanted("c-1")).await.unwrap_err();
    assert_eq!(reason(&refused), "WALLET_EXISTS");
}

#[tokio::test]
async fn a_wallet_that_is_opening_has_no_balance_until_it_is_open() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let left = opening(&ground, &client, "k").await;
    for client in [&client, &elsewhere] {
        let refused = client.balance(&left.wallet_id).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unavailable, "WALLET_OPENING")
        );
    }
    let stranger = one.merchant().balance(&left.wallet_id).await.unwrap_err();
    assert_eq!(reason(&stranger), "UNKNOWN_WALLET");

    ground.ledger.set_mode(Mode::Well);
    client.create("k", wanted("c-1")).await.unwrap();
    for client in [&client, &elsewhere] {
        // At once: no cache may remember that it was opening.
        assert_eq!(client.balance(&left.wallet_id).await.unwrap().sequence, 0);
    }
}

#[tokio::test]
async fn an_unknown_asset_of_two_calls_leaves_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    opening(&ground, &client, "first").await;
    ground.ledger.forget_asset("PTS");
    ground.ledger.set_mode(Mode::Well);
    for key in ["second", "first"] {
        let refused = client.create(key, wanted("c-1")).await.unwrap_err();
        assert_eq!(reason(&refused), "UNKNOWN_ASSET");
    }
    assert_eq!(ground.written().await, [0, 0, 2]);
}

#[tokio::test]
async fn a_customer_who_gets_another_wallet_meanwhile_stays() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    ground.ledger.set_mode(Mode::Hang);
    let call = tokio::spawn(async move { client.create("k", wanted("c-1")).await });
    until("the ledger was asked", async || {
        !ground.ledger.opened().is_empty()
    })
    .await;
    let mut other = ground.owner().await;
    let begin = "BEGIN; UPDATE customers SET updated_at = updated_at;
        INSERT INTO wallets SELECT gen_random_uuid(), merchant_id, customer_id, 'EUR', 1, NULL, actor, request_id,
                                   created_at FROM wallets";
    run(&mut other, begin).await;

    ground.ledger.forget_asset("PTS");
    ground.ledger.set_mode(Mode::Well);
    ground.somebody_waits().await;
    run(&mut other, "COMMIT").await;
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "UNKNOWN_ASSET");
    assert_eq!(ground.written().await, [1, 1, 1]);
}
