//! A purchase while something fails, and going on afterwards: each time it is one purchase and one transaction.

use std::time::Duration;

use lp_contracts::merchant::v1::{self, MerchantState, PurchaseState};
use tonic::{Code, Status};

use crate::{
    cards::{Card, Mode},
    gate::Way,
    support::{
        Client, Ground, Shop, by_card, bytes, external, new_key, program, purchase, reason, run, until,
        uuid_of,
    },
};

/// What a caller may be told when its deadline passed: by the service, or by its own client before that.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// What is bought: 6.00 by card, 10.00 outside, 10 points earned.
fn wanted(card: &Card, wallet_id: &str) -> v1::SubmitPurchaseRequest {
    purchase(wallet_id, [by_card(card, 600), external(1_000)])
}

/// The stage of the one purchase there is, as its column has it.
async fn stage(ground: &Ground) -> Option<i16> {
    sqlx::query_scalar("SELECT state FROM purchases")
        .fetch_optional(&mut ground.owner().await)
        .await
        .unwrap()
}

/// It was posted once, and the key gives the same answer again.
async fn once(ground: &Ground, shop: &Shop, client: &Client, card: &Card, wallet: &(String, String)) {
    let answer = client.submit("k", wanted(card, &wallet.0)).await.unwrap();
    let bought = answer.purchase.clone().unwrap();
    assert_eq!(
        (bought.state(), bought.points_earned),
        (PurchaseState::Posted, 10)
    );
    assert_eq!(client.purchase(&bought.purchase_id).await.unwrap(), bought);
    assert_eq!(
        bytes(&client.submit("k", wanted(card, &wallet.0)).await.unwrap()),
        bytes(&answer)
    );
    assert_eq!(shop.books.balance(&card.account).await, 400);
    assert_eq!(shop.books.balance(&wallet.1).await, 10);
    assert_eq!(shop.books.balance(&shop.accounts.sales_account_id).await, 1_600);
    assert_eq!(ground.count("purchases").await, 1);
    // The card's value, and the purchase.
    assert_eq!(ground.ledger.count("transactions").await, 2);
    let token = &answer.consistency_token;
    let read = ground.wallet_balance(client.merchant, &wallet.0, token).await;
    assert_eq!(read.balance.unwrap().minor_units, 10);
}

/// Where the service is killed.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// It has planned, and asks svc-wallet.
    AtTheWallet,
    /// It asks svc-giftcard.
    AtTheCard,
    /// It knows all accounts, and has not written them.
    BeforeAuthorised,
    /// It has fixed the entries, and the ledger knows nothing.
    BeforeTheLedger,
    /// The ledger has posted, and its answer does not come.
    AfterTheLedger,
    /// The answer came, and is not written.
    BeforeTheEnd,
}

impl Death {
    const ALL: [Self; 6] = [
        Self::AtTheWallet,
        Self::AtTheCard,
        Self::BeforeAuthorised,
        Self::BeforeTheLedger,
        Self::AfterTheLedger,
        Self::BeforeTheEnd,
    ];
}

