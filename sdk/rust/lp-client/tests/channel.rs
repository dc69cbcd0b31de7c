//! The channel with its own token, against a real server and a real issuer.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing};
use lp_types::{CallerContext, time::Ambient};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Status, service::interceptor::InterceptedService, transport::Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use url::Url;

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url.parse().unwrap())
}

/// The source of tokens `token-1`, `token-2` and so on.
async fn tokens() -> TokenSource {
    let (listener, url) = listen().await;
    let given = Arc::new(AtomicU32::new(0));
    let issuer = Router::new().route(
        "/token",
        post(move || async move {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            let token = format!("token-{number}");
            Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 300}))
        }),
    );
    tokio::spawn(async move { axum::serve(listener, issuer).await });
    source(&url)
}

fn source(issuer: &Url) -> TokenSource {
    let config = lp_config::Client {
        auth_token_url: issuer.join("/token").unwrap(),
        auth_client_id: "svc-test".to_owned(),
        auth_client_secret: "secret".to_owned().into(),
    };
    TokenSource::new(config, Ambient::system()).unwrap()
}

/// A server that refuses `withdrawn`, and what callers showed it.
async fn server(withdrawn: &'static str) -> (Url, Arc<Mutex<Vec<String>>>) {
    let (listener, url) = listen().await;
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    let check = move |request: Request<()>| {
        let bearer = request
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        seen.lock().unwrap().push(bearer.clone());
        if bearer == withdrawn {
            return Err(Status::unauthenticated("the token is not valid here"));
        }
        Ok(request)
    };
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(InterceptedService::new(health, check));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, shown)
}

fn caller() -> CallerContext {
    CallerContext {
        merchant: "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
        actor: "svc-test".to_owned().try_into().unwrap(),
        request: "req_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
    }
}

fn within(caller: &CallerContext, time: Duration) -> Outgoing<'_> {
    Outgoing {
        caller,
        deadline: Instant::now() + time,
        key: None,
    }
}

async fn check(channel: &Channel, outgoing: &Outgoing<'_>) -> Result<(), Status> {
    let request = outgoing.request(HealthCheckRequest::default());
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

#[tokio::test]
async fn every_request_has_our_token_and_one_that_is_refused_is_renewed() {
    let (url, shown) = server("Bearer token-1").await;
    let channel = lp_client::channel(&url, &tokens().await).unwrap();
    let caller = caller();
    let outgoing = within(&caller, Duration::from_secs(10));
    // One that is not tried again learns of it; the next one has the new token.
    let refused = check(&channel, &outgoing).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    outgoing.retrying(|| check(&channel, &outgoing)).await.unwrap();
    check(&channel, &outgoing).await.unwrap();
    assert_eq!(
        *shown.lock().unwrap(),
        ["Bearer token-1", "Bearer token-2", "Bearer token-2"]
    );
}

#[tokio::test]
async fn a_token_that_was_withdrawn_costs_a_call_a_moment_and_not_its_end() {
    let (url, shown) = server("Bearer token-1").await;
    let channel = lp_client::channel(&url, &tokens().await).unwrap();
    let caller = caller();
    let outgoing = within(&caller, Duration::from_secs(10));
    outgoing.retrying(|| check(&channel, &outgoing)).await.unwrap();
    assert_eq!(*shown.lock().unwrap(), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let (url, shown) = server("").await;
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let channel = lp_client::channel(&url, &source(&nowhere)).unwrap();
    let caller = caller();
    let away = check(&channel, &within(&caller, Duration::from_secs(10)))
        .await
        .unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    let short = within(&caller, Duration::from_millis(300));
    let away = short.retrying(|| check(&channel, &short)).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert!(shown.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_deadline_that_tonic_notices_is_deadline_exceeded_too() {
    // Nobody accepts: connections stand, and nothing is answered.
    let (_listener, url) = listen().await;
    let channel = lp_client::channel(&url, &tokens().await).unwrap();
    let caller = caller();
    let short = within(&caller, Duration::from_millis(300));
    let word = check(&channel, &short).await.unwrap_err();
    assert_eq!(
        word.code(),
        Code::DeadlineExceeded,
        "tonic's own word is CANCELLED"
    );
    let short = within(&caller, Duration::from_millis(300));
    let started = Instant::now();
    let late = short.retrying(|| check(&channel, &short)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(5));
}
