//! A panic is the fault of one request.

use futures::future::join_all;
use tonic::Code;

use crate::support::{Instance, reason};

#[tokio::test]
async fn a_panic_is_the_internal_error_of_its_own_request() {
    let instance = Instance::start().await;
    let neighbours: Vec<_> = (0..8).map(|_| instance.spawn("wait")).collect();
    instance.under_way(8).await;
    for _ in 0..3 {
        let failed = instance.call("panic").await.unwrap_err();
        assert_eq!(
            (failed.code(), reason(&failed).as_str()),
            (Code::Internal, "INTERNAL")
        );
        assert!(!failed.message().contains("as the test asked"), "{failed:?}");
        let (status, problem) = instance.get("panic").await;
        assert_eq!((status, &problem["reason"]), (500, &"INTERNAL".into()));
        assert!(problem["requestId"].as_str().unwrap().starts_with("req_"));
    }
    // On the same connection, and none the worse for it.
    instance.go.add_permits(8);
    for neighbour in join_all(neighbours).await {
        neighbour.unwrap().unwrap();
    }
    instance.under_way(0).await;
    instance.call("ok").await.unwrap();
}
