//! One key, one wallet, one ledger account, one answer.

use futures::future::join_all;
use lp_contracts::wallet::v1;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    ledger::Opened,
    support::{EMAIL, Ground, bytes, contact, fields, new_key, reason, uuid_of, wanted, wanted_json},
};

#[tokio::test]
async fn a_wallet_is_opened_with_its_account_and_its_contact() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client
        .create("k", wanted("customer/1"))
        .await
        .unwrap()
        .wallet
        .unwrap();
    assert_eq!(wallet.status(), v1::WalletStatus::Active);
    assert!(wallet.wallet_id.starts_with("wal_") && wallet.customer_id.starts_with("cus_"));
    assert!(wallet.account_id.starts_with("acc_"));
    assert_eq!(
        (wallet.customer_reference.as_str(), wallet.asset_code.as_str()),
        ("customer/1", "PTS")
    );
    assert!(wallet.created_at.is_some());
    assert_eq!(client.wallet(&wallet.wallet_id).await.unwrap(), wallet);
    assert_eq!(client.wallets().await, std::slice::from_ref(&wallet));

    let found = client.contact(&wallet.account_id).await.unwrap();
    assert_eq!(found.customer_id, wallet.customer_id);
    assert_eq!(found.contact, Some(contact(EMAIL)));

    let asked = Opened {
        merchant: client.merchant.to_string(),
        actor: "till-7".to_owned(),
        key: format!("{}:open-account", wallet.wallet_id),
        asset: "PTS".to_owned(),
        customer: true,
    };
    assert_eq!(ground.ledger.opened(), [asked]);

    // Who did it stands in the rows.
    let actors: Vec<String> =
        sqlx::query_scalar("SELECT actor FROM customers UNION ALL SELECT actor FROM wallets")
            .fetch_all(&mut ground.owner().await)
            .await
            .unwrap();
    assert_eq!(actors, ["till-7", "till-7"]);
}

#[tokio::test]
async fn rest_opens_and_reads_the_same() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (status, created) = client.post("k", "/v1/wallets", &wanted_json("c-1")).await;
    assert_eq!(status, 200, "{created}");
    let wallet = &created["wallet"];
    assert_eq!(wallet["status"], "WALLET_STATUS_ACTIVE");
    let id = wallet["walletId"].as_str().unwrap();
    assert_eq!(
        client.get(&format!("/v1/wallets/{id}")).await,
        (200, json!({ "wallet": wallet }))
    );
    assert_eq!(
        client.get("/v1/wallets").await.1["wallets"],
        json!([wallet.clone()])
    );
    let (status, balance) = client.get(&format!("/v1/wallets/{id}/balance")).await;
    assert_eq!(status, 200);
    assert_eq!(balance["balance"], json!({"minorUnits": "0", "assetCode": "PTS"}));

    // The two ways share keys and fingerprints.
    let again = client.create("k", wanted("c-1")).await.unwrap();
    assert_eq!(again.wallet.unwrap().wallet_id, id);
    assert_eq!(ground.written().await, [1, 1, 1]);
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_also_after_a_restart() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let first = client.create("k", wanted("c-1")).await.unwrap();
    assert_eq!(
        bytes(&client.create("k", wanted("c-1")).await.unwrap()),
        bytes(&first)
    );
    instance.stop().await;

    let instance = ground.start().await;
    let client = instance.client(client.merchant);
    assert_eq!(
        bytes(&client.create("k", wanted("c-1")).await.unwrap()),
        bytes(&first)
    );
    assert_eq!(ground.written().await, [1, 1, 1]);
    assert_eq!(
        ground.ledger.opened().len(),
        1,
        "an answer is not asked for again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_with_one_key_open_one_wallet() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let clients = [client.clone(), other.client(client.merchant)];
    let calls = (0..64).map(|n| {
        let client = clients[n % 2].clone();
        async move { client.create("once", wanted("c-1")).await.unwrap() }
    });
    let answers = join_all(calls).await;
    for answer in &answers {
        assert_eq!(bytes(answer), bytes(&answers[0]));
    }
    assert_eq!(ground.written().await, [1, 1, 1]);
    assert_eq!(ground.ledger.accounts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_with_many_keys_open_one_wallet_of_a_customer() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let answers = join_all((0..16).map(|_| client.open_or_find("c-1"))).await;
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(ground.written().await, [1, 1, 16]);
    assert_eq!(ground.ledger.accounts(), 1);
}

impl crate::support::Client {
    /// The wallet's id, whether it was opened or is there already.
    async fn open_or_find(&self, reference: &str) -> String {
        match self.create(&new_key(), wanted(reference)).await {
            Ok(created) => created.wallet.unwrap().wallet_id,
            Err(status) => {
                assert_eq!(reason(&status), "WALLET_EXISTS");
                status.get_details_error_info().unwrap().metadata["wallet_id"].clone()
            }
        }
    }
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let first = client.create("k", wanted("c-1")).await.unwrap();
    let others = [
        wanted("c-2"),
        v1::CreateWalletRequest {
            asset_code: "EUR".to_owned(),
            ..wanted("c-1")
        },
        v1::CreateWalletRequest {
            contact: Some(contact("other@exemple.example")),
            ..wanted("c-1")
        },
    ];
    for other in others {
        let refused = client.create("k", other).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Aborted, "IDEMPOTENCY_KEY_REUSED")
        );
        assert_eq!(fields(&refused), ["idempotency-key"]);
    }
    assert_eq!(ground.written().await, [1, 1, 1]);
    let account = first.wallet.unwrap().account_id;
    assert_eq!(
        client.contact(&account).await.unwrap().contact,
        Some(contact(EMAIL))
    );

    // Another merchant's key of the same name is another key.
    let other = instance.merchant();
    let theirs = other.create("k", wanted("c-2")).await.unwrap().wallet.unwrap();
    assert_ne!(theirs.account_id, account);
}

