//! Accounts, many at once and by their references; and all of them summed.

use lp_contracts::ledger::v1;
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, bytes, fields, new_key, reason, run, uuid_of},
};

fn wanted(asset: &str, reference: &str) -> v1::CreateAccountRequest {
    v1::CreateAccountRequest {
        asset_code: asset.to_owned(),
        r#type: v1::AccountType::Customer.into(),
        reference: reference.to_owned(),
        ..Default::default()
    }
}

impl Client {
    async fn open_all(
        &self,
        key: &str,
        accounts: &[v1::CreateAccountRequest],
    ) -> Result<v1::BatchCreateAccountsResponse, Status> {
        let accounts = accounts.to_vec();
        let request = self.request(key, v1::BatchCreateAccountsRequest { accounts });
        let answer = self.grpc.clone().batch_create_accounts(request).await;
        answer.map(Response::into_inner)
    }

    async fn look_up(&self, reference: &str) -> Result<v1::Account, Status> {
        let reference = reference.to_owned();
        let request = self.request("", v1::LookupAccountRequest { reference });
        let answer = self.grpc.clone().lookup_account(request).await;
        answer.map(|answer| answer.into_inner().account.unwrap())
    }
}

#[tokio::test]
async fn accounts_are_opened_all_or_none_and_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let before = ground.count("accounts").await;
    let key = new_key();
    let mut many: Vec<_> = (0..500)
        .map(|n| wanted("PTS", &format!("customer:{n}")))
        .collect();
    many[7].reference.clear();
    many[8].reference.clear();
    many[9].max_balance = Some(9);
    many[9].metadata.insert("shop".to_owned(), "lyon/2".to_owned());
    let opened = client.open_all(&key, &many).await.unwrap();
    assert_eq!(ground.count("accounts").await, before + 500);
    for (asked, account) in many.iter().zip(&opened.accounts) {
        assert_eq!(asked.reference, account.reference);
        assert_eq!(account.balance.as_ref().unwrap().sequence, 0);
    }
    let ninth = &opened.accounts[9];
    assert_eq!(
        (ninth.max_balance, ninth.metadata["shop"].as_str()),
        (Some(9), "lyon/2")
    );
    assert_eq!(client.look_up("customer:9").await.unwrap(), *ninth);

    // The same key and accounts: the same answer, whatever became of them; other ones: refused.
    client.earn(&new_key(), &ninth.account_id, 5).await.unwrap();
    let again = client.open_all(&key, &many).await.unwrap();
    assert_eq!(bytes(&again), bytes(&opened));
    let refused = client.open_all(&key, &many[1..]).await.unwrap_err();
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");

    // One that is refused refuses all, for ever.
    let key = new_key();
    let bad = [
        wanted("PTS", "new:1"),
        wanted("EUR", "new:2"),
        wanted("EUR", "new:3"),
    ];
    for _ in 0..2 {
        let refused = client.open_all(&key, &bad).await.unwrap_err();
        assert_eq!(
            (reason(&refused).as_str(), fields(&refused)),
            ("UNKNOWN_ASSET", vec!["accounts[1].assetCode".to_owned()])
        );
        // It would be no longer, but it was.
        if ground.count("assets").await == 1 {
            client.points("EUR").await;
        }
    }
    let key = new_key();
    let taken = [wanted("PTS", "new:1"), wanted("PTS", "customer:3")];
    for _ in 0..2 {
        let refused = client.open_all(&key, &taken).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str(), fields(&refused)),
            (
                Code::AlreadyExists,
                "REFERENCE_TAKEN",
                vec!["accounts[1].reference".to_owned()]
            )
        );
    }
    assert_eq!(client.look_up("new:1").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(ground.count("accounts").await, before + 502);
    audit(&ground).await;
}

