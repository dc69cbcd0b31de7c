//! Beyond capacity a request is refused at once.

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Instance, reason, wanted};

#[tokio::test]
async fn one_more_than_there_is_room_for_is_refused_at_once() {
    let instance = Instance::start_with(|common| common.serve.max_in_flight = 1, |app| app).await;
    let first = instance.spawn("wait");
    instance.under_way(1).await;
    let refused = instance.call("ok").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    let details = refused.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    let rest = instance
        .http
        .get(instance.url("/v1/accounts/ok/balance"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (rest.status().as_u16(), &rest.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    // The platform is not a client.
    assert_eq!(instance.page("/healthz/live").await.0, 200);
    assert_eq!(instance.page("/metrics").await.0, 200);

    instance.go.add_permits(1);
    first.await.unwrap().unwrap();
    instance.call("ok").await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_makes_room() {
    let instance = Instance::start_with(|common| common.serve.max_in_flight = 2, |app| app).await;
    for _ in 0..3 {
        let (one, other) = (instance.spawn("never"), instance.spawn("never"));
        instance.under_way(2).await;
        one.abort();
        other.abort();
        instance.under_way(0).await;
    }
    instance.call("ok").await.unwrap();
    let cancelled = "rpc_requests_total{code=\"CANCELLED\",rpc=\"LedgerService/GetBalance\"} 6";
    assert!(
        instance.measured(cancelled),
        "{}",
        instance.metrics.render().unwrap()
    );
}

#[tokio::test]
async fn one_merchant_leaves_room_for_the_others() {
    let instance = Instance::start_with(|common| common.serve.max_in_flight = 4, |app| app).await;
    let waiting: Vec<_> = (0..3).map(|_| instance.spawn("wait")).collect();
    instance.under_way(3).await;
    let refused = instance.call("ok").await.unwrap_err();
    assert_eq!(reason(&refused), "OVERLOADED");
    let counted = "rpc_requests_total{code=\"RESOURCE_EXHAUSTED\",rpc=\"LedgerService/GetBalance\"} 1";
    assert!(
        instance.measured(counted),
        "{}",
        instance.metrics.render().unwrap()
    );
    let other = instance
        .base
        .caller("mer_0199f0c1d2e37a4b8c5d6e7f80912a3c".parse().unwrap());
    let request = other.request("", wanted("ok"));
    instance.grpc.clone().get_balance(request).await.unwrap();
    instance.go.add_permits(3);
    for one in waiting {
        one.await.unwrap().unwrap();
    }
}
