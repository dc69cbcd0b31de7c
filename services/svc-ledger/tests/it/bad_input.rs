//! Bad input has its own reason and names the field, over gRPC and REST alike, and writes nothing.

use lp_contracts::{common, ledger::v1};
use serde_json::json;
use tonic::{Request, Response, metadata::AsciiMetadataValue};

use crate::{
    support::{Ground, fields, new_key},
    wire::{Refused, both, grpc, message, with, without},
};

#[tokio::test]
async fn a_field_that_is_wrong_is_named_and_nothing_is_written() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let issuance = client.account("PTS", v1::AccountType::Issuance).await;
    let before = ground.written().await;

    let earn = json!({
        "accountId": account, "amount": {"minorUnits": "5", "assetCode": "PTS"}, "reference": "r",
    });
    let entry = |account: &str, direction: &str| json!({"accountId": account, "direction": direction, "amount": {"minorUnits": "5", "assetCode": "PTS"}});
    let pair = [
        entry(&issuance, "DIRECTION_DEBIT"),
        entry(&account, "DIRECTION_CREDIT"),
    ];
    let general = json!({"entries": pair, "reference": "r"});
    let many = json!({"entries": pair.iter().cycle().take(502).collect::<Vec<_>>()});
    let asset = json!({"code": "NEW", "kind": "ASSET_KIND_POINTS", "exponent": 0});
    let open = json!({
        "assetCode": "PTS", "type": "ACCOUNT_TYPE_CUSTOMER", "minBalance": "0", "maxBalance": "0", "reference": "r",
    });
    let long = "x".repeat(65);
    let longer = "x".repeat(10_000);

    let cases = [
        (
            "Earn",
            with(&earn, "/amount/minorUnits", json!("0")),
            "amount.minorUnits",
        ),
        (
            "Earn",
            with(&earn, "/amount/minorUnits", json!("-1")),
            "amount.minorUnits",
        ),
        (
            "Earn",
            with(&earn, "/amount/minorUnits", json!("1000000000000001")),
            "amount.minorUnits",
        ),
        (
            "Burn",
            with(&earn, "/amount/minorUnits", json!("9223372036854775807")),
            "amount.minorUnits",
        ),
        (
            "Burn",
            with(&earn, "/amount/minorUnits", json!("-9223372036854775808")),
            "amount.minorUnits",
        ),
        (
            "Earn",
            with(&earn, "/amount/assetCode", json!("pts")),
            "amount.assetCode",
        ),
        (
            "Earn",
            with(&earn, "/amount/assetCode", json!("")),
            "amount.assetCode",
        ),
        (
            "Earn",
            with(&earn, "/amount/assetCode", json!("P\u{0}S")),
            "amount.assetCode",
        ),
        ("Burn", without(&earn, "amount"), "amount"),
        ("Earn", without(&earn, "accountId"), "accountId"),
        ("Earn", with(&earn, "/accountId", json!("acc_1")), "accountId"),
        (
            "Earn",
            with(&earn, "/accountId", json!(account.replace("acc_", "txn_"))),
            "accountId",
        ),
        (
            "Burn",
            with(&earn, "/accountId", json!(account.to_uppercase())),
            "accountId",
        ),
        (
            "Burn",
            with(&earn, "/accountId", json!(format!("{account}\u{0}"))),
            "accountId",
        ),
        ("Earn", with(&earn, "/reference", json!(long)), "reference"),
        ("Earn", with(&earn, "/reference", json!(longer)), "reference"),
        ("Burn", with(&earn, "/reference", json!("a\u{0}b")), "reference"),
        ("Burn", with(&earn, "/reference", json!("🎁")), "reference"),
        (
            "CreateTransaction",
            with(&general, "/reference", json!("a b")),
            "reference",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/0/direction", json!("DIRECTION_UNSPECIFIED")),
            "entries[0].direction",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/1/direction", json!(99)),
            "entries[1].direction",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/1/amount/minorUnits", json!("0")),
            "entries[1].amount.minorUnits",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/0/amount/assetCode", json!("🎁")),
            "entries[0].amount.assetCode",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/0/accountId", json!("x")),
            "entries[0].accountId",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries", json!([])),
            "entries",
        ),
        (
            "CreateTransaction",
            with(&general, "/entries", json!([pair[0]])),
            "entries",
        ),
        ("CreateTransaction", many, "entries"),
        ("CreateAsset", with(&asset, "/code", json!("A")), "code"),
        (
            "CreateAsset",
            with(&asset, "/code", json!("ABCDEFGHIJKLMNOPQ")),
            "code",
        ),
        ("CreateAsset", with(&asset, "/code", json!("A🎁")), "code"),
        (
            "CreateAsset",
            with(&asset, "/kind", json!("ASSET_KIND_UNSPECIFIED")),
            "kind",
        ),
        ("CreateAsset", with(&asset, "/exponent", json!(9)), "exponent"),
        ("CreateAsset", with(&asset, "/exponent", json!(-1)), "exponent"),
        (
            "CreateAccount",
            with(&open, "/assetCode", json!("p")),
            "assetCode",
        ),
        (
            "CreateAccount",
            with(&open, "/type", json!("ACCOUNT_TYPE_UNSPECIFIED")),
            "type",
        ),
        ("CreateAccount", with(&open, "/type", json!(77)), "type"),
        (
            "CreateAccount",
            with(&open, "/minBalance", json!("1")),
            "minBalance",
        ),
        (
            "CreateAccount",
            with(&open, "/maxBalance", json!("-1")),
            "maxBalance",
        ),
        (
            "CreateAccount",
            with(&open, "/reference", json!("a\u{0}")),
            "reference",
        ),
    ];
    for (rpc, body, field) in cases {
        let expected = Refused {
            reason: "INVALID_FIELD".to_owned(),
            fields: vec![field.to_owned()],
            status: 400,
        };
        assert_eq!(
            both(&client, rpc, &body).await,
            [expected.clone(), expected],
            "{rpc} {body:.200}"
        );
        assert_eq!(ground.written().await, before, "{rpc} {body:.200}");
    }

    let unbalanced = with(&general, "/entries/1/amount/minorUnits", json!("4"));
    let expected = Refused {
        reason: "UNBALANCED".to_owned(),
        fields: vec!["entries".to_owned()],
        status: 400,
    };
    assert_eq!(
        both(&client, "CreateTransaction", &unbalanced).await,
        [expected.clone(), expected]
    );
    assert_eq!(ground.written().await, before);
    assert_eq!(client.units(&account).await, 100);
    // All of them were one step away from a request that works.
    grpc(&client, "CreateTransaction", &new_key(), &general)
        .await
        .unwrap();
    grpc(&client, "CreateAsset", &new_key(), &asset).await.unwrap();
    grpc(&client, "CreateAccount", &new_key(), &open).await.unwrap();
}

