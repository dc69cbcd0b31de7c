//! How an [`App`] is served: two listeners, health that tells the truth, and a drain that loses nothing.
//!
//! After SIGTERM: not ready → a moment for clients to learn of it → no new connections, requests under way
//! finish (bounded: open streams could hold it for ever) → tasks end (consumers commit, the relay finishes)
//! → telemetry is flushed → exit 0.

use std::{future::Future, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use lp_auth::{ACTOR, MERCHANT, Verifier};
use lp_config::Common;
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_types::time::Ambient;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Identity, ServerTlsConfig},
};
use tower::Layer as _;
use tracing::{error, info};

use crate::{
    chassis::Chassis,
    layer::{Policy, REQUEST_ID, RequestLayer, request_id},
};

/// Longest time for a TLS handshake: before it is over nothing else watches the connection.
const HANDSHAKE: Duration = Duration::from_secs(5);

type Check = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;
type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A service, put together and not yet started.
pub struct App {
    routes: Routes,
    services: Vec<String>,
    checks: Vec<(&'static str, Check)>,
    tasks: Vec<(&'static str, Task)>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Serves these gRPC services (and their REST), and is ready while the database answers.
    pub fn new(chassis: &Chassis, services: &[&str], routes: Routes) -> Self {
        let app = Self {
            routes,
            services: services.iter().map(|s| (*s).to_owned()).collect(),
            checks: Vec::new(),
            tasks: Vec::new(),
        };
        let database = chassis.database.clone();
        app.check("database", move || {
            let database = database.clone();
            async move { database.is_reachable().await }
        })
    }

    /// Ready only while `check` says so.
    #[must_use]
    pub fn check<F, O>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> O + Send + Sync + 'static,
        O: Future<Output = bool> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Runs `task` beside the servers. It ends when its token is cancelled, or when what it serves is gone;
    /// if it ends before, the process ends too, and is started anew by whoever runs it.
    #[must_use]
    pub fn task<F, O>(mut self, name: &'static str, task: F) -> Self
    where
        F: FnOnce(CancellationToken) -> O + Send + 'static,
        O: Future<Output = ()> + Send + 'static,
    {
        self.tasks
            .push((name, Box::new(move |token| Box::pin(task(token)))));
        self
    }
}

/// A running [`App`].
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where REST, /metrics, /version and /healthz are served.
    pub http: SocketAddr,
    stop: CancellationToken,
    ended: Pin<Box<tokio::task::JoinHandle<anyhow::Result<()>>>>,
}

impl Running {
    /// Begins to drain.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// What [`Running::stop`] cancels.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for the end: after [`Running::stop`], or because a part failed.
    ///
    /// # Errors
    /// When a part failed.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.ended.await.context("the serving task")?
    }
}

#[derive(Clone)]
struct Health {
    checks: Arc<Vec<(&'static str, Check)>>,
    draining: CancellationToken,
    metrics: Metrics,
}

/// Binds, and serves until it is stopped.
///
/// # Errors
/// When an address is taken, or the contract cannot be served.
pub async fn start(
    name: &'static str,
    common: &Common,
    chassis: &Chassis,
    app: App,
) -> anyhow::Result<Running> {
    let serve = &common.serve;
    let grpc = bind(serve.grpc_addr, "GRPC_ADDR").await?;
    let http = bind(serve.http_addr, "HTTP_ADDR").await?;
    let addresses = (grpc.local_addr()?, http.local_addr()?);

    let pool = lp_contracts::descriptors().clone();
    let policy = Policy {
        max_in_flight: serve.max_in_flight,
        timeout: Duration::from_millis(serve.request_timeout_ms),
    };
    let verifier = Verifier::new(common.auth.clone(), chassis.ambient.clone(), &chassis.metrics)?;
    let layer = RequestLayer::new(&pool, policy, verifier, chassis.ambient.clone(), &chassis.metrics);
    let stop = CancellationToken::new();
    let health = Health {
        checks: Arc::new(app.checks),
        draining: stop.clone(),
        metrics: chassis.metrics.clone(),
    };

    let rest = lp_rest::router(lp_rest::Options {
        pool,
        services: app.services.clone(),
        grpc: layer.layer(app.routes.clone().prepare()),
        title: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        body_limit: lp_rest::BODY_LIMIT,
        acting_for: vec![
            (
                MERCHANT,
                "The platform's own tokens alone: the merchant for whom you call, `mer_` and 32 hexadecimal digits",
            ),
            (
                ACTOR,
                "The platform's own tokens alone: who acts, if not the token's subject",
            ),
        ],
    })?;
    let release = &common.telemetry.localplus_release;
    let build_info = chassis
        .metrics
        .gauge("build_info", "1, with the release that runs");
    build_info.set(1, &[("release", release)]);
    let version = Json(serde_json::json!({ "service": name, "release": release }));
    let http_router = Router::new()
        .route("/metrics", get(metrics))
        .route("/version", get(async || version))
        .route("/healthz/live", get(|| async { StatusCode::OK }))
        .route("/healthz/ready", get(ready))
        .with_state(health.clone())
        .fallback_service(rest)
        .layer(axum::middleware::from_fn_with_state(
            chassis.ambient.clone(),
            name_request,
        ));

    let (reporter, health_service) = tonic_health::server::health_reporter();
    // Before the first check nothing is known, and who asks must not be told that it serves.
    tell(&reporter, &app.services, tonic_health::ServingStatus::NotServing).await;
    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(lp_contracts::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that clients by reflection can read the details of a refusal.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    for service in &app.services {
        reflection = reflection.with_service_name(service);
    }
    let reflection = reflection.build_v1()?;
    let routes = app.routes.add_service(health_service).add_service(reflection);
    let grpc_server = over_tls(tonic::transport::Server::builder(), serve)?
        .layer(layer)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_connection_age(Duration::from_secs(300))
        .max_connection_age_grace(Duration::from_secs(30))
        .add_routes(routes);

    let parts = Parts {
        grpc_server: Box::pin(serve_grpc(
            grpc_server,
            grpc,
            closing(&stop, serve.drain_delay_ms),
        )),
        http_server: Box::pin(serve_http(
            http_router,
            http,
            closing(&stop, serve.drain_delay_ms),
        )),
        reporter: Box::pin(report(reporter, app.services, health)),
        tasks: app.tasks,
        database: chassis.database.clone(),
        stop: stop.clone(),
        drain: Duration::from_millis(serve.drain_delay_ms.saturating_add(serve.drain_timeout_ms)),
    };
    info!(grpc = %addresses.0, http = %addresses.1, "serving");
    let ended = Box::pin(tokio::spawn(parts.run()));
    Ok(Running {
        grpc: addresses.0,
        http: addresses.1,
        stop,
        ended,
    })
}

/// A server that speaks TLS, where there is a certificate.
fn over_tls(
    server: tonic::transport::Server,
    serve: &lp_config::Serve,
) -> anyhow::Result<tonic::transport::Server> {
    let (Some(cert), Some(key)) = (&serve.tls_cert, &serve.tls_key) else {
        return Ok(server);
    };
    let read = |variable: &str, file: &Path| {
        std::fs::read(file).with_context(|| format!("{variable}: {} cannot be read", file.display()))
    };
    let identity = Identity::from_pem(read("TLS_CERT", cert)?, read("TLS_KEY", key)?);
    server
        .tls_config(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE))
        .context("TLS_CERT, TLS_KEY: not a certificate and its key")
}

async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{variable}: cannot listen on {address}"))
}

async fn serve_grpc<L>(
    server: tonic::transport::server::Router<L>,
    listener: TcpListener,
    closing: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()>
where
    L: tower::Layer<Routes> + Clone + Send + 'static,
    L::Service: tower::Service<http::Request<tonic::body::Body>, Response = http::Response<tonic::body::Body>>
        + Clone
        + Send
        + 'static,
    <L::Service as tower::Service<http::Request<tonic::body::Body>>>::Future: Send,
    <L::Service as tower::Service<http::Request<tonic::body::Body>>>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    server
        .serve_with_incoming_shutdown(incoming, closing)
        .await
        .context("the gRPC server")
}

async fn serve_http(
    router: Router,
    listener: TcpListener,
    closing: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(closing)
        .await
        .context("the HTTP server")
}

/// Ends when the listeners close: a moment after the service said that it is not ready.
fn closing(stop: &CancellationToken, delay_ms: u64) -> impl Future<Output = ()> + Send + 'static {
    let stop = stop.clone();
    async move {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
}

struct Parts {
    grpc_server: BoxFuture<'static, anyhow::Result<()>>,
    http_server: BoxFuture<'static, anyhow::Result<()>>,
    reporter: BoxFuture<'static, ()>,
    tasks: Vec<(&'static str, Task)>,
    database: Database,
    stop: CancellationToken,
    drain: Duration,
}

impl Parts {
    async fn run(self) -> anyhow::Result<()> {
        let Self {
            grpc_server,
            http_server,
            reporter,
            tasks,
            database,
            stop,
            drain,
        } = self;
        let cancel = CancellationToken::new();
        let mut running = JoinSet::new();
        for (name, task) in tasks {
            let ended = task(cancel.clone());
            running.spawn(async move {
                ended.await;
                name
            });
        }
        let reporter = tokio::spawn(reporter);
        let mut servers = tokio::spawn(async move { tokio::try_join!(grpc_server, http_server).map(|_| ()) });

        let failure = tokio::select! {
            served = &mut servers => Some(anyhow::anyhow!("a server ended: {served:?}")),
            Some(ended) = running.join_next() => Some(anyhow::anyhow!("task {ended:?} ended")),
            () = stop.cancelled() => None,
        };
        if let Some(failure) = &failure {
            error!(error = %failure, "a part failed; the service stops");
            stop.cancel();
        } else {
            info!("draining");
        }
        if timeout(drain, &mut servers).await.is_err() {
            error!("requests were still under way at the end of the drain");
            servers.abort();
        }
        cancel.cancel();
        let ending = async { while running.join_next().await.is_some() {} };
        if timeout(Duration::from_secs(10), ending).await.is_err() {
            error!("tasks were still running at the end of the drain");
        }
        reporter.abort();
        database.close().await;
        info!("stopped");
        failure.map_or(Ok(()), Err)
    }
}

/// Keeps gRPC health in step with readiness.
async fn report(reporter: tonic_health::server::HealthReporter, services: Vec<String>, health: Health) {
    loop {
        let status = match health.failing().await {
            None => tonic_health::ServingStatus::Serving,
            Some(_) => tonic_health::ServingStatus::NotServing,
        };
        tell(&reporter, &services, status).await;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = health.draining.cancelled(), if status == tonic_health::ServingStatus::Serving => {}
        }
    }
}

async fn tell(
    reporter: &tonic_health::server::HealthReporter,
    services: &[String],
    status: tonic_health::ServingStatus,
) {
    reporter.set_service_status("", status).await;
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}

impl Health {
    /// The first reason not to be ready.
    async fn failing(&self) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("draining");
        }
        for (name, check) in self.checks.iter() {
            if !check().await {
                return Some(name);
            }
        }
        None
    }
}

/// Gives a request its id before REST looks at it, so that a body that is refused there has one too.
async fn name_request(State(ambient): State<Ambient>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &ambient);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    next.run(request).await
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.failing().await {
        None => (StatusCode::OK, "ready"),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let kind = [(
        "content-type",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    match health.metrics.render() {
        Ok(text) => (StatusCode::OK, kind, text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, kind, String::new()),
    }
}
