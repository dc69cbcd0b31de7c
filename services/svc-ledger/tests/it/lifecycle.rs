//! The service begins on a schema that fits, and ends without losing what is under way.

use lp_chassis::Service as _;
use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;
use lp_pg::schema::{SchemaError, check};
use lp_test::TestDatabase;
use svc_ledger::Service;
use tonic::transport::Channel;

use crate::{
    audit::audit,
    support::{Ground, PATIENCE, run, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish_and_takes_no_new_ones() {
    let ground = Ground::with_events().await;
    let instance = ground
        .start_with(|common| common.serve.drain_delay_ms = 500)
        .await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let rest = |path: &str| client.http.get(format!("{}{path}", client.base)).send();
    assert_eq!(rest("/healthz/ready").await.unwrap().status(), 200);

    let hold = ground.hold(&account).await;
    let over_grpc = tokio::spawn({
        let (client, account) = (client.clone(), account.clone());
        async move { client.burn("grpc", &account, 1).await }
    });
    let over_rest = tokio::spawn({
        let client = client.clone();
        let body =
            serde_json::json!({"accountId": account, "amount": {"minorUnits": "2", "assetCode": "PTS"}});
        async move { client.post("rest", "/v1/transactions:burn", &body).await }
    });
    ground.somebody_waits().await;
    until("both are under way", async || {
        instance.metrics.render().unwrap().contains("rpc_in_flight{} 2\n")
    })
    .await;

    instance.running.stop();
    // Clients learn of it before the listeners close.
    let ready = rest("/healthz/ready").await.unwrap();
    assert_eq!(
        (ready.status().as_u16(), ready.text().await.unwrap()),
        (503, "draining".to_owned())
    );
    assert_eq!(rest("/healthz/live").await.unwrap().status(), 200);
    let address = format!("http://{}", instance.running.grpc);
    let connect = async || {
        let channel = Channel::from_shared(address.clone()).unwrap().connect().await;
        channel.map(LedgerServiceClient::new)
    };
    until("the gRPC listener is closed", async || connect().await.is_err()).await;
    until("the HTTP listener is closed", async || {
        // A client of its own: the other has a connection open.
        let fresh = reqwest::Client::new();
        fresh
            .get(format!("{}/healthz/live", client.base))
            .send()
            .await
            .is_err()
    })
    .await;
    assert!(!over_grpc.is_finished() && !over_rest.is_finished());

    hold.release().await;
    over_grpc.await.unwrap().unwrap();
    assert_eq!(over_rest.await.unwrap().0, 200);
    tokio::time::timeout(PATIENCE, instance.running.ended())
        .await
        .unwrap()
        .unwrap();
    let left = ground.start().await.client(client.merchant).units(&account).await;
    assert_eq!(left, 97);
    audit(&ground).await;
}

#[tokio::test]
async fn an_older_or_altered_schema_is_refused_and_a_newer_one_is_welcome() {
    let old = TestDatabase::create("ledger", &lp_pg::schema::combine(&[&lp_outbox::MIGRATOR])).await;
    match check(&old.open(), &Service::migrator()).await {
        Err(SchemaError::TooOld { description, .. }) => assert_eq!(description, "ledger"),
        other => panic!("{other:?}"),
    }

    let ground = Ground::new().await;
    let mut owner = ground.owner().await;
    run(
        &mut owner,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29991231235959, 'of a later version', true, 'x', 1);
         ALTER TABLE accounts ADD COLUMN of_a_later_version text",
    )
    .await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(5).await;
    client.burn("burn", &account, 2).await.unwrap();
    assert_eq!(client.units(&account).await, 3);

    run(
        &mut owner,
        "UPDATE _sqlx_migrations SET checksum = 'x' WHERE description = 'ledger'",
    )
    .await;
    let altered = check(&ground.database.open(), &Service::migrator()).await;
    assert!(matches!(altered, Err(SchemaError::Altered { .. })), "{altered:?}");
}
