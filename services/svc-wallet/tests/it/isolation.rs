//! What one merchant has, another one has never heard of: on every rpc, over gRPC and over REST.

use lp_contracts::wallet::v1;
use serde_json::Value;
use tonic::{Code, Status};

use crate::{
    ledger::position,
    support::{Ground, reason, until},
};

fn unknown(status: Status) {
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "UNKNOWN_WALLET")
    );
}

fn unknown_json((status, problem): (u16, Value)) {
    assert_eq!(
        (status, problem["reason"].as_str()),
        (404, Some("UNKNOWN_WALLET")),
        "{problem}"
    );
}

#[tokio::test]
async fn a_wallet_is_its_merchants_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    let wallet = ours.open("c-1").await;
    let id = &wallet.wallet_id;
    unknown(theirs.wallet(id).await.unwrap_err());
    unknown_json(theirs.get(&format!("/v1/wallets/{id}")).await);
    assert!(theirs.wallets().await.is_empty());
    let of_reference = v1::ListWalletsRequest {
        customer_reference: "c-1".to_owned(),
        page: None,
    };
    assert!(theirs.list(of_reference).await.unwrap().wallets.is_empty());
    let listed = theirs.get("/v1/wallets?customerReference=c-1").await;
    assert_eq!(
        listed.1["wallets"].as_array().map(Vec::len).unwrap_or_default(),
        0
    );
}

#[tokio::test]
async fn a_balance_is_its_merchants_alone_whoever_filled_the_cache() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let (ours, theirs) = (one.merchant(), one.merchant());
    let wallet = ours.open("c-1").await;
    let id = &wallet.wallet_id;
    let token = position(3).token(&wallet.account_id);
    ground.ledger.set_balance(&wallet.account_id, position(3));
    let path = format!("/v1/wallets/{id}/balance");
    let elsewhere = other.client(theirs.merchant);

    // Before anybody read it, and also when it is the stranger who fills the cache.
    unknown(theirs.balance(id).await.unwrap_err());
    unknown(theirs.balance_at(id, &token).await.unwrap_err());
    assert_eq!(
        ground.ledger.asked(),
        0,
        "no stranger's question goes to the ledger"
    );
    // Then from the owner's read, in process and in Valkey.
    ours.balance(id).await.unwrap();
    ours.balance_at(id, &token).await.unwrap();
    let asked = ground.ledger.asked();
    for stranger in [&theirs, &elsewhere] {
        unknown(stranger.balance(id).await.unwrap_err());
        unknown(stranger.balance_at(id, &token).await.unwrap_err());
        unknown(
            stranger
                .balance_at(id, &position(9).token(&wallet.account_id))
                .await
                .unwrap_err(),
        );
        unknown_json(stranger.get(&path).await);
        unknown_json(stranger.get(&format!("{path}?consistencyToken={token}")).await);
    }
    assert_eq!(ground.ledger.asked(), asked);
    assert_eq!(ours.get(&path).await.0, 200);
}

#[tokio::test]
async fn a_contact_is_its_merchants_alone() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    let account = ours.open("c-1").await.account_id;
    let refused = theirs.contact(&account).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    assert!(ours.contact(&account).await.is_ok());
    // It has no path in REST.
    let (status, problem) = ours.get(&format!("/v1/contacts/{account}")).await;
    assert_eq!((status, problem["reason"].as_str()), (404, Some("UNKNOWN_PATH")));
}

#[tokio::test]
async fn a_page_token_opens_no_other_merchants_list() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    for n in 0..3 {
        ours.open(&format!("c-{n}")).await;
    }
    let mut wanted = v1::ListWalletsRequest {
        page: Some(lp_contracts::common::v1::PageRequest {
            page_size: 1,
            page_token: String::new(),
        }),
        ..v1::ListWalletsRequest::default()
    };
    let first = ours.list(wanted.clone()).await.unwrap();
    wanted.page.as_mut().unwrap().page_token = first.page.unwrap().next_page_token;
    assert!(theirs.list(wanted).await.unwrap().wallets.is_empty());
}

#[tokio::test]
async fn nobody_is_nobody_on_every_rpc() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let mut grpc = client.grpc.clone();
    let wallet_id = wallet.wallet_id.clone();
    let read = grpc
        .get_wallet(v1::GetWalletRequest {
            wallet_id: wallet_id.clone(),
        })
        .await
        .unwrap_err();
    let balance = grpc
        .get_balance(v1::GetBalanceRequest {
            wallet_id: wallet_id.clone(),
            ..v1::GetBalanceRequest::default()
        })
        .await
        .unwrap_err();
    let list = grpc
        .list_wallets(v1::ListWalletsRequest::default())
        .await
        .unwrap_err();
    let contact = grpc
        .get_contact(v1::GetContactRequest {
            account_id: wallet.account_id,
        })
        .await
        .unwrap_err();
    let create = grpc
        .create_wallet(crate::support::wanted("c-2"))
        .await
        .unwrap_err();
    for refused in [read, balance, list, contact, create] {
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED")
        );
    }
    let answer = reqwest::get(format!("{}/v1/wallets/{wallet_id}/balance", instance.base)).await;
    assert_eq!(answer.unwrap().status(), 401);
    until("the merchant's own list is as it was", async || {
        client.wallets().await.len() == 1
    })
    .await;
}
