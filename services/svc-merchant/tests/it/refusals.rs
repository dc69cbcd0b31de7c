//! Purchases that cannot be had: named, recorded, and nothing moved.

use lp_contracts::{
    ledger::v1::AssetKind,
    merchant::v1::{self, MerchantState, PurchaseState},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    cards::{Card, Mode},
    gate::Way,
    support::{
        Ground, Shop, application, by_card, external, fields, new_key, points, program, purchase, reason,
        run, uuid_of,
    },
};

/// The purchase is recorded as refused, the same key says so again, and nothing moved.
async fn refused(
    ground: &Ground,
    shop: &Shop,
    wanted: v1::SubmitPurchaseRequest,
    (expected, field): (&str, &str),
) -> Status {
    let key = new_key();
    let transactions = ground.ledger.count("transactions").await;
    let first = shop.client.submit(&key, wanted.clone()).await.unwrap_err();
    assert_eq!(
        (first.code(), reason(&first).as_str()),
        (Code::FailedPrecondition, expected)
    );
    assert_eq!(fields(&first), [field]);
    let id = first.get_details_error_info().unwrap().metadata["purchase_id"].clone();
    let standing = shop.client.purchase(&id).await.unwrap();
    assert_eq!(standing.state(), PurchaseState::Refused);
    assert_eq!((standing.points_earned, standing.points_burnt), (0, 0));
    assert_eq!(standing.transaction_id, "");
    // Also where nobody can be asked.
    ground.to_ledger.set(Way::Shut);
    ground.cards.set_mode(Mode::Unavailable);
    let again = shop.client.submit(&key, wanted).await.unwrap_err();
    assert_eq!(again.details(), first.details());
    ground.to_ledger.set(Way::Open);
    ground.cards.set_mode(Mode::Well);
    assert_eq!(ground.ledger.count("transactions").await, transactions);
    first
}

#[tokio::test]
async fn wallets_that_cannot_take_part() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let other = ground.shop(&instance).await;
    let unknown = "wal_0199f0c1d2e37a4b8c5d6e7f80912a3b".to_owned();
    let theirs = ground.wallet(&other, 0).await.wallet_id;
    let of_euros = ground.open_wallet(shop.client.merchant, "EUR").await.wallet_id;
    for wallet in [unknown, theirs, of_euros] {
        let wanted = purchase(&wallet, [external(100)]);
        refused(&ground, &shop, wanted, ("WALLET_UNUSABLE", "walletId")).await;
    }
}

#[tokio::test]
async fn cards_are_refused_alike_whatever_is_wrong() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let good = ground.card(&shop, 100).await;
    let changed = |change: fn(&mut Card)| {
        let mut card = good.clone();
        change(&mut card);
        card
    };
    let unknown = changed(|card| card.code.push('X'));
    let wrong_pin = changed(|card| card.pin.push('X'));
    let no_pin = changed(|card| card.pin.clear());
    let other = ground.shop(&instance).await;
    let theirs = ground.card(&other, 100).await;
    let foreign = changed(|card| {
        card.code = "DOLLARS".to_owned();
        card.asset = "USD".to_owned();
    });
    ground.cards.add(foreign.clone());
    let mut told = Vec::new();
    for card in [unknown, wrong_pin, no_pin, theirs, foreign] {
        let wanted = purchase("", [external(1), by_card(&card, 10)]);
        let status = refused(&ground, &shop, wanted, ("CARD_REFUSED", "tenders[1]")).await;
        told.push(status.message().to_owned());
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
    // The second of two cards is the one that is named.
    let wanted = purchase("", [by_card(&good, 10), by_card(&changed(|c| c.pin.clear()), 10)]);
    refused(&ground, &shop, wanted, ("CARD_REFUSED", "tenders[1]")).await;
    assert_eq!(shop.books.balance(&good.account).await, 100);
}

#[tokio::test]
async fn tenders_that_do_not_suffice_are_named() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let (rich, poor) = (ground.card(&shop, 1_000).await, ground.card(&shop, 10).await);
    let wallet = ground.wallet(&shop, 480).await;
    let id = &wallet.wallet_id;
    let by_poor = purchase("", [by_card(&rich, 10), external(5), by_card(&poor, 11)]);
    refused(&ground, &shop, by_poor, ("TENDER_REFUSED", "tenders[2]")).await;
    let too_many = purchase(id, [by_card(&rich, 10), points(500)]);
    refused(&ground, &shop, too_many, ("TENDER_REFUSED", "tenders[1]")).await;
    // Points that the purchase itself would earn do not pay for it.
    let advance = purchase(id, [points(500), external(10_000)]);
    refused(&ground, &shop, advance, ("TENDER_REFUSED", "tenders[0]")).await;
    assert_eq!(shop.books.balance(&wallet.account_id).await, 480);
    // One card twice does not hold twice as much.
    let twice = purchase("", [by_card(&poor, 6), by_card(&poor, 5)]);
    refused(&ground, &shop, twice, ("TENDER_REFUSED", "tenders[0]")).await;
    let twice = purchase("", [by_card(&poor, 5), by_card(&poor, 5)]);
    shop.client.submit(&new_key(), twice).await.unwrap();
    assert_eq!(shop.books.balance(&poor.account).await, 0);
}

