//! A stop lets requests under way finish, then the tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{Instance, PATIENCE, channel, until};
use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;

#[tokio::test]
async fn requests_under_way_finish_and_then_the_tasks() {
    let task_ended = Arc::new(AtomicBool::new(false));
    let ended = task_ended.clone();
    let instance = Instance::start_with(
        |_| {},
        |app| {
            app.task("task", |cancel| async move {
                cancel.cancelled().await;
                ended.store(true, Ordering::SeqCst);
            })
        },
    )
    .await;
    let over_grpc = instance.spawn("wait");
    let over_rest = tokio::spawn({
        let request = instance.http.get(instance.url("/v1/accounts/wait/balance"));
        let request = instance.till.signed("", request);
        async move { request.send().await.unwrap().status() }
    });
    instance.under_way(2).await;
    instance.running.stop();
    until("new connections are refused", async || {
        let mut fresh = LedgerServiceClient::new(channel(&instance.running));
        fresh.get_balance(instance.request("ok")).await.is_err()
    })
    .await;
    assert!(!task_ended.load(Ordering::SeqCst), "tasks outlive the requests");
    assert!(!over_grpc.is_finished() && !over_rest.is_finished());
    instance.go.add_permits(2);
    over_grpc.await.unwrap().unwrap();
    assert_eq!(over_rest.await.unwrap(), 200);
    tokio::time::timeout(PATIENCE, instance.base.running.ended())
        .await
        .unwrap()
        .unwrap();
    assert!(task_ended.load(Ordering::SeqCst));
}

#[tokio::test]
async fn between_not_ready_and_closed_there_is_a_moment() {
    let instance = Instance::start_with(|common| common.serve.drain_delay_ms = 700, |app| app).await;
    assert_eq!(instance.page("/healthz/ready").await.0, 200);
    instance.running.stop();
    assert_eq!(
        instance.page("/healthz/ready").await,
        (503, "draining".to_owned())
    );
    assert_eq!(instance.page("/healthz/live").await.0, 200);
    // Clients that have not learnt of it yet are served.
    instance.call("ok").await.unwrap();
    instance.base.running.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let instance = Instance::start_with(|common| common.serve.drain_timeout_ms = 200, |app| app).await;
    let never = instance.spawn("never");
    instance.under_way(1).await;
    let started = Instant::now();
    instance.running.stop();
    instance.base.running.ended().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    never.abort();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let instance = Instance::start().await;
    instance.call("ok").await.unwrap();
    assert_eq!(instance.get("ok").await.0, 200);
    let started = Instant::now();
    instance.running.stop();
    instance.base.running.ended().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_task_that_ends_ends_the_service() {
    for panics in [false, true] {
        let instance = Instance::start_with(
            |_| {},
            |app| {
                app.task(
                    "short",
                    move |_| async move { assert!(!panics, "as the test asked") },
                )
            },
        )
        .await;
        let failed = tokio::time::timeout(PATIENCE, instance.base.running.ended())
            .await
            .unwrap();
        assert!(failed.is_err(), "whoever runs the service starts it anew");
    }
}
