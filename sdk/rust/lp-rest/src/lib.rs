//! REST from the contract: every unary rpc with a `google.api.http` annotation as JSON, its OpenAPI document,
//! and a page to explore it; all of it made from descriptors when the service starts.
//!
//! Owns: the way from path, query and JSON body to a gRPC request and back, and [`Problem`], the form of every
//! failure. Holds no second set of types and no rule of any domain. The request goes as a gRPC request
//! through the service of this process, so that authentication, deadlines, logs and metrics stand in one
//! place. An answer of `google.api.HttpBody` goes out as its bytes. Streaming rpcs have no REST form. Start with [`router`]; a request's way is `gateway.rs`, then
//! `path.rs`, `request.rs`, `call.rs`.
//!
//! ```no_run
//! # fn example(grpc: tonic::service::Routes) -> Result<axum::Router, lp_rest::BuildError> {
//! let rest = lp_rest::router(lp_rest::Options {
//!     pool: lp_contracts::descriptors().clone(),
//!     services: vec!["localplus.ledger.v1.LedgerService".to_owned()],
//!     grpc, // with every layer already around it
//!     title: "svc-ledger".to_owned(),
//!     version: env!("CARGO_PKG_VERSION").to_owned(),
//!     body_limit: lp_rest::BODY_LIMIT,
//!     acting_for: vec![("localplus-merchant", "the merchant for whom the platform calls")],
//! })?;
//! # Ok(rest)
//! # }
//! ```
//!
//! Invariants and the tests that hold them:
//! - bad input has its own reason, names the field, and does not reach the service: `tests/bad_input.rs`;
//! - no input gives a 5xx or a panic: `tests/fuzz.rs`, `transcoding::a_request_may_not_be_nested_without_end`;
//! - a failure says the same in REST as in gRPC: `tests/ledger.rs`;
//! - each field comes from one place, and each form of annotation is read: `tests/transcoding.rs`;
//! - a file goes out as it is, under its own content type: `transcoding::a_file_goes_out_as_it_is`;
//! - the OpenAPI document is whole, and the page loads nothing from elsewhere: `tests/documents.rs`.

mod binding;
mod call;
mod docs;
mod field;
mod gateway;
mod openapi;
mod path;
mod problem;
mod request;
mod shape;

use std::sync::Arc;

use axum::{BoxError, Router, extract::Request, routing::get};
use bytes::Bytes;
use http::header;
use prost_reflect::DescriptorPool;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub use problem::{Problem, Violation};

/// The usual limit of a body: 1 MiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// What to serve.
#[derive(Debug, Clone)]
pub struct Options<S> {
    /// The contract, with options and comments.
    pub pool: DescriptorPool,
    /// Full names of the gRPC services that `grpc` serves.
    pub services: Vec<String>,
    /// The gRPC service of this process, for example a `tonic::service::Routes`, with all its layers.
    pub grpc: S,
    /// The title of the OpenAPI document.
    pub title: String,
    /// The version of the OpenAPI document.
    pub version: String,
    /// How many bytes a body may have; [`BODY_LIMIT`] is the usual number.
    pub body_limit: usize,
    /// The headers that a caller who acts for others sets beside the token, and what each holds: the page asks
    /// for them once, as it does for the token.
    pub acting_for: Vec<(&'static str, &'static str)>,
}

/// Why the contract cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A service is not in the descriptors.
    #[error("the descriptors hold no service {0}")]
    UnknownService(String),
    /// An annotation cannot be served.
    #[error("the google.api.http annotation of {rpc}: {fault}")]
    Annotation {
        /// The rpc.
        rpc: String,
        /// What is wrong.
        fault: String,
    },
    /// Two rpcs have one method and path.
    #[error("{first} and {second} both answer {key}")]
    Conflict {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// Method and path, without the names of captures.
        key: String,
    },
}

/// The REST server of `options.services`: their rpcs, `/openapi.json` and `/docs`. It answers every other
/// path too, with a [`Problem`], so it has a fallback: nest it or serve it alone.
///
/// # Errors
/// When the annotations cannot be served as they stand.
pub fn router<S, B>(options: Options<S>) -> Result<Router, BuildError>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let bindings = binding::all(&options.pool, &options.services)?;
    let openapi = Bytes::from(
        openapi::document(&options.title, &options.version, &options.acting_for, &bindings).to_string(),
    );
    let grpc = options
        .grpc
        .map_err(|error| tonic::Status::from_error(error.into()))
        .map_response(|answer| answer.map(tonic::body::Body::new));
    let gateway = Arc::new(gateway::Gateway {
        routes: path::Routes::new(bindings),
        grpc: BoxCloneSyncService::new(grpc),
        body_limit: options.body_limit,
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok(Router::new()
        .route("/openapi.json", get(async move || (kind, openapi)))
        .merge(docs::routes())
        // axum adds `Allow` to this answer itself.
        .method_not_allowed_fallback(async || gateway::method_not_allowed())
        .fallback(async move |request: Request| gateway.serve(request).await))
}
