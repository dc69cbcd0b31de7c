//! Bad input of holds and reversals has its own reason and names the field, over gRPC and REST alike, and writes nothing.

use std::time::Duration;

use lp_types::time::Ambient;
use serde_json::json;

use crate::{
    support::{Ground, new_key},
    wire::{Refused, both, grpc, with, without},
};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_field_that_is_wrong_is_named_and_nothing_is_written() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let (shop, hold) = (client.shop().await, client.held(&account, 60).await);
    let earned = client.earn(&new_key(), &account, 1).await.unwrap();
    let transaction = earned.transaction.unwrap().transaction_id;
    let before = (ground.written().await, ground.count("holds").await);

    let far = (Ambient::system().clock.now() + 2 * 8_760 * HOUR).to_string();
    let amount = json!({"minorUnits": "5", "assetCode": "PTS"});
    let expires = (Ambient::system().clock.now() + HOUR).to_string();
    let place = json!({
        "accountId": account, "amount": amount, "expiresAt": expires, "direction": "DIRECTION_DEBIT", "reference": "r",
    });
    let capture = json!({"holdId": hold, "amount": amount, "destinationAccountId": shop});
    let reverse =
        json!({"transactionId": transaction, "amount": amount, "shortfall": 1, "debtAccountId": ""});
    for (rpc, body, field) in [
        ("PlaceHold", with(&place, "/accountId", json!("x")), "accountId"),
        (
            "PlaceHold",
            with(&place, "/amount/minorUnits", json!("0")),
            "amount.minorUnits",
        ),
        ("PlaceHold", without(&place, "amount"), "amount"),
        ("PlaceHold", without(&place, "expiresAt"), "expiresAt"),
        ("PlaceHold", with(&place, "/expiresAt", json!(far)), "expiresAt"),
        ("PlaceHold", with(&place, "/direction", json!(77)), "direction"),
        ("PlaceHold", with(&place, "/reference", json!("a b")), "reference"),
        ("CaptureHold", with(&capture, "/holdId", json!("hld_x")), "holdId"),
        (
            "CaptureHold",
            with(&capture, "/amount/assetCode", json!("pts")),
            "amount.assetCode",
        ),
        (
            "CaptureHold",
            without(&capture, "destinationAccountId"),
            "destinationAccountId",
        ),
        (
            "ReverseTransaction",
            with(&reverse, "/transactionId", json!("x")),
            "transactionId",
        ),
        (
            "ReverseTransaction",
            with(&reverse, "/amount/minorUnits", json!("-1")),
            "amount.minorUnits",
        ),
        (
            "ReverseTransaction",
            with(&reverse, "/shortfall", json!(77)),
            "shortfall",
        ),
        (
            "ReverseTransaction",
            with(&reverse, "/shortfall", json!(3)),
            "debtAccountId",
        ),
        (
            "ReverseTransaction",
            with(&reverse, "/debtAccountId", json!(account)),
            "debtAccountId",
        ),
    ] {
        let expected = Refused {
            reason: "INVALID_FIELD".to_owned(),
            fields: vec![field.to_owned()],
            status: 400,
        };
        let refused = both(&client, rpc, &body).await;
        assert_eq!(refused, [expected.clone(), expected], "{rpc} {body}");
    }
    assert_eq!((ground.written().await, ground.count("holds").await), before);
    // All of them were one step away from a request that works.
    for (rpc, body) in [
        ("PlaceHold", place),
        ("CaptureHold", capture),
        ("ReverseTransaction", reverse),
    ] {
        let part = json!({"minorUnits": "1", "assetCode": "PTS"});
        grpc(&client, rpc, &new_key(), &with(&body, "/amount", part))
            .await
            .unwrap();
    }
}
