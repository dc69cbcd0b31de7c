//! A service that fails is left alone for a moment, and found again.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use axum::{Json, Router, routing::post};
use lp_auth::TokenSource;
use lp_types::time::Ambient;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Status, transport::Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use url::Url;

async fn tokens() -> TokenSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/token", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let answer = r#"{"access_token": "t", "token_type": "Bearer", "expires_in": 300}"#;
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let issuer = Router::new().route("/token", post(move || async move { Json(answer) }));
    tokio::spawn(async move { axum::serve(listener, issuer).await });
    let config = lp_config::Client {
        auth_token_url: url,
        auth_client_id: "svc-test".to_owned(),
        auth_client_secret: "s".to_owned().into(),
    };
    TokenSource::new(config, Ambient::system()).unwrap()
}

#[tokio::test]
async fn after_five_failures_it_is_left_alone_and_then_found_again() {
    // A port that is free, and stays so until the service starts.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url: Url = format!("http://{address}").parse().unwrap();
    let channel = lp_client::channel(&url, &tokens().await).unwrap();
    let call = async || -> Result<(), Status> {
        HealthClient::new(channel.clone())
            .check(HealthCheckRequest::default())
            .await
            .map(drop)
    };
    let left_alone = |status: &Status| status.message().contains("left alone");

    for _ in 0..5 {
        let failed = call().await.unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable);
        assert!(!left_alone(&failed), "{failed}");
    }
    let refused = call().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(left_alone(&refused), "{refused}");

    let (_, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind(address).await.unwrap();
    let served = Server::builder()
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(served);
    let found = async {
        while call().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found)
        .await
        .unwrap();
}