#[tokio::test]
async fn a_service_that_is_killed_anywhere_leaves_it_to_the_next() {
    for death in Death::ALL {
        let ground = Ground::new().await;
        let mortal = ground.start_mortal().await;
        let shop = ground.shop_with_program(&mortal.instance).await;
        let card = ground.card(&shop, 1_000).await;
        let wallet = ground.wallet(&shop, 0).await;
        let wallet = (wallet.wallet_id, wallet.account_id);

        match death {
            Death::AtTheWallet => ground.to_wallets.set(Way::Mute),
            Death::AtTheCard | Death::BeforeAuthorised => ground.cards.set_mode(Mode::Hang),
            Death::BeforeTheLedger => ground.to_ledger.set(Way::Shut),
            Death::AfterTheLedger | Death::BeforeTheEnd => ground.to_ledger.set(Way::Mute),
        }
        let (client, order) = (shop.client.clone(), wanted(&card, &wallet.0));
        let call = tokio::spawn(async move { client.submit("k", order).await });
        let posted = async || ground.ledger.count("transactions").await == 2;
        let held = match death {
            Death::AtTheWallet => {
                until("it is planned", async || stage(&ground).await == Some(1)).await;
                None
            }
            Death::AtTheCard => {
                until("the card was asked for", async || ground.cards.asked() == 1).await;
                None
            }
            Death::BeforeTheLedger => {
                until("it is authorised", async || stage(&ground).await == Some(2)).await;
                None
            }
            Death::AfterTheLedger => {
                until("the ledger has posted", posted).await;
                None
            }
            Death::BeforeAuthorised | Death::BeforeTheEnd => {
                if matches!(death, Death::BeforeTheEnd) {
                    until("the ledger has posted", posted).await;
                } else {
                    until("the card was asked for", async || ground.cards.asked() == 1).await;
                }
                let held = ground.hold("SELECT FROM purchases FOR UPDATE").await;
                ground.cards.set_mode(Mode::Well);
                ground.to_ledger.set(Way::Open);
                let waits = ground.somebody_waits().await;
                Some((held, waits))
            }
        };
        mortal.kill();
        call.await.unwrap().unwrap_err();
        if let Some((held, waits)) = held {
            // A killed process closes its connections; here its session would wait on.
            sqlx::query("SELECT pg_terminate_backend($1)")
                .bind(waits)
                .execute(&mut ground.admin().await)
                .await
                .unwrap();
            held.release().await;
        }
        ground.to_wallets.set(Way::Open);
        ground.to_ledger.set(Way::Open);
        ground.cards.set_mode(Mode::Well);
        let expected = match death {
            Death::AtTheWallet | Death::AtTheCard | Death::BeforeAuthorised => 1,
            Death::BeforeTheLedger | Death::AfterTheLedger | Death::BeforeTheEnd => 2,
        };
        assert_eq!(stage(&ground).await, Some(expected), "{death:?}");

        let instance = ground.start().await;
        let client = instance.client(shop.client.merchant);
        once(&ground, &shop, &client, &card, &wallet).await;
    }
}

#[tokio::test]
async fn services_that_are_away_are_named_and_it_goes_on_later() {
    for away in ["svc-wallet", "svc-giftcard", "svc-ledger"] {
        let ground = Ground::new().await;
        let instance = ground.start().await;
        let shop = ground.shop_with_program(&instance).await;
        let card = ground.card(&shop, 1_000).await;
        let wallet = ground.wallet(&shop, 0).await;
        match away {
            "svc-wallet" => ground.to_wallets.set(Way::Shut),
            "svc-giftcard" => ground.cards.set_mode(Mode::Unavailable),
            _ => ground.to_ledger.set(Way::Shut),
        }
        let order = wanted(&card, &wallet.wallet_id);
        let refused = shop.client.submit("k", order).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
        );
        assert!(refused.message().contains(away), "{refused:?}");
        ground.to_wallets.set(Way::Open);
        ground.to_ledger.set(Way::Open);
        ground.cards.set_mode(Mode::Well);
        let wallet = (wallet.wallet_id, wallet.account_id);
        once(&ground, &shop, &shop.client, &card, &wallet).await;
    }
}

#[tokio::test]
async fn a_purchase_under_way_is_pending_and_holds_its_reference() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    ground.to_ledger.set(Way::Mute);
    let order = v1::SubmitPurchaseRequest {
        reference: "order/1".to_owned(),
        ..purchase("", [external(100)])
    };
    let hasty = shop.client.within(Duration::from_millis(500));
    // On a busy machine the caller may go before the first step is done.
    until("it is authorised", async || {
        let late = hasty.submit("k", order.clone()).await.unwrap_err();
        assert!(is_late(&late), "{late:?}");
        stage(&ground).await == Some(2)
    })
    .await;
    let id: uuid::Uuid = sqlx::query_scalar("SELECT purchase_id FROM purchases")
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();
    let standing = shop
        .client
        .purchase(&format!("pur_{}", id.simple()))
        .await
        .unwrap();
    assert_eq!(standing.state(), PurchaseState::Pending);
    let taken = shop.client.submit("other", order.clone()).await.unwrap_err();
    assert_eq!(reason(&taken), "REFERENCE_TAKEN");
    // What was accepted is finished, also when the merchant is suspended meanwhile.
    shop.operator
        .change(&new_key(), MerchantState::Suspended)
        .await
        .unwrap();
    ground.to_ledger.set(Way::Open);
    let bought = shop.client.submit("k", order).await.unwrap().purchase.unwrap();
    assert_eq!(uuid_of(&bought.purchase_id), id);
    assert_eq!(shop.books.balance(&shop.accounts.sales_account_id).await, 100);
}