#[tokio::test]
async fn a_second_wallet_of_the_same_asset_is_refused_and_changes_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let row = "SELECT c::text FROM customers c";
    let before: String = sqlx::query_scalar(row)
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();

    let second = v1::CreateWalletRequest {
        contact: Some(contact("other@exemple.example")),
        ..wanted("c-1")
    };
    // The refusal is an answer, and is given again.
    for _ in 0..2 {
        let refused = client.create("second", second.clone()).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::AlreadyExists, "WALLET_EXISTS")
        );
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.domain, "wallet.localplus");
        assert_eq!(info.metadata["wallet_id"], wallet.wallet_id);
        assert_eq!(fields(&refused), ["customerReference"]);
    }
    let after: String = sqlx::query_scalar(row)
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();
    assert_eq!(after, before, "the refused call changed the customer");
    assert_eq!(ground.written().await, [1, 1, 2]);
    assert_eq!(ground.ledger.opened().len(), 1);

    let (status, problem) = client.post("third", "/v1/wallets", &wanted_json("c-1")).await;
    assert_eq!((status, problem["reason"].as_str()), (409, Some("WALLET_EXISTS")));
    assert_eq!(problem["metadata"]["wallet_id"], json!(wallet.wallet_id));
}

#[tokio::test]
async fn wallets_of_one_reference_belong_to_one_customer() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let points = client.open("c-1").await;
    let euros = v1::CreateWalletRequest {
        asset_code: "EUR".to_owned(),
        contact: Some(v1::Contact {
            email: String::new(),
            language: "en".to_owned(),
            messages_allowed: false,
        }),
        ..wanted("c-1")
    };
    let created = client.create("euros", euros.clone()).await.unwrap();
    let euro_wallet = created.wallet.unwrap();
    assert_eq!(euro_wallet.customer_id, points.customer_id);
    assert_ne!(euro_wallet.wallet_id, points.wallet_id);
    assert_ne!(euro_wallet.account_id, points.account_id);
    // The contact of one who is known already is replaced, for each of the wallets.
    for account in [&points.account_id, &euro_wallet.account_id] {
        assert_eq!(client.contact(account).await.unwrap().contact, euros.contact);
    }
    // The same reference at another merchant is another customer.
    let other = instance.merchant().open("c-1").await;
    assert_ne!(other.customer_id, points.customer_id);
    assert_eq!(ground.written().await, [2, 3, 3]);
}

#[tokio::test]
async fn an_asset_that_the_ledger_does_not_know_leaves_only_the_refusal() {
    let ground = Ground::new().await;
    ground.ledger.forget_asset("PTS");
    let instance = ground.start().await;
    let client = instance.merchant();
    for _ in 0..2 {
        let refused = client.create("k", wanted("c-1")).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "UNKNOWN_ASSET")
        );
        assert_eq!(fields(&refused), ["assetCode"]);
    }
    assert_eq!(ground.ledger.opened().len(), 1, "the refusal is recorded");
    assert_eq!(ground.written().await, [0, 0, 1]);
}

#[tokio::test]
async fn an_asset_that_the_ledger_does_not_know_changes_nobody_who_is_known() {
    let ground = Ground::new().await;
    ground.ledger.forget_asset("XXX");
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let unknown = v1::CreateWalletRequest {
        asset_code: "XXX".to_owned(),
        contact: Some(contact("other@exemple.example")),
        ..wanted("c-1")
    };
    let refused = client.create("k", unknown).await.unwrap_err();
    assert_eq!(reason(&refused), "UNKNOWN_ASSET");
    assert_eq!(
        client.contact(&wallet.account_id).await.unwrap().contact,
        Some(contact(EMAIL))
    );
    assert_eq!(client.wallets().await, [wallet]);
    assert_eq!(ground.written().await, [1, 1, 2]);
}

#[tokio::test]
async fn a_wallet_holds_the_account_that_the_ledger_opened() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let wallet = instance.merchant().open("c-1").await;
    let row: (uuid::Uuid, i16) =
        sqlx::query_as("SELECT account_id, status FROM wallets WHERE wallet_id = $1")
            .bind(uuid_of(&wallet.wallet_id))
            .fetch_one(&mut ground.owner().await)
            .await
            .unwrap();
    assert_eq!(row, (uuid_of(&wallet.account_id), 2));
}
