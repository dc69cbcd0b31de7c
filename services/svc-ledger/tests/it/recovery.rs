//! A session that dies loses nothing and doubles nothing.

use futures::future::join_all;
use lp_contracts::ledger::v1;
use tonic::Code;

use crate::{
    audit::audit,
    proxy::Proxy,
    support::{Ground, PATIENCE, reason, until},
};

const AWAY: &str = "DEPENDENCY_UNAVAILABLE";

#[tokio::test]
async fn a_batch_whose_session_is_killed_is_posted_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let hold = ground.hold(&account).await;
    let burn = tokio::spawn({
        let (client, account) = (client.clone(), account.clone());
        async move { client.burn("burn", &account, 30).await }
    });
    let poster = ground.somebody_waits().await;
    let killed: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1)")
        .bind(poster)
        .fetch_one(&mut ground.admin().await)
        .await
        .unwrap();
    assert!(killed);
    until("the batch is tried again in another session", async || {
        ground.somebody_waits().await != poster
    })
    .await;
    hold.release().await;
    let burnt = burn.await.unwrap().unwrap();
    assert_eq!(burnt.balance.unwrap().balance.unwrap().minor_units, 70);
    assert_eq!(ground.count("transactions").await, 2);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_killed_in_the_middle_of_traffic_lose_and_double_nothing() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let account = client.customer_with(0x1000).await;
    let there = other.client(client.merchant);
    let before = ground.count("transactions").await;
    let callers = (0..16_i64).map(|caller| {
        let client = if caller % 2 == 0 {
            client.clone()
        } else {
            there.clone()
        };
        let account = account.clone();
        tokio::spawn(async move {
            for n in 0..30 {
                let key = format!("{caller}-{n}");
                let mut posted = client.earn(&key, &account, 1).await;
                while let Err(status) = posted {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    posted = client.earn(&key, &account, 1).await;
                }
            }
        })
    });
    let traffic = tokio::spawn(join_all(callers.collect::<Vec<_>>()));
    let mut admin = ground.admin().await;
    let mut killed = 0;
    while !traffic.is_finished() && killed < 40 {
        let standing = ground.count("transactions").await;
        killed += sqlx::query_scalar::<_, i64>(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = $1 AND application_name = 'svc-ledger'",
        )
        .bind(ground.name())
        .fetch_one(&mut admin)
        .await
        .unwrap();
        until("traffic goes on", async || {
            traffic.is_finished() || ground.count("transactions").await > standing
        })
        .await;
    }
    assert!(killed > 3, "{killed} sessions were killed");
    for caller in tokio::time::timeout(PATIENCE, traffic).await.unwrap().unwrap() {
        caller.unwrap();
    }
    assert_eq!(ground.count("transactions").await, before + 480);
    assert_eq!(client.units(&account).await, 0x1000 + 480);
    audit(&ground).await;
}

#[tokio::test]
async fn while_the_database_is_away_the_refusal_says_so() {
    let ground = Ground::new().await;
    let proxy = Proxy::start(&ground.database.config.database_url).await;
    let instance = ground
        .start_with(|common| common.database.database_url = proxy.url.clone())
        .await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let ready = async || {
        let answer = client
            .http
            .get(format!("{}/healthz/ready", client.base))
            .send()
            .await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(ready().await, 200);

    proxy.cut();
    let refused = client.burn("burn", &account, 1).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unavailable, AWAY.to_owned())
    );
    let wanted = v1::GetBalanceRequest {
        account_id: account.clone(),
        ..Default::default()
    };
    let refused = client
        .grpc
        .clone()
        .get_balance(client.request("", wanted))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unavailable, AWAY.to_owned())
    );
    assert_eq!(ready().await, 503);

    proxy.mend();
    until("it is ready again", async || ready().await == 200).await;
    client.burn("burn", &account, 1).await.unwrap();
    assert_eq!(client.units(&account).await, 99);
    audit(&ground).await;
}
