//! What one merchant has, another one has never heard of.

use lp_contracts::{common::v1::PageRequest, merchant::v1::MerchantState};
use serde_json::json;
use tonic::Code;

use crate::support::{Ground, application, by_card, external, new_key, points, program, purchase, reason};

#[tokio::test]
async fn everything_is_its_merchants_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let ours = ground.shop_with_program(&instance).await;
    let bought = ours
        .client
        .submit("k", purchase("", [external(100)]))
        .await
        .unwrap()
        .purchase
        .unwrap();

    let stranger = instance.merchant();
    assert_eq!(
        reason(&stranger.merchant().await.unwrap_err()),
        "UNKNOWN_MERCHANT"
    );
    let events = stranger.events(PageRequest::default()).await.unwrap_err();
    assert_eq!(reason(&events), "UNKNOWN_MERCHANT");
    for version in [0, 1] {
        let none = stranger.program(version).await.unwrap_err();
        assert_eq!(
            (none.code(), reason(&none).as_str()),
            (Code::FailedPrecondition, "NO_PROGRAM")
        );
    }
    let none = stranger.purchase(&bought.purchase_id).await.unwrap_err();
    assert_eq!(
        (none.code(), reason(&none).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    let (status, problem) = stranger
        .get(&format!("/v1/purchases/{}", bought.purchase_id))
        .await;
    assert_eq!((status, &problem["reason"]), (404, &json!("NOT_FOUND")));

    // Another merchant that trades: its programme, its keys, its history are its own.
    let theirs = ground.shop(&instance).await;
    assert_eq!(reason(&theirs.client.program(0).await.unwrap_err()), "NO_PROGRAM");
    let none = theirs.client.purchase(&bought.purchase_id).await.unwrap_err();
    assert_eq!(reason(&none), "NOT_FOUND");
    let other = theirs
        .client
        .submit("k", purchase("", [external(7)]))
        .await
        .unwrap()
        .purchase
        .unwrap();
    assert_ne!(other.purchase_id, bought.purchase_id);
    assert_eq!(theirs.client.publish("p", program(0)).await.unwrap().version, 1);
    let told = theirs.client.events(PageRequest::default()).await.unwrap().events;
    assert_eq!(told.len(), 4);
    theirs
        .operator
        .change(&new_key(), MerchantState::Closed)
        .await
        .unwrap();
    assert_eq!(
        ours.client.merchant().await.unwrap().state(),
        MerchantState::Active
    );
}

#[tokio::test]
async fn nobody_pays_with_anothers_card_or_points() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let ours = ground.shop_with_program(&instance).await;
    let theirs = ground.shop_with_program(&instance).await;
    let card = ground.card(&ours, 1_000).await;
    let wallet = ground.wallet(&ours, 1_000).await;
    let refused = theirs
        .client
        .submit(&new_key(), purchase("", [by_card(&card, 100)]))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "CARD_REFUSED");
    let wanted = purchase(&wallet.wallet_id, [points(100)]);
    let refused = theirs.client.submit(&new_key(), wanted).await;
    assert_eq!(reason(&refused.unwrap_err()), "WALLET_UNUSABLE");
    assert_eq!(ours.books.balance(&card.account).await, 1_000);
    assert_eq!(ours.books.balance(&wallet.account_id).await, 1_000);
}

#[tokio::test]
async fn nobody_and_who_lacks_the_scope_are_told_so() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let caller = instance.caller(instance.merchant().merchant);
    let nobody: crate::support::Client = caller.as_nobody().into();
    let poor: crate::support::Client = caller.with_scopes(["ledger.accounts.read"]).into();
    for (client, code) in [(nobody, Code::Unauthenticated), (poor, Code::PermissionDenied)] {
        for refused in [
            client.apply("k", application()).await.unwrap_err(),
            client.change("k", MerchantState::InReview).await.unwrap_err(),
            client.merchant().await.unwrap_err(),
            client.events(PageRequest::default()).await.unwrap_err(),
            client.publish("k", program(0)).await.unwrap_err(),
            client.program(0).await.unwrap_err(),
            client.submit("k", purchase("", [external(1)])).await.unwrap_err(),
            client
                .purchase("pur_0199f0c1d2e37a4b8c5d6e7f80912a3b")
                .await
                .unwrap_err(),
        ] {
            assert_eq!(refused.code(), code, "{refused:?}");
        }
    }
    assert_eq!(ground.written().await, [0; 5]);
}
