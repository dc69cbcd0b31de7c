//! What else both servers show.

use std::collections::BTreeSet;

use tokio_stream::{StreamExt as _, once};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{Instance, channel};

async fn reflect(instance: &Instance, question: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(channel(&instance.running));
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut answers = client
        .server_reflection_info(once(asked))
        .await
        .unwrap()
        .into_inner();
    answers.next().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_what_is_served_and_nothing_else() {
    let instance = Instance::start().await;
    let listed = reflect(&instance, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}");
    };
    let names: BTreeSet<_> = listed.service.into_iter().map(|s| s.name).collect();
    let expected = ["grpc.health.v1.Health", "localplus.ledger.v1.LedgerService"];
    assert_eq!(names, expected.map(str::to_owned).into());
    let symbol = MessageRequest::FileContainingSymbol("localplus.ledger.v1.EarnRequest".to_owned());
    let file = reflect(&instance, symbol).await;
    assert!(
        matches!(file, MessageResponse::FileDescriptorResponse(_)),
        "{file:?}"
    );
}

#[tokio::test]
async fn a_request_has_an_id_which_may_be_the_callers() {
    let instance = Instance::start().await;
    let own = "req_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let mut asked = instance.request("ok");
    asked.metadata_mut().insert("x-request-id", own.parse().unwrap());
    let answer = instance.grpc.clone().get_balance(asked).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), own);
    assert_eq!(answer.into_inner().balance.unwrap().consistency_token, own);

    let rest = |account: &str| {
        let get = instance
            .http
            .get(instance.url(&format!("/v1/accounts/{account}/balance")));
        instance.till.signed("", get)
    };
    for account in ["ok", "nothing"] {
        let answer = rest(account).header("x-request-id", own).send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], own, "{account}");
    }
    // One that is missing or malformed is made here, and is another each time.
    let mut seen = BTreeSet::new();
    for given in [None, None, Some("42"), Some("'; DROP TABLE accounts")] {
        let request = match given {
            None => rest("ok"),
            Some(id) => rest("ok").header("x-request-id", id),
        };
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(id.starts_with("req_"), "{id}");
        seen.insert(id);
    }
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn requests_are_measured_by_rpc_and_outcome() {
    let instance = Instance::start().await;
    instance.call("ok").await.unwrap();
    instance.get("ok").await;
    instance.call("nothing").await.unwrap_err();
    let (status, page) = instance.page("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "rpc_requests_total{code=\"OK\",rpc=\"LedgerService/GetBalance\"} 2",
        "rpc_requests_total{code=\"NOT_FOUND\",rpc=\"LedgerService/GetBalance\"} 1",
        "rpc_seconds_count{rpc=\"LedgerService/GetBalance\"} 3",
        "rpc_in_flight{} 0",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn who_runs_is_told_to_anybody() {
    let release = "2026.11.1-g0123abc";
    let instance = Instance::start_with(
        |common| release.clone_into(&mut common.telemetry.localplus_release),
        |app| app,
    )
    .await;
    let (status, page) = instance.page("/version").await;
    assert_eq!(status, 200);
    let told: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(
        told,
        serde_json::json!({ "service": "svc-stub", "release": release })
    );
    let line = format!("build_info{{release=\"{release}\"}} 1\n");
    assert!(instance.measured(&line), "{line}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let instance = Instance::start().await;
    let taken = instance.running.grpc;
    let mut common = crate::support::settings().await;
    common.serve.grpc_addr = taken;
    let (metrics, ambient) = (lp_telemetry::Metrics::new(), lp_types::time::Ambient::system());
    let chassis = lp_chassis::Chassis::open("svc-stub", &common, metrics, ambient).unwrap();
    let app = lp_chassis::App::new(&chassis, &[], tonic::service::Routes::default());
    let refused = lp_chassis::serve::start("svc-stub", &common, &chassis, app)
        .await
        .unwrap_err();
    let told = format!("{refused:#}");
    assert!(
        told.contains("GRPC_ADDR") && told.contains(&taken.to_string()),
        "{told}"
    );
}
