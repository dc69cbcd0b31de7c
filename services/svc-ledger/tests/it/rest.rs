//! The same rpcs as JSON.

use lp_contracts::token::ConsistencyToken;
use serde_json::{Value, json};

use crate::{
    audit::audit,
    support::{Ground, Instance, new_key, until},
};

async fn text(instance: &Instance, path: &str) -> (u16, String) {
    let answer = instance
        .http
        .get(format!("{}{path}", instance.base))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn points_are_earned_burnt_and_read() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let post = async |path: &str, body: Value| {
        let (status, answer) = client.post(&new_key(), path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let get = async |path: &str| {
        let (status, answer) = client.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let asset = post("/v1/assets", json!({"code": "PTS", "kind": "ASSET_KIND_POINTS"})).await["asset"].take();
    assert_eq!(
        (&asset["kind"], &asset["exponent"]),
        (&json!("ASSET_KIND_POINTS"), &json!(0))
    );
    assert_eq!(get("/v1/assets/PTS").await["asset"], asset);

    let open = json!({"assetCode": "PTS", "type": "ACCOUNT_TYPE_CUSTOMER", "maxBalance": "500"});
    let account = post("/v1/accounts", open).await["account"].take();
    assert_eq!(account["normalBalance"], "DIRECTION_CREDIT");
    assert_eq!(
        (&account["minBalance"], &account["maxBalance"]),
        (&json!("0"), &json!("500"))
    );
    assert_eq!(
        account["balance"]["balance"],
        json!({"minorUnits": "0", "assetCode": "PTS"})
    );
    assert_eq!(account["balance"].get("postedAt"), None, "nothing was posted");
    let id = account["accountId"].as_str().unwrap().to_owned();

    let amount = json!({"minorUnits": "120", "assetCode": "PTS"});
    let earn = json!({"accountId": id, "amount": amount, "reference": "order:1"});
    let earned = post("/v1/transactions:earn", earn).await;
    let transaction = &earned["transaction"];
    assert_eq!(transaction["kind"], "TRANSACTION_KIND_EARN");
    assert_eq!(transaction["entries"][1]["accountSequence"], "1");
    assert_eq!(transaction["entries"][1]["balanceAfter"], "120");
    assert_eq!(transaction["entries"][0]["accountId"], asset["issuanceAccountId"]);
    assert!(transaction["postedAt"].as_str().unwrap().ends_with('Z'));
    let token = earned["balance"]["consistencyToken"].as_str().unwrap();
    assert_eq!(ConsistencyToken::decode(token).unwrap().sequence, 1);

    let burn = json!({"accountId": id, "amount": {"minorUnits": "20", "assetCode": "PTS"}});
    let burnt = post("/v1/transactions:burn", burn).await;
    assert_eq!(burnt["balance"]["balance"]["minorUnits"], "100");
    let entry = |account: &Value, direction: &str| json!({"accountId": account, "direction": direction, "amount": {"minorUnits": "7", "assetCode": "PTS"}});
    let pair = [
        entry(&asset["issuanceAccountId"], "DIRECTION_DEBIT"),
        entry(&json!(id), "DIRECTION_CREDIT"),
    ];
    let general = post("/v1/transactions", json!({"entries": pair})).await;
    assert_eq!(general["balances"][1]["balance"]["minorUnits"], "107");

    let mut read = get(&format!("/v1/accounts/{id}/balance")).await["balance"].take();
    // What is available is not part of what was posted.
    assert_eq!(
        read.as_object_mut().unwrap().remove("available"),
        Some(json!("107"))
    );
    assert_eq!(read, general["balances"][1]);
    read["available"] = json!("107");
    assert_eq!(
        get(&format!("/v1/accounts/{id}")).await["account"]["balance"],
        read
    );
    let one = transaction["transactionId"].as_str().unwrap();
    assert_eq!(
        get(&format!("/v1/transactions/{one}")).await["transaction"],
        *transaction
    );
    let listed = get(&format!("/v1/transactions?accountId={id}")).await;
    assert_eq!(
        listed["transactions"],
        json!([general["transaction"], burnt["transaction"], transaction])
    );
    let named = get("/v1/transactions?reference=order:1").await;
    assert_eq!(named["transactions"], json!([transaction]));
    let entries = get(&format!("/v1/accounts/{id}/entries?page.pageSize=2")).await;
    assert_eq!(
        entries["entries"],
        json!([
            general["transaction"]["entries"][1],
            burnt["transaction"]["entries"][0]
        ])
    );
    let token = entries["page"]["nextPageToken"].as_str().unwrap();
    let rest = get(&format!(
        "/v1/accounts/{id}/entries?page.pageSize=2&page.pageToken={token}"
    ))
    .await;
    assert_eq!(rest["entries"], json!([transaction["entries"][1]]));
    assert_eq!(rest["page"]["nextPageToken"], "");
    audit(&ground).await;
}

#[tokio::test]
async fn the_service_documents_itself() {
    let ground = Ground::with_events().await;
    let instance = ground.start().await;
    instance.merchant().customer_with(5).await;
    let (status, document) = text(&instance, "/openapi.json").await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((status, &document["info"]["title"]), (200, &json!("svc-ledger")));
    assert!(document["paths"].get("/v1/transactions:earn").is_some());
    assert_eq!(text(&instance, "/docs").await.0, 200);
    assert_eq!(text(&instance, "/healthz/live").await.0, 200);
    assert_eq!(text(&instance, "/healthz/ready").await, (200, "ready".to_owned()));
    for metric in [
        "rpc_requests_total{code=\"OK\",rpc=\"LedgerService/Earn\"} 1",
        "rpc_seconds_count",
        "ledger_poster_batch_size_count",
        "ledger_poster_queue_depth",
        "outbox_rows",
        "outbox_relay_leader{} 1",
    ] {
        until(metric, async || {
            let (status, metrics) = text(&instance, "/metrics").await;
            status == 200 && metrics.contains(metric)
        })
        .await;
    }
}
