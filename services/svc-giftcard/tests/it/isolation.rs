//! What one merchant has, another one has never heard of: on every rpc, over gRPC and over REST.

use serde_json::json;
use tonic::Code;

use crate::support::{Ground, bytes, forbidden, new_key, reason, refused};

#[tokio::test]
async fn products_and_cards_are_their_merchants_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    let product = ours.product(false).await;
    let (issued, sold) = (ours.issued(false).await, ours.sold(true, 1_000).await);
    let before = ground.written().await;

    // Told alike whether it is another's or nobody's.
    let unknown_product = "prd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let unknown_card = "crd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    for id in [product.as_str(), unknown_product] {
        refused(theirs.get_product(id).await, Code::NotFound, "UNKNOWN_PRODUCT");
        refused(
            theirs.issue(&new_key(), id).await,
            Code::NotFound,
            "UNKNOWN_PRODUCT",
        );
        let (status, problem) = theirs.get(&format!("/v1/products/{id}")).await;
        assert_eq!((status, &problem["reason"]), (404, &json!("UNKNOWN_PRODUCT")));
        let status = theirs.get_product(id).await.unwrap_err();
        assert_eq!(status.message(), format!("product {id} is unknown"));
    }
    for id in [issued.id.as_str(), sold.id.as_str(), unknown_card] {
        refused(theirs.get_card(id).await, Code::NotFound, "UNKNOWN_CARD");
        refused(
            theirs.activate(&new_key(), id, 1_000).await,
            Code::NotFound,
            "UNKNOWN_CARD",
        );
        let (status, problem) = theirs.get(&format!("/v1/cards/{id}")).await;
        assert_eq!((status, &problem["reason"]), (404, &json!("UNKNOWN_CARD")));
        let status = theirs.get_card(id).await.unwrap_err();
        assert_eq!(status.message(), format!("card {id} is unknown"));
    }
    assert!(theirs.list(0, "").await.unwrap().products.is_empty());
    forbidden(theirs.authorize(&sold.code, &sold.pin).await, "CARD_REFUSED");
    forbidden(theirs.redeem(&new_key(), &sold, 10).await, "CARD_REFUSED");
    let after = ground.written().await;
    assert_eq!((after[0], after[1], after[2]), (before[0], before[1], before[2]));
    assert_eq!(ground.ledger.balance(&sold.account), 1_000);
    ours.redeem(&new_key(), &sold, 10).await.unwrap();
}

#[tokio::test]
async fn a_key_and_a_page_token_are_their_merchants_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    for client in [&ours, &theirs] {
        client.product(false).await;
        client.product(false).await;
    }
    let first = ours.list(1, "").await.unwrap();
    let token = first.page.unwrap().next_page_token;
    let own: Vec<_> = theirs.list(0, "").await.unwrap().products;
    let foreign = theirs.list(0, &token).await.unwrap().products;
    assert!(foreign.iter().all(|product| own.contains(product)));

    let (product, other) = (ours.product(false).await, theirs.product(false).await);
    let (one, two) = (
        ours.issue("k", &product).await.unwrap(),
        theirs.issue("k", &other).await.unwrap(),
    );
    assert_ne!(bytes(&one), bytes(&two));
}

#[tokio::test]
async fn nobody_is_nobody_on_every_rpc() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let sold = client.sold(false, 1_000).await;
    let nobody: crate::support::Client = client.as_nobody().into();
    let scopeless: crate::support::Client = client.with_scopes(["ledger.accounts.read"]).into();
    for (caller, code) in [
        (nobody, Code::Unauthenticated),
        (scopeless, Code::PermissionDenied),
    ] {
        let statuses = [
            caller
                .create_product("k", crate::support::wanted(false))
                .await
                .map(drop),
            caller
                .get_product("prd_0199f0c1d2e37a4b8c5d6e7f80912a3b")
                .await
                .map(drop),
            caller.list(0, "").await.map(drop),
            caller
                .issue("k", "prd_0199f0c1d2e37a4b8c5d6e7f80912a3b")
                .await
                .map(drop),
            caller.activate("k", &sold.id, 1_000).await.map(drop),
            caller.authorize(&sold.code, "").await.map(drop),
            caller.redeem("k", &sold, 10).await.map(drop),
            caller.get_card(&sold.id).await.map(drop),
        ];
        for status in statuses {
            let status = status.unwrap_err();
            assert_eq!(status.code(), code, "{}", reason(&status));
        }
    }
    assert_eq!(ground.ledger.balance(&sold.account), 1_000);
}