#[tokio::test]
async fn a_bad_account_is_named_and_claims_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let before = ground.counts(["accounts", "idempotency_keys"]).await;
    let good = wanted("PTS", "");
    let bad = |change: fn(&mut v1::CreateAccountRequest)| {
        let mut account = good.clone();
        change(&mut account);
        vec![good.clone(), account]
    };
    for (accounts, field) in [
        (vec![], "accounts"),
        (vec![good.clone(); 501], "accounts"),
        (bad(|a| a.asset_code = "pts".to_owned()), "accounts[1].assetCode"),
        (bad(|a| a.r#type = 0), "accounts[1].type"),
        (bad(|a| a.min_balance = Some(1)), "accounts[1].minBalance"),
        (
            bad(|a| a.reference = "Claire Martin".to_owned()),
            "accounts[1].reference",
        ),
        (
            bad(|a| drop(a.metadata.insert("Who".to_owned(), "x".to_owned()))),
            "accounts[1].metadata",
        ),
    ] {
        let refused = client.open_all(&new_key(), &accounts).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    let same = [wanted("PTS", "a"), good, wanted("PTS", "a")];
    let refused = client.open_all(&new_key(), &same).await.unwrap_err();
    assert_eq!(
        (reason(&refused).as_str(), fields(&refused)),
        ("REFERENCE_TAKEN", vec!["accounts[2].reference".to_owned()])
    );
    assert_eq!(ground.counts(["accounts", "idempotency_keys"]).await, before);
}

#[tokio::test]
async fn the_same_references_at_once_are_opened_by_one_call() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let before = ground.count("accounts").await;
    let forth: Vec<_> = (0..50).map(|n| wanted("PTS", &format!("c:{n}"))).collect();
    let back: Vec<_> = forth.iter().rev().cloned().collect();
    let keys: Vec<_> = (0..8).map(|_| new_key()).collect();
    let calls = keys.iter().enumerate().map(|(n, key)| {
        let accounts = if n % 2 == 0 { &forth } else { &back };
        client.open_all(key, accounts)
    });
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(reason(refused), "REFERENCE_TAKEN");
    }
    assert_eq!(ground.count("accounts").await, before + 50);
}

#[tokio::test]
async fn an_account_is_found_by_its_reference() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let id = client.open(wanted("PTS", "customer:1")).await;
    client.earn(&new_key(), &id, 5).await.unwrap();
    let found = client.look_up("customer:1").await.unwrap();
    assert_eq!(
        (found.account_id.as_str(), found.posted_credits),
        (id.as_str(), 5)
    );
    let (status, answer) = client.get("/v1/accounts:lookup?reference=customer:1").await;
    assert_eq!(
        (status, &answer["account"]["accountId"]),
        (200, &json!(id)),
        "{answer}"
    );
    let (_, same) = client.get(&format!("/v1/accounts/{id}")).await;
    assert_eq!(answer, same);

    let stranger = instance.merchant();
    for (client, reference, code) in [
        (&client, "customer:2", Code::NotFound),
        (&stranger, "customer:1", Code::NotFound),
        (&client, "", Code::InvalidArgument),
        (&client, "Claire Martin", Code::InvalidArgument),
    ] {
        let refused = client.look_up(reference).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (code, vec!["reference".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_trial_balance_has_each_type_of_each_asset() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let trial = async |asset: &str| {
        let (status, answer) = client.get(&format!("/v1/trial-balance{asset}")).await;
        assert_eq!(status, 200, "{answer}");
        answer["assets"].clone()
    };
    assert_eq!(trial("").await, json!([]));
    let account = client.customer_with(100).await;
    client.customer("PTS").await;
    client.burn(&new_key(), &account, 30).await.unwrap();
    client.asset("EUR", v1::AssetKind::Currency, 2).await;
    let line = |of: &str, accounts: &str, debits: &str, credits: &str| json!({"accountType": format!("ACCOUNT_TYPE_{of}"), "accounts": accounts, "debits": debits, "credits": credits});
    let euros = json!({"assetCode": "EUR", "debits": "0", "credits": "0", "difference": "0", "lines": []});
    let points = json!({"assetCode": "PTS", "debits": "130", "credits": "130", "difference": "0", "lines": [
        line("CUSTOMER", "2", "30", "100"),
        line("ISSUANCE", "1", "100", "0"),
        line("REDEMPTION", "1", "0", "30"),
    ]});
    assert_eq!(trial("").await, json!([euros, points]));
    assert_eq!(trial("?assetCode=PTS").await, json!([points]));
    for (asset, status, named) in [("USD", 404, "UNKNOWN_ASSET"), ("usd", 400, "INVALID_FIELD")] {
        let found = client.get(&format!("/v1/trial-balance?assetCode={asset}")).await;
        assert_eq!((found.0, &found.1["reason"]), (status, &json!(named)));
        assert_eq!(found.1["violations"][0]["field"], "assetCode");
    }

    // Sums that no account could have alone.
    let accounts = [&account, &client.customer("PTS").await].map(|id| format!("'{}'", uuid_of(id)));
    let vast = format!(
        "UPDATE accounts SET posted_debits = posted_debits + 9000000000000000000,
                             posted_credits = posted_credits + 9000000000000000000
         WHERE account_id IN ({})",
        accounts.join(", ")
    );
    run(&mut ground.owner().await, &vast).await;
    let points = trial("?assetCode=PTS").await;
    assert_eq!(points[0]["credits"], "18000000000000000130");
    assert_eq!(points[0]["difference"], "0");
    assert_eq!(points[0]["lines"][0]["debits"], "18000000000000000030");
}
