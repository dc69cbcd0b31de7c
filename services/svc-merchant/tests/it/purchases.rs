//! Purchases: one ledger transaction with every tender and the points, once under a key.

use futures::future::join_all;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::Direction,
    merchant::v1::{self, PurchaseState},
};
use serde_json::json;
use tonic::Code;

use crate::support::{Ground, by_card, bytes, external, fields, new_key, points, program, purchase, reason};

fn entry(
    account: &str,
    direction: Direction,
    minor_units: i64,
    asset: &str,
) -> (String, Direction, i64, String) {
    (account.to_owned(), direction, minor_units, asset.to_owned())
}

#[tokio::test]
async fn fifty_euros_by_card_points_and_cash_are_one_transaction() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let card = ground.card(&shop, 3_000).await;
    let wallet = ground.wallet(&shop, 700).await;
    let wanted = v1::SubmitPurchaseRequest {
        reference: "order/42".to_owned(),
        ..purchase(
            &wallet.wallet_id,
            [by_card(&card, 2_000), points(500), external(2_500)],
        )
    };
    let answer = shop.client.submit("k", wanted).await.unwrap();
    let bought = answer.purchase.unwrap();
    assert!(bought.purchase_id.starts_with("pur_"));
    assert_eq!(bought.state(), PurchaseState::Posted);
    let euros = Money {
        minor_units: 5_000,
        asset_code: "EUR".to_owned(),
    };
    assert_eq!(bought.amount, Some(euros));
    assert_eq!((bought.points_earned, bought.points_burnt), (25, 500));
    assert_eq!(
        (bought.program_version, bought.reference.as_str()),
        (1, "order/42")
    );
    assert_eq!(bought.wallet_id, wallet.wallet_id);
    assert!(bought.created_at.is_some());
    assert_eq!(shop.client.purchase(&bought.purchase_id).await.unwrap(), bought);

    let posted = shop.books.transaction(&bought.transaction_id).await;
    assert_eq!(posted.reference, bought.purchase_id);
    let entries: Vec<_> = posted
        .entries
        .iter()
        .map(|e| {
            let amount = e.amount.clone().unwrap();
            entry(
                &e.account_id,
                e.direction(),
                amount.minor_units,
                &amount.asset_code,
            )
        })
        .collect();
    let accounts = &shop.accounts;
    let (debit, credit) = (Direction::Debit, Direction::Credit);
    let expected = [
        entry(&card.account, debit, 2_000, "EUR"),
        entry(&accounts.external_account_id, debit, 2_500, "EUR"),
        entry(&accounts.loyalty_cost_account_id, debit, 500, "EUR"),
        entry(&accounts.sales_account_id, credit, 5_000, "EUR"),
        entry(&wallet.account_id, debit, 500, "PTS"),
        entry(&accounts.redemption_account_id, credit, 500, "PTS"),
        entry(&accounts.issuance_account_id, debit, 25, "PTS"),
        entry(&wallet.account_id, credit, 25, "PTS"),
    ];
    assert_eq!(entries, expected);

    // The token is the wallet's after it.
    let read = ground
        .wallet_balance(shop.client.merchant, &wallet.wallet_id, &answer.consistency_token)
        .await;
    assert_eq!(read.balance.unwrap().minor_units, 225);
    assert_eq!(read.sequence, posted.entries[7].account_sequence);
}

#[tokio::test]
async fn without_a_wallet_no_points_and_no_programme_take_part() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let (one, other) = (ground.card(&shop, 100).await, ground.card(&shop, 100).await);
    let tenders = [by_card(&one, 60), external(1), external(2), by_card(&other, 100)];
    let answer = shop.client.submit("k", purchase("", tenders)).await.unwrap();
    assert_eq!(answer.consistency_token, "");
    let bought = answer.purchase.unwrap();
    assert_eq!(
        (bought.points_earned, bought.points_burnt, bought.program_version),
        (0, 0, 0)
    );
    assert_eq!(shop.books.balance(&one.account).await, 40);
    assert_eq!(shop.books.balance(&other.account).await, 0);
    assert_eq!(shop.books.balance(&shop.accounts.sales_account_id).await, 163);
    let posted = shop.books.transaction(&bought.transaction_id).await;
    assert_eq!(posted.entries.len(), 4, "what is paid outside is one entry");

    let wallet = ground.wallet(&shop, 0).await;
    let refused = shop
        .client
        .submit(&new_key(), purchase(&wallet.wallet_id, [external(1)]))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NO_PROGRAM")
    );
}