#[tokio::test]
async fn what_the_state_of_things_forbids_has_its_reason() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let issuance = client.account("PTS", v1::AccountType::Issuance).await;
    client.asset("EUR", v1::AssetKind::Currency, 2).await;
    let cash = client.customer("EUR").await;
    let amount = json!({"minorUnits": "5", "assetCode": "PTS"});
    let earn = json!({"accountId": account, "amount": amount, "reference": "taken"});
    grpc(&client, "Earn", &new_key(), &earn).await.unwrap();
    let open = json!({"assetCode": "PTS", "type": "ACCOUNT_TYPE_CUSTOMER", "reference": "taken"});
    grpc(&client, "CreateAccount", &new_key(), &open).await.unwrap();

    let fresh = with(&earn, "/reference", json!("free"));
    let nobody = "acc_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let entry = |account: &str, direction: &str| json!({"accountId": account, "direction": direction, "amount": amount});
    let general =
        json!({"entries": [entry(&issuance, "DIRECTION_DEBIT"), entry(&account, "DIRECTION_CREDIT")]});
    let euros = json!({"minorUnits": "5", "assetCode": "EUR"});
    let mismatch = with(
        &with(&general, "/entries/0/amount", euros.clone()),
        "/entries/1/amount",
        euros.clone(),
    );
    let cases = [
        (
            "Earn",
            with(&fresh, "/accountId", json!(nobody)),
            "UNKNOWN_ACCOUNT",
            Some("accountId"),
            404,
        ),
        (
            "Burn",
            with(&fresh, "/accountId", json!(nobody)),
            "UNKNOWN_ACCOUNT",
            Some("accountId"),
            404,
        ),
        (
            "CreateTransaction",
            with(&general, "/entries/1/accountId", json!(nobody)),
            "UNKNOWN_ACCOUNT",
            Some("entries[1].accountId"),
            404,
        ),
        (
            "Earn",
            with(&fresh, "/amount/assetCode", json!("EUR")),
            "ASSET_MISMATCH",
            Some("amount.assetCode"),
            400,
        ),
        (
            "CreateTransaction",
            mismatch,
            "ASSET_MISMATCH",
            Some("entries[0].amount.assetCode"),
            400,
        ),
        (
            "Burn",
            with(&fresh, "/amount/minorUnits", json!("106")),
            "INSUFFICIENT_FUNDS",
            None,
            400,
        ),
        (
            "Earn",
            with(&fresh, "/accountId", json!(issuance)),
            "NOT_A_POINTS_ACCOUNT",
            Some("accountId"),
            400,
        ),
        (
            "Earn",
            json!({"accountId": cash, "amount": euros}),
            "NOT_A_POINTS_ACCOUNT",
            Some("accountId"),
            400,
        ),
        ("Burn", earn, "REFERENCE_TAKEN", Some("reference"), 409),
        (
            "CreateAccount",
            open.clone(),
            "REFERENCE_TAKEN",
            Some("reference"),
            409,
        ),
        (
            "CreateAccount",
            with(&open, "/assetCode", json!("NONE")),
            "UNKNOWN_ASSET",
            Some("assetCode"),
            404,
        ),
        (
            "CreateAsset",
            json!({"code": "EUR", "kind": "ASSET_KIND_CURRENCY", "exponent": 2}),
            "ASSET_TAKEN",
            Some("code"),
            409,
        ),
    ];
    for (rpc, body, reason, field, status) in cases {
        let before = ground.written().await;
        let expected = Refused {
            reason: reason.to_owned(),
            fields: field.map(str::to_owned).into_iter().collect(),
            status,
        };
        assert_eq!(
            both(&client, rpc, &body).await,
            [expected.clone(), expected],
            "{rpc} {body}"
        );
        // The two keys, whose answer the refusal is.
        assert_eq!(
            ground.written().await,
            [before[0], before[1], before[2] + 2],
            "{rpc} {body}"
        );
    }
    assert_eq!(client.units(&account).await, 105);
}