#[tokio::test]
async fn points_are_multiples_of_what_the_programme_pays() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let wallet = ground.wallet(&shop, 500).await;
    for _ in 0..2 {
        let wanted = purchase(&wallet.wallet_id, [external(100), points(150)]);
        let refused = shop.client.submit("k", wanted).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "POINTS_NOT_A_MULTIPLE")
        );
        assert_eq!(fields(&refused), ["tenders[1].minorUnits"]);
        let told = refused.get_details_error_info().unwrap().metadata;
        assert_eq!(told["burn_value"], "100");
    }
    // More points than one entry can move.
    let dear = v1::PublishProgramRequest {
        earn_points: 0,
        burn_points: 1_000_000_000,
        burn_value: 1,
        ..program(1)
    };
    shop.client.publish(&new_key(), dear).await.unwrap();
    let wanted = purchase(&wallet.wallet_id, [points(1_000_001)]);
    let refused = shop.client.submit(&new_key(), wanted).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    assert_eq!(fields(&refused), ["tenders[0].minorUnits"]);
    let lavish = v1::PublishProgramRequest {
        earn_points: 999,
        earn_per: 1,
        burn_points: 1_000,
        burn_value: 1,
        ..program(2)
    };
    shop.client.publish(&new_key(), lavish).await.unwrap();
    let wanted = purchase(&wallet.wallet_id, [external(10_000_000_000_000)]);
    let refused = shop.client.submit(&new_key(), wanted).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    assert_eq!(fields(&refused), ["amount.minorUnits"]);
    assert_eq!(ground.count("purchases").await, 0);
}

#[tokio::test]
async fn a_merchant_that_does_not_trade_sells_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let wanted = purchase("", [external(100)]);
    let client = instance.merchant();
    let unknown = client.submit(&new_key(), wanted.clone()).await.unwrap_err();
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "UNKNOWN_MERCHANT")
    );
    client.apply(&new_key(), application()).await.unwrap();
    let early = client.submit(&new_key(), wanted.clone()).await.unwrap_err();
    assert_eq!(reason(&early), "MERCHANT_NOT_ACTIVE");

    let shop = ground.shop(&instance).await;
    let before = shop.client.submit("before", wanted.clone()).await.unwrap();
    shop.operator
        .change(&new_key(), MerchantState::Suspended)
        .await
        .unwrap();
    let refused = shop.client.submit("k", wanted.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "MERCHANT_NOT_ACTIVE")
    );
    assert_eq!(
        refused.get_details_error_info().unwrap().metadata["state"],
        "SUSPENDED"
    );
    // What it sold before stays sold, and its refusal stays one.
    assert_eq!(
        shop.client.submit("before", wanted.clone()).await.unwrap(),
        before
    );
    shop.operator
        .change(&new_key(), MerchantState::Active)
        .await
        .unwrap();
    let again = shop.client.submit("k", wanted.clone()).await.unwrap_err();
    assert_eq!(reason(&again), "MERCHANT_NOT_ACTIVE");
    shop.client.submit(&new_key(), wanted.clone()).await.unwrap();
    shop.operator
        .change(&new_key(), MerchantState::Closed)
        .await
        .unwrap();
    let closed = shop.client.submit(&new_key(), wanted).await.unwrap_err();
    assert_eq!(reason(&closed), "MERCHANT_NOT_ACTIVE");
}

#[tokio::test]
async fn the_amount_is_in_the_merchants_currency() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    shop.books
        .create_asset("usd", "USD", AssetKind::Currency, 2)
        .await;
    for asset in ["USD", "PTS"] {
        let mut wanted = purchase("", [external(100)]);
        wanted.amount.as_mut().unwrap().asset_code = asset.to_owned();
        let refused = shop.client.submit(&new_key(), wanted).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert_eq!(fields(&refused), ["amount.assetCode"]);
    }
    assert_eq!(ground.count("purchases").await, 0);
}

#[tokio::test]
async fn accounts_that_are_full_take_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    let wallet = ground.wallet(&shop, 0).await;
    let wanted = purchase(&wallet.wallet_id, [external(100)]);
    for (full, expected) in [
        (&wallet.account_id, ("WALLET_UNUSABLE", "walletId")),
        (&shop.accounts.sales_account_id, ("TENDER_REFUSED", "tenders")),
    ] {
        let sums = |sum: i64| {
            let account = uuid_of(full);
            format!(
                "UPDATE accounts SET posted_debits = {sum}, posted_credits = {sum} WHERE account_id = '{account}'"
            )
        };
        let mut ledger = ground.ledger.owner().await;
        run(&mut ledger, &sums(i64::MAX)).await;
        refused(&ground, &shop, wanted.clone(), expected).await;
        run(&mut ledger, &sums(0)).await;
    }
    shop.client.submit(&new_key(), wanted).await.unwrap();
}