#[tokio::test]
async fn points_are_given_for_what_is_paid_outside_rounded_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let card = ground.card(&shop, 10_000).await;
    let wallet = ground.wallet(&shop, 0).await;
    let id = &wallet.wallet_id;
    for (wanted, earned) in [
        (purchase(id, [external(99)]), 0),
        (purchase(id, [external(100)]), 1),
        (purchase(id, [external(150), external(50)]), 2),
        (purchase(id, [by_card(&card, 900), external(199)]), 1),
        (purchase(id, [by_card(&card, 900)]), 0),
    ] {
        let answer = shop.client.submit(&new_key(), wanted).await.unwrap();
        assert_eq!(answer.purchase.unwrap().points_earned, earned);
        // Where nothing was earned or burnt, the wallet's account was not written.
        assert_eq!(answer.consistency_token.is_empty(), earned == 0);
    }
    assert_eq!(shop.books.balance(&wallet.account_id).await, 4);
    assert_eq!(shop.books.balance(&shop.accounts.issuance_account_id).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_one_purchase_also_at_the_same_moment() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let shop = ground.shop_with_program(&one).await;
    let card = ground.card(&shop, 1_000).await;
    let wallet = ground.wallet(&shop, 100).await;
    let wanted = purchase(
        &wallet.wallet_id,
        [by_card(&card, 600), points(100), external(1_000)],
    );
    let clients = [shop.client.clone(), other.client(shop.client.merchant)];
    let calls = (0..16).map(|n| {
        let (client, wanted) = (clients[n % 2].clone(), wanted.clone());
        async move { client.submit("k", wanted).await.unwrap() }
    });
    let answers = join_all(calls).await;
    for answer in &answers {
        assert_eq!(bytes(answer), bytes(&answers[0]));
    }
    assert_eq!(shop.books.balance(&card.account).await, 400);
    assert_eq!(shop.books.balance(&wallet.account_id).await, 10);
    assert_eq!(ground.count("purchases").await, 1);

    // For ever: after a restart, over REST, and with what no longer opens the card.
    one.stop().await;
    ground.cards.forget();
    let again = clients[1].submit("k", wanted.clone()).await.unwrap();
    assert_eq!(bytes(&again), bytes(&answers[0]));
    let body = json!({
        "amount": {"minorUnits": "1700", "assetCode": "EUR"},
        "tenders": [
            {"kind": "TENDER_KIND_GIFT_CARD", "minorUnits": "600", "cardCode": card.code, "cardPin": card.pin},
            {"kind": "TENDER_KIND_POINTS", "minorUnits": "100"},
            {"kind": "TENDER_KIND_EXTERNAL", "minorUnits": "1000"},
        ],
        "walletId": wallet.wallet_id,
    });
    let (status, told) = clients[1].post("k", "/v1/purchases", &body).await;
    let id = answers[0].purchase.as_ref().unwrap().purchase_id.as_str();
    assert_eq!((status, told["purchase"]["purchaseId"].as_str()), (200, Some(id)));
    assert_eq!(told["purchase"]["pointsEarned"], "10");
    let (status, read) = clients[1].get(&format!("/v1/purchases/{id}")).await;
    assert_eq!((status, &read["purchase"]), (200, &told["purchase"]));

    for changed in [
        purchase(
            &wallet.wallet_id,
            [by_card(&card, 600), points(100), external(1_001)],
        ),
        purchase(
            &wallet.wallet_id,
            [by_card(&card, 600), external(100), external(1_000)],
        ),
        v1::SubmitPurchaseRequest {
            reference: "r".to_owned(),
            ..wanted.clone()
        },
    ] {
        let refused = clients[1].submit("k", changed).await.unwrap_err();
        assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(ground.count("purchases").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_its_value_leaves_a_card() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let card = ground.card(&shop, 1_000).await;
    let calls = (0..50).map(|n| {
        let (client, card) = (shop.client.clone(), card.clone());
        async move {
            client
                .submit(&format!("k-{n}"), purchase("", [by_card(&card, 300)]))
                .await
        }
    });
    let answers = join_all(calls).await;
    let posted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(posted, 3);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(
            (refused.code(), reason(refused).as_str()),
            (Code::FailedPrecondition, "TENDER_REFUSED")
        );
        assert_eq!(fields(refused), ["tenders[0]"]);
    }
    assert_eq!(shop.books.balance(&card.account).await, 100);
    assert_eq!(shop.books.balance(&shop.accounts.sales_account_id).await, 900);
}

#[tokio::test]
async fn a_reference_is_one_purchases_until_it_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let card = ground.card(&shop, 10).await;
    let named = |tender| v1::SubmitPurchaseRequest {
        reference: "order/1".to_owned(),
        ..purchase("", [tender])
    };
    // What was refused leaves it to the next attempt.
    let refused = shop
        .client
        .submit("one", named(by_card(&card, 11)))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "TENDER_REFUSED");
    let bought = shop.client.submit("two", named(external(11))).await.unwrap();
    assert_eq!(bought.purchase.unwrap().reference, "order/1");
    for _ in 0..2 {
        let refused = shop
            .client
            .submit("three", named(external(11)))
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::AlreadyExists, "REFERENCE_TAKEN")
        );
        assert_eq!(fields(&refused), ["reference"]);
    }
    // Another merchant's is another one.
    let other = ground.shop(&instance).await;
    other.client.submit("one", named(external(11))).await.unwrap();
    assert_eq!(ground.count("purchases").await, 3);
}

#[tokio::test]
async fn the_latest_programme_applies_and_is_named() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let wallet = ground.wallet(&shop, 0).await;
    let wanted = purchase(&wallet.wallet_id, [external(1_000)]);
    let first = shop.client.submit("one", wanted.clone()).await.unwrap();
    let generous = v1::PublishProgramRequest {
        earn_points: 5,
        ..program(1)
    };
    shop.client.publish(&new_key(), generous).await.unwrap();
    let second = shop.client.submit("two", wanted.clone()).await.unwrap();
    let told = |answer: v1::SubmitPurchaseResponse| {
        let purchase = answer.purchase.unwrap();
        (purchase.program_version, purchase.points_earned)
    };
    assert_eq!((told(first), told(second)), ((1, 10), (2, 50)));
    let again = shop.client.submit("one", wanted).await.unwrap();
    assert_eq!(told(again), (1, 10));
}
