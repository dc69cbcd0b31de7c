//! Programmes: versions that are only added to, each based on the latest, none in contradiction.

use futures::future::join_all;
use lp_contracts::merchant::v1::{self, MerchantState};
use serde_json::json;
use tonic::Code;

use crate::support::{Ground, application, bytes, fields, new_key, program, reason};

#[tokio::test]
async fn versions_follow_one_another() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let client = &shop.client;
    assert_eq!(reason(&client.program(0).await.unwrap_err()), "NO_PROGRAM");
    let first = client.publish("k", program(0)).await.unwrap();
    assert_eq!(first.version, 1);
    assert_eq!(
        [
            first.earn_points,
            first.earn_per,
            first.burn_points,
            first.burn_value
        ],
        [1, 100, 100, 100]
    );
    assert!(first.published_at.is_some());
    let generous = v1::PublishProgramRequest {
        earn_points: 2,
        ..program(1)
    };
    let second = client.publish("k2", generous).await.unwrap();
    assert_eq!((second.version, second.earn_points), (2, 2));
    assert_eq!(client.program(0).await.unwrap(), second);
    assert_eq!(client.program(1).await.unwrap(), first);
    assert_eq!(client.program(2).await.unwrap(), second);
    assert_eq!(reason(&client.program(3).await.unwrap_err()), "NO_PROGRAM");
    let (status, latest) = client.get("/v1/program").await;
    assert_eq!((status, &latest["program"]["version"]), (200, &json!(2)));
    assert_eq!(latest["program"]["earnPoints"], "2");

    assert_eq!(
        bytes(&client.publish("k", program(0)).await.unwrap()),
        bytes(&first)
    );
    let reused = client.publish("k", program(2)).await.unwrap_err();
    assert_eq!(reason(&reused), "IDEMPOTENCY_KEY_REUSED");
    for late in [0, 1, 3, i32::MAX] {
        let refused = client.publish(&new_key(), program(late)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Aborted, "PROGRAM_CHANGED")
        );
        assert_eq!(fields(&refused), ["basedOnVersion"]);
    }
    assert_eq!(ground.count("programs").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_is_the_next() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let shop = ground.shop(&one).await;
    let clients = [shop.client.clone(), other.client(shop.client.merchant)];
    for version in 0..3 {
        let calls = (0..16).map(|n| {
            let client = clients[n % 2].clone();
            async move { client.publish(&new_key(), program(version)).await }
        });
        let answers = join_all(calls).await;
        let published: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].version, version + 1);
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(reason(refused), "PROGRAM_CHANGED");
        }
    }
    assert_eq!(ground.count("programs").await, 3);
}

#[tokio::test]
async fn contradictions_are_refused_field_by_field() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let all = ["earnPoints", "earnPer", "burnPoints", "burnValue"].as_slice();
    let most = 1_000_000_000;
    let cases = [
        ([-1, 100, 100, 100], &all[..1]),
        ([1, 0, 100, 100], &all[1..2]),
        ([1, 100, 0, 100], &all[2..3]),
        ([1, 100, 100, 0], &all[3..]),
        ([most + 1, 100, 100, 100], &all[..1]),
        ([1, i64::MAX, 100, 100], &all[1..2]),
        ([1, 100, i64::MIN, 100], &all[2..3]),
        ([-1, -1, -1, -1], all),
        ([0, 0, 0, 0], &all[1..]),
        // A euro earns what pays a euro, and more.
        ([100, 100, 100, 100], all),
        ([101, 100, 100, 100], all),
        ([most, most, most, most], all),
    ];
    for ([earn_points, earn_per, burn_points, burn_value], wrong) in cases {
        let wanted = v1::PublishProgramRequest {
            based_on_version: 0,
            earn_points,
            earn_per,
            burn_points,
            burn_value,
        };
        let refused = shop.client.publish(&new_key(), wanted).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "PROGRAM_INVALID")
        );
        assert_eq!(fields(&refused), wrong, "{wanted:?}");
    }
    let body = json!({"earnPoints": "100", "earnPer": "100", "burnPoints": "100", "burnValue": "100"});
    let (status, problem) = shop.client.post(&new_key(), "/v1/programs", &body).await;
    assert_eq!((status, &problem["reason"]), (400, &json!("PROGRAM_INVALID")));
    assert_eq!(problem["violations"][3]["field"], "burnValue");
    assert_eq!(ground.count("programs").await, 0);
    // The edges of what makes sense.
    for (version, [earn_points, earn_per, burn_points, burn_value]) in [
        [0, 1, 1, most],
        [99, 100, 100, 100],
        [most, most, 2, 1],
        [1, most, most, 1],
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = v1::PublishProgramRequest {
            based_on_version: version.try_into().unwrap(),
            earn_points,
            earn_per,
            burn_points,
            burn_value,
        };
        shop.client.publish(&new_key(), wanted).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_merchant_that_trades_publishes() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let refused = client.publish(&new_key(), program(0)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "UNKNOWN_MERCHANT")
    );
    client.apply(&new_key(), application()).await.unwrap();
    let refused = client.publish("k", program(0)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "MERCHANT_NOT_ACTIVE")
    );
    let shop = ground.shop_with_program(&instance).await;
    shop.operator
        .change(&new_key(), MerchantState::Suspended)
        .await
        .unwrap();
    let refused = shop.client.publish(&new_key(), program(1)).await.unwrap_err();
    assert_eq!(reason(&refused), "MERCHANT_NOT_ACTIVE");
    assert_eq!(shop.client.program(0).await.unwrap().version, 1);
}
