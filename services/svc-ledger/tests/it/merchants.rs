//! What is another merchant's is not there.

use lp_contracts::{common::v1::PageRequest, ledger::v1};
use tonic::{Code, Response};

use crate::{
    audit::audit,
    support::{Ground, credit, debit, fields, new_key, points, reason},
    wire::Refused,
};

#[tokio::test]
async fn what_is_another_merchants_is_not_found_and_cannot_be_moved() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, stranger) = (instance.merchant(), instance.merchant());
    let account = client.customer_with(100).await;
    let earned = client.earn(&new_key(), &account, 1).await.unwrap();
    let transaction = earned.transaction.unwrap().transaction_id;
    client.asset("EUR", v1::AssetKind::Currency, 2).await;
    // The stranger's own points have the same code.
    let own = stranger.customer_with(5).await;
    let own_issuance = stranger.account("PTS", v1::AccountType::Issuance).await;

    for (path, reason, field) in [
        (format!("/v1/accounts/{account}"), "UNKNOWN_ACCOUNT", "accountId"),
        (
            format!("/v1/accounts/{account}/balance"),
            "UNKNOWN_ACCOUNT",
            "accountId",
        ),
        (
            format!("/v1/accounts/{account}/entries"),
            "UNKNOWN_ACCOUNT",
            "accountId",
        ),
        (
            format!("/v1/transactions/{transaction}"),
            "NOT_FOUND",
            "transactionId",
        ),
        ("/v1/assets/EUR".to_owned(), "UNKNOWN_ASSET", "code"),
    ] {
        let refused = Refused::of_problem(&stranger.get(&path).await);
        let expected = Refused {
            reason: reason.to_owned(),
            fields: vec![field.to_owned()],
            status: 404,
        };
        assert_eq!(refused, expected, "{path}");
    }
    let (_, listed) = stranger
        .get(&format!("/v1/transactions?accountId={account}"))
        .await;
    assert_eq!(listed["transactions"], serde_json::json!([]));

    let before = ground.written().await;
    let refusals = [
        stranger.earn(&new_key(), &account, 1).await.map(drop),
        stranger.burn(&new_key(), &account, 1).await.map(drop),
    ];
    for refused in refusals {
        let refused = refused.unwrap_err();
        assert_eq!(
            (reason(&refused), fields(&refused)),
            ("UNKNOWN_ACCOUNT".into(), vec!["accountId".into()])
        );
        assert_eq!(refused.code(), Code::NotFound);
    }
    for entries in [
        vec![debit(&account, points(1)), credit(&own, points(1))],
        vec![debit(&own_issuance, points(1)), credit(&account, points(1))],
    ] {
        let refused = stranger.transact(&new_key(), entries).await.unwrap_err();
        assert_eq!(reason(&refused), "UNKNOWN_ACCOUNT");
    }
    let open = v1::CreateAccountRequest {
        asset_code: "EUR".to_owned(),
        r#type: v1::AccountType::Customer.into(),
        ..Default::default()
    };
    let refused = stranger
        .grpc
        .clone()
        .create_account(stranger.request(&new_key(), open))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "UNKNOWN_ASSET");
    assert_eq!(ground.written().await, [before[0], before[1], before[2] + 5]);
    assert_eq!(
        (client.units(&account).await, stranger.units(&own).await),
        (101, 5)
    );
    audit(&ground).await;
}

#[tokio::test]
async fn a_page_of_another_merchant_leads_to_ones_own_rows_only() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, stranger) = (instance.merchant(), instance.merchant());
    let (account, own) = (client.customer_with(1).await, stranger.customer_with(1).await);
    for _ in 0..3 {
        stranger.earn(&new_key(), &own, 1).await.unwrap();
        client.earn(&new_key(), &account, 1).await.unwrap();
    }
    let list = async |of: &crate::support::Client, page_token: String| {
        let wanted = v1::ListTransactionsRequest {
            page: Some(PageRequest {
                page_size: 2,
                page_token,
            }),
            ..Default::default()
        };
        let answer = of.grpc.clone().list_transactions(of.request("", wanted)).await;
        answer.map(Response::into_inner).unwrap()
    };
    let token = list(&client, String::new()).await.page.unwrap().next_page_token;
    let seen = list(&stranger, token).await.transactions;
    assert!(!seen.is_empty());
    for transaction in seen {
        assert!(
            transaction.entries.iter().any(|e| e.account_id == own),
            "{transaction:?}"
        );
    }
}