#[tokio::test]
async fn an_idempotency_key_is_1_to_128_visible_characters() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let before = ground.written().await;
    let body = json!({"accountId": account, "amount": {"minorUnits": "5", "assetCode": "PTS"}});
    let expected = Refused {
        reason: "IDEMPOTENCY_KEY_INVALID".to_owned(),
        fields: vec!["idempotency-key".to_owned()],
        status: 400,
    };
    let long = "k".repeat(129);
    let keys: [Option<&[u8]>; 6] = [
        None,
        Some(b""),
        Some(b"a b"),
        Some("cl\u{e9}".as_bytes()),
        Some("🎁".as_bytes()),
        Some(long.as_bytes()),
    ];
    for key in keys {
        let mut request: Request<v1::EarnRequest> = client.request("", message("EarnRequest", &body));
        let mut rest = client
            .http
            .post(format!("{}/v1/transactions:earn", client.base))
            .json(&body);
        if let Some(key) = key {
            let value = AsciiMetadataValue::try_from(key).unwrap();
            request.metadata_mut().insert("idempotency-key", value);
            rest = rest.header("idempotency-key", key);
        }
        let refused = client.grpc.clone().earn(request).await.unwrap_err();
        assert_eq!(Refused::of(&refused), expected, "{key:?}");
        assert_eq!(
            Refused::of_problem(&client.send("", rest).await),
            expected,
            "{key:?}"
        );
    }
    assert_eq!(ground.written().await, before);
    let longest = "k".repeat(128);
    client.earn(&longest, &account, 5).await.unwrap();
}

