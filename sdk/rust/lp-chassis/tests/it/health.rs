//! Health tells the truth.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lp_contracts::ledger::v1::ledger_service_server::SERVICE_NAME;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Instance, channel, until};

async fn serving(instance: &Instance, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(channel(&instance.running));
    let asked = HealthCheckRequest {
        service: service.to_owned(),
    };
    client.check(asked).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn a_service_whose_database_answers_is_ready() {
    let instance = Instance::start().await;
    assert_eq!(instance.page("/healthz/ready").await, (200, "ready".to_owned()));
    assert_eq!(instance.page("/healthz/live").await.0, 200);
    for service in ["", SERVICE_NAME] {
        until("gRPC health says so", async || {
            serving(&instance, service).await == ServingStatus::Serving
        })
        .await;
    }
    let mut client = HealthClient::new(channel(&instance.running));
    let unknown = HealthCheckRequest {
        service: "localplus.nothing.v1.Nothing".to_owned(),
    };
    assert_eq!(
        client.check(unknown).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
}

#[tokio::test]
async fn a_service_whose_database_is_away_lives_and_is_not_ready() {
    let instance = Instance::start_with(
        |common| {
            let away = "postgres://nobody:nothing@127.0.0.1:1/nowhere";
            common.database.database_url = away.parse().unwrap();
        },
        |app| app,
    )
    .await;
    assert_eq!(
        instance.page("/healthz/ready").await,
        (503, "database".to_owned())
    );
    assert_eq!(instance.page("/healthz/live").await.0, 200);
    for service in ["", SERVICE_NAME] {
        until("gRPC health says so", async || {
            serving(&instance, service).await == ServingStatus::NotServing
        })
        .await;
    }
    instance.call("ok").await.unwrap();
    instance.running.stop();
    instance.base.running.ended().await.unwrap();
}

#[tokio::test]
async fn readiness_follows_its_checks() {
    let fine = Arc::new(AtomicBool::new(true));
    let check = fine.clone();
    let instance = Instance::start_with(
        |_| {},
        |app| {
            app.check("part", move || {
                let fine = check.load(Ordering::SeqCst);
                async move { fine }
            })
        },
    )
    .await;
    for (is_fine, status, page) in [
        (true, ServingStatus::Serving, (200, "ready")),
        (false, ServingStatus::NotServing, (503, "part")),
        (true, ServingStatus::Serving, (200, "ready")),
    ] {
        fine.store(is_fine, Ordering::SeqCst);
        let (code, text) = instance.page("/healthz/ready").await;
        assert_eq!((code, text.as_str()), page);
        until("gRPC health follows", async || {
            serving(&instance, "").await == status
        })
        .await;
    }
}

#[tokio::test]
async fn a_stop_is_told_over_grpc_too() {
    let instance = Instance::start_with(|common| common.serve.drain_delay_ms = 1_500, |app| app).await;
    until("it serves", async || {
        serving(&instance, "").await == ServingStatus::Serving
    })
    .await;
    instance.running.stop();
    until("it says that it stops", async || {
        serving(&instance, SERVICE_NAME).await == ServingStatus::NotServing
    })
    .await;
    instance.call("ok").await.unwrap();
    instance.base.running.ended().await.unwrap();
}
