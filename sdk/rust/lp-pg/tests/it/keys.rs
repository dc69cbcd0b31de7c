//! Many keys at once.

use std::time::Duration;

use lp_pg::{
    Failure,
    idempotency::{Claim, Claimed, claim_all, claim_answered, correct_all, record_all},
};
use lp_types::{IdSource as _, MerchantId, SystemIds};
use serde_json::json;

use crate::support::Ground;

#[tokio::test]
async fn each_claim_gets_its_own_outcome_in_order() {
    let ground = Ground::new().await;
    let mut work = ground.database.begin().await.unwrap();
    let (answered, pending) = (ground.claim("answered", 1), ground.claim("pending", 1));
    claim_all(&mut work, &[answered.clone(), pending]).await.unwrap();
    record_all(&mut work, &[(&answered, json!({"n": 1}))])
        .await
        .unwrap();
    work.commit().await.unwrap();

    let mut of_another = ground.claim("answered", 1);
    of_another.caller.merchant = MerchantId::from_uuid(SystemIds.uuid());
    let of_another_rpc = Claim {
        rpc: "Other",
        ..ground.claim("answered", 1)
    };
    let mut work = ground.database.begin().await.unwrap();
    let claims = [
        ground.claim("z-new", 1),
        ground.claim("answered", 1),
        of_another,
        ground.claim("a-new", 1),
        ground.claim("pending", 2),
        of_another_rpc,
        ground.claim("pending", 1),
    ];
    // Keys of one call are all different: this one comes in a call of its own.
    let (last, others) = claims.split_last().unwrap();
    let mut outcomes = claim_all(&mut work, others).await.unwrap();
    outcomes.extend(claim_all(&mut work, std::slice::from_ref(last)).await.unwrap());
    assert_eq!(
        outcomes,
        [
            Claimed::First,
            Claimed::Answered(json!({"n": 1})),
            Claimed::First,
            Claimed::First,
            Claimed::Reused,
            Claimed::First,
            Claimed::Pending,
        ]
    );
    let reused = claim_all(&mut work, &[ground.claim("answered", 2)])
        .await
        .unwrap();
    assert_eq!(reused, [Claimed::Reused]);
    assert_eq!(claim_all(&mut work, &[]).await.unwrap(), []);
    record_all(&mut work, &[]).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_not_overwritten() {
    let ground = Ground::new().await;
    let claim = ground.claim("key", 1);
    let mut work = ground.database.begin().await.unwrap();
    claim_all(&mut work, std::slice::from_ref(&claim)).await.unwrap();
    record_all(&mut work, &[(&claim, json!("first"))]).await.unwrap();
    record_all(&mut work, &[(&claim, json!("second"))]).await.unwrap();
    work.commit().await.unwrap();
    let mut work = ground.database.begin().await.unwrap();
    let outcome = claim_all(&mut work, std::slice::from_ref(&claim)).await.unwrap();
    assert_eq!(outcome, [Claimed::Answered(json!("first"))]);
}

#[tokio::test]
async fn an_answer_that_was_claimed_with_is_corrected_in_its_own_transaction_only() {
    let ground = Ground::new().await;
    let (kept, other, late) = (
        ground.claim("kept", 1),
        ground.claim("other", 1),
        ground.claim("late", 1),
    );
    let mut work = ground.database.begin().await.unwrap();
    let claims = [
        (&kept, Some("1".to_owned())),
        (&other, Some("1".to_owned())),
        (&late, None),
    ];
    assert_eq!(
        claim_answered(&mut work, &claims).await.unwrap(),
        vec![Claimed::First; 3]
    );
    let corrected = [(&other, "2".to_owned()), (&late, "3".to_owned())];
    correct_all(&mut work, &corrected).await.unwrap();
    work.commit().await.unwrap();

    let mut work = ground.database.begin().await.unwrap();
    let all = [kept.clone(), other.clone(), late.clone(), ground.claim("new", 1)];
    correct_all(&mut work, &[(&kept, "4".to_owned())]).await.unwrap();
    let found = claim_all(&mut work, &all).await.unwrap();
    let answered = |n: i64| Claimed::Answered(json!(n));
    assert_eq!(found, [answered(1), answered(2), answered(3), Claimed::First]);
}

/// Waits until so many sessions of this test wait for another's transaction.
async fn waiting(ground: &Ground, sessions: i64) {
    let mut watch = ground.test.owner_session().await;
    let wait = async {
        loop {
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
                 AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .fetch_one(&mut watch)
            .await
            .unwrap();
            if waits >= sessions {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("somebody waits");
}

#[tokio::test]
async fn a_claim_that_waited_sees_what_it_waited_for() {
    let ground = Ground::new().await;
    let claim = ground.claim("key", 1);
    let mut holder = ground.database.begin().await.unwrap();
    claim_all(&mut holder, std::slice::from_ref(&claim))
        .await
        .unwrap();
    let claiming = tokio::spawn({
        let (database, claim) = (ground.database.clone(), claim.clone());
        async move {
            let mut work = database.begin().await.unwrap();
            claim_all(&mut work, &[claim]).await.unwrap()
        }
    });
    waiting(&ground, 1).await;
    record_all(&mut holder, &[(&claim, json!("theirs"))])
        .await
        .unwrap();
    holder.commit().await.unwrap();
    assert_eq!(claiming.await.unwrap(), [Claimed::Answered(json!("theirs"))]);
}

#[tokio::test]
async fn keys_are_claimed_in_one_order_whatever_the_order_of_the_claims() {
    let ground = Ground::new().await;
    let mut holder = ground.database.begin().await.unwrap();
    claim_all(&mut holder, &[ground.claim("m", 1)]).await.unwrap();
    // In the order of the claims, each would hold what the other wants when `m` comes free.
    let mut claiming = Vec::new();
    for (keys, sessions) in [(["z", "m", "a"], 1), (["a", "m", "z"], 2)] {
        let claims = keys.map(|key| ground.claim(key, 1));
        let database = ground.database.clone();
        claiming.push(tokio::spawn(async move {
            let mut work = database.begin().await.unwrap();
            let outcomes = claim_all(&mut work, &claims).await;
            work.commit().await.unwrap();
            outcomes
        }));
        waiting(&ground, sessions).await;
    }
    drop(holder);
    let mut firsts = 0;
    for batch in claiming {
        let outcomes = batch.await.unwrap().expect("no deadlock");
        firsts += outcomes.iter().filter(|o| **o == Claimed::First).count();
    }
    assert_eq!((firsts, ground.keys().await), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_claim_the_same_keys_in_other_orders_do_not_deadlock() {
    let ground = Ground::new().await;
    let batches = (0..6_usize).map(|batch| {
        let database = ground.database.clone();
        let rounds: Vec<Vec<Claim>> = (0..20)
            .map(|round| {
                let mut claims: Vec<_> = (0..40)
                    .map(|n| ground.claim(&format!("{round}-{n}"), 1))
                    .collect();
                if batch % 2 == 1 {
                    claims.reverse();
                }
                claims.rotate_left(batch * 5);
                claims
            })
            .collect();
        tokio::spawn(async move {
            let mut firsts = 0;
            for claims in rounds {
                let mut work = database.begin().await.unwrap();
                let outcomes = claim_all(&mut work, &claims).await.unwrap();
                firsts += outcomes.iter().filter(|o| **o == Claimed::First).count();
                let answers: Vec<_> = claims.iter().map(|claim| (claim, json!(1))).collect();
                record_all(&mut work, &answers).await.unwrap();
                work.commit().await.unwrap();
            }
            firsts
        })
    });
    let mut firsts = 0;
    for batch in batches.collect::<Vec<_>>() {
        firsts += batch.await.unwrap();
    }
    assert_eq!(firsts, 20 * 40, "each key was claimed once");
    assert_eq!(ground.deadlocks().await, 0);
}

#[tokio::test]
async fn a_fingerprint_of_another_length_is_refused_by_the_table() {
    let ground = Ground::new().await;
    let mut connection = ground.database.acquire().await.unwrap();
    let bad = sqlx::query(
        "INSERT INTO idempotency_keys VALUES (gen_random_uuid(), 'r', 'k', 'short', NULL, 'a', gen_random_uuid(), now())",
    )
    .execute(&mut *connection)
    .await
    .unwrap_err();
    assert_eq!(lp_pg::PgError::from(bad).failure(), Failure::BadData);
}