#[tokio::test]
async fn a_read_names_what_is_wrong_too() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    for (path, reason, field, status) in [
        ("/v1/accounts/acc_1", "INVALID_FIELD", "accountId", 400),
        ("/v1/accounts/acc_1/balance", "INVALID_FIELD", "accountId", 400),
        ("/v1/accounts/acc_%00/entries", "INVALID_FIELD", "accountId", 400),
        (
            "/v1/accounts/acc_0199f0c1d2e37a4b8c5d6e7f80912a3b/entries",
            "UNKNOWN_ACCOUNT",
            "accountId",
            404,
        ),
        (
            "/v1/accounts/acc_0199f0c1d2e37a4b8c5d6e7f80912a3b",
            "UNKNOWN_ACCOUNT",
            "accountId",
            404,
        ),
        ("/v1/transactions/txn_1", "INVALID_FIELD", "transactionId", 400),
        (
            "/v1/transactions/txn_0199f0c1d2e37a4b8c5d6e7f80912a3b",
            "NOT_FOUND",
            "transactionId",
            404,
        ),
        ("/v1/assets/p", "INVALID_FIELD", "code", 400),
        ("/v1/assets/NONE", "UNKNOWN_ASSET", "code", 404),
        ("/v1/transactions?accountId=x", "INVALID_FIELD", "accountId", 400),
        (
            "/v1/transactions?reference=%F0%9F%8E%81",
            "INVALID_FIELD",
            "reference",
            400,
        ),
        (
            "/v1/transactions?page.pageSize=501",
            "INVALID_FIELD",
            "page.pageSize",
            400,
        ),
        (
            "/v1/transactions?page.pageSize=-1",
            "INVALID_FIELD",
            "page.pageSize",
            400,
        ),
        (
            "/v1/transactions?page.pageSize=many",
            "INVALID_FIELD",
            "page.pageSize",
            400,
        ),
        (
            "/v1/transactions?page.pageToken=x",
            "INVALID_FIELD",
            "page.pageToken",
            400,
        ),
        ("/v1/transactions?colour=red", "UNKNOWN_FIELD", "colour", 400),
    ] {
        let expected = Refused {
            reason: reason.to_owned(),
            fields: vec![field.to_owned()],
            status,
        };
        assert_eq!(Refused::of_problem(&client.get(path).await), expected, "{path}");
    }
    let both = format!("/v1/transactions?accountId={account}&reference=r");
    assert_eq!(
        Refused::of_problem(&client.get(&both).await).fields,
        ["reference"]
    );

    let page = |page_size: i32, page_token: &str| v1::ListEntriesRequest {
        account_id: account.clone(),
        page: Some(common::v1::PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        }),
    };
    let list = async |wanted| {
        let answer = client.grpc.clone().list_entries(client.request("", wanted)).await;
        answer.map(Response::into_inner)
    };
    for (wanted, field) in [
        (page(501, ""), "page.pageSize"),
        (page(-1, ""), "page.pageSize"),
        (page(0, "x"), "page.pageToken"),
        (page(0, "\u{0}🎁"), "page.pageToken"),
    ] {
        assert_eq!(fields(&list(wanted).await.unwrap_err()), [field]);
    }
}
