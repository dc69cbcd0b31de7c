//! Two services in this process, and a client of the router over them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use lp_rest::{BODY_LIMIT, BuildError, Options};
use prost_reflect::DescriptorPool;
use serde_json::Value;
use tower::ServiceExt;

pub mod ledger;

pub const LEDGER: &str = "localplus.ledger.v1.LedgerService";

/// A router, and how many requests reached the service behind it.
#[derive(Clone)]
pub struct Api {
    pub router: Router,
    pub calls: Arc<AtomicUsize>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, reason, and the first field that is named.
    pub fn refusal(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            self.status.as_u16(),
            text(&json["reason"]),
            text(&json["violations"][0]["field"]),
        )
    }
}

impl Api {
    /// The ledger's rpcs over a small ledger of these tests.
    pub fn ledger() -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let grpc = tower::ServiceBuilder::new()
            .map_request(move |request: Request<tonic::body::Body>| {
                counted.fetch_add(1, Ordering::SeqCst);
                request
            })
            .map_response(|mut response: Response<tonic::body::Body>| {
                response
                    .headers_mut()
                    .insert("x-request-id", "req_layer".parse().unwrap());
                response
                    .headers_mut()
                    .insert("x-inner", "stays inside".parse().unwrap());
                response
            })
            .service(ledger::routes());
        Self {
            router: build(lp_contracts::descriptors(), &[LEDGER], grpc).unwrap(),
            calls,
        }
    }

    /// The echo service of `echo.proto`.
    pub fn echo() -> Self {
        Self::of_echo(&["echo.v1.EchoService"]).unwrap()
    }

    pub fn of_echo(services: &[&str]) -> Result<Self, BuildError> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let grpc = tower::service_fn(move |request: Request<tonic::body::Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let message = request.into_body().collect().await.unwrap().to_bytes();
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let body = Full::new(message).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
                let answer = Response::builder()
                    .header("content-type", "application/grpc")
                    .body(body);
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        Ok(Self {
            router: build(&echo_pool(), services, grpc)?,
            calls,
        })
    }

    pub async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(body.into()).unwrap()).await
    }

    pub async fn request(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, &[], Body::empty()).await
    }

    pub async fn json(&self, method: Method, uri: &str, body: impl Into<Body>) -> Answer {
        self.send(method, uri, &[("content-type", "application/json")], body)
            .await
    }

    pub async fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.json(Method::POST, uri, body).await
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

pub fn echo_pool() -> DescriptorPool {
    let root = env!("CARGO_MANIFEST_DIR");
    let folders = [
        format!("{root}/tests/proto"),
        format!("{root}/../../../contracts-proto/third_party"),
    ];
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file("echo.proto")
        .unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn build<S, B>(pool: &DescriptorPool, services: &[&str], grpc: S) -> Result<Router, BuildError>
where
    S: tower::Service<Request<tonic::body::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<axum::BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    lp_rest::router(Options {
        pool: pool.clone(),
        services: services.iter().map(ToString::to_string).collect(),
        grpc,
        title: "a service".to_owned(),
        version: "1.2.3".to_owned(),
        body_limit: BODY_LIMIT,
        acting_for: vec![("x-for", "for whom")],
    })
}