#[tokio::test]
async fn the_programme_is_that_of_the_first_step() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let card = ground.card(&shop, 1_000).await;
    let wallet = ground.wallet(&shop, 0).await;
    let wallet = (wallet.wallet_id, wallet.account_id);
    ground.cards.set_mode(Mode::Unavailable);
    let refused = shop
        .client
        .submit("k", wanted(&card, &wallet.0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let generous = v1::PublishProgramRequest {
        earn_points: 50,
        ..program(1)
    };
    shop.client.publish(&new_key(), generous).await.unwrap();
    ground.cards.set_mode(Mode::Well);
    once(&ground, &shop, &shop.client, &card, &wallet).await;
}

#[tokio::test]
async fn an_authorised_purchase_needs_its_cards_no_more() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let card = ground.card(&shop, 1_000).await;
    let wallet = ground.wallet(&shop, 0).await;
    let wallet = (wallet.wallet_id, wallet.account_id);
    ground.to_ledger.set(Way::Shut);
    let refused = shop
        .client
        .submit("k", wanted(&card, &wallet.0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(stage(&ground).await, Some(2));
    ground.cards.forget();
    ground.to_ledger.set(Way::Open);
    once(&ground, &shop, &shop.client, &card, &wallet).await;
    assert_eq!(ground.cards.asked(), 1);
}

#[tokio::test]
async fn a_wallet_that_is_being_opened_is_waited_for() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let card = ground.card(&shop, 1_000).await;
    let wallet = ground.wallet(&shop, 0).await;
    let mut wallets = ground.wallets.owner().await;
    run(&mut wallets, "UPDATE wallets SET status = 1, account_id = NULL").await;
    let order = wanted(&card, &wallet.wallet_id);
    let refused = shop.client.submit("k", order).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    let account = uuid_of(&wallet.account_id);
    let opened = format!("UPDATE wallets SET status = 2, account_id = '{account}'");
    run(&mut wallets, &opened).await;
    let wallet = (wallet.wallet_id, wallet.account_id);
    once(&ground, &shop, &shop.client, &card, &wallet).await;
}

#[tokio::test]
async fn what_another_attempt_was_told_stands() {
    let ground = Ground::new().await;
    let (slow, fast) = (ground.start().await, ground.start_past_the_gate().await);
    let shop = ground.shop_with_program(&slow).await;
    let card = ground.card(&shop, 1_000).await;
    let wallet = ground.wallet(&shop, 0).await;
    let wallet = (wallet.wallet_id, wallet.account_id);
    ground.to_wallets.set(Way::Mute);
    ground.to_ledger.set(Way::Mute);
    let call = |client: Client| {
        let order = wanted(&card, &wallet.0);
        tokio::spawn(async move { client.submit("k", order).await })
    };
    let first = call(shop.client.clone());
    until("the first has planned", async || stage(&ground).await == Some(1)).await;
    let second = call(fast.client(shop.client.merchant));
    until("the second's is posted", async || {
        ground.ledger.count("transactions").await == 2
    })
    .await;
    // Now the first one's card would be refused.
    ground.cards.forget();
    ground.to_wallets.set(Way::Open);
    until("the first has asked", async || ground.cards.asked() == 2).await;
    ground.to_ledger.set(Way::Open);
    let answers = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()];
    assert_eq!(bytes(&answers[0]), bytes(&answers[1]));
    once(&ground, &shop, &shop.client, &card, &wallet).await;
}
