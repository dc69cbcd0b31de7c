//! The layer that each request passes, whether it came as gRPC or as REST: who calls, until when, whether
//! there is room, and afterwards one log line and the metrics. What there is no room for is only counted.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response};
use lp_auth::{Verifier, authorize, bearer_of};
use lp_contracts::{
    access::{Access, access_of},
    common::v1::ErrorReason,
};
use lp_error::{Code, Error};
use lp_telemetry::{Counter, Gauge, Histogram, Metrics, RequestCost};
use lp_types::{CallerContext, RequestId, time::Ambient};
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{
    call::{Call, unauthenticated},
    line::{name, tell},
    shares::{Share, Shares},
};

/// The header that names a request, in and out.
pub const REQUEST_ID: &str = "x-request-id";

/// How requests are received.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Requests under way at once.
    pub max_in_flight: usize,
    /// Longest time for a request.
    pub timeout: Duration,
}

/// Longest time for a request that is a stream of messages. A handler bounds the wait for each.
const STREAM_TIMEOUT: Duration = Duration::from_hours(1);

/// What an rpc's descriptor says of it.
#[derive(Debug)]
struct Rpc {
    /// As `LedgerService/Earn`.
    name: String,
    /// Who may call it.
    access: Option<Access>,
    /// Its request is a stream.
    streams: bool,
}

#[derive(Debug)]
struct Shared {
    /// By path.
    rpcs: HashMap<String, Arc<Rpc>>,
    policy: Policy,
    verifier: Verifier,
    room: Arc<Semaphore>,
    shares: Shares,
    ambient: Ambient,
    requests: Counter,
    seconds: Histogram,
    in_flight: Gauge,
}

/// Wraps the gRPC services of a process.
#[derive(Debug, Clone)]
pub struct RequestLayer(Arc<Shared>);

impl RequestLayer {
    /// For the rpcs of `pool`, and callers whom `verifier` knows. Other paths (health, reflection) pass untouched.
    pub fn new(
        pool: &DescriptorPool,
        policy: Policy,
        verifier: Verifier,
        ambient: Ambient,
        metrics: &Metrics,
    ) -> Self {
        let in_flight = metrics.gauge("rpc_in_flight", "Requests under way");
        // From the start: an autoscaler takes a pod without the metric for one that it knows nothing of.
        in_flight.add(0, &[]);
        Self(Arc::new(Shared {
            room: Arc::new(Semaphore::new(policy.max_in_flight)),
            shares: Shares::of(policy.max_in_flight),
            rpcs: rpcs_of(pool),
            policy,
            verifier,
            ambient,
            requests: metrics.counter("rpc_requests", "Requests answered, by rpc and gRPC code"),
            seconds: metrics.histogram("rpc_seconds", "Time to answer, by rpc", lp_telemetry::SECONDS),
            in_flight,
        }))
    }
}

fn rpcs_of(pool: &DescriptorPool) -> HashMap<String, Arc<Rpc>> {
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(ServiceDescriptor::methods);
    let rpc = |method: MethodDescriptor| {
        let service = method.parent_service();
        let rpc = Rpc {
            name: format!("{}/{}", service.name(), method.name()),
            access: access_of(&method),
            streams: method.is_client_streaming(),
        };
        (
            format!("/{}/{}", service.full_name(), method.name()),
            Arc::new(rpc),
        )
    };
    methods.map(rpc).collect()
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService {
            inner,
            shared: Arc::clone(&self.0),
        }
    }
}

/// See [`RequestLayer`].
#[derive(Debug, Clone)]
pub struct RequestService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let shared = Arc::clone(&self.shared);
        match shared.rpcs.get(request.uri().path()).cloned() {
            // To refuse has to cost little, or it does not help.
            Some(rpc) => match shared.admit(request.headers(), &rpc) {
                Some(admitted) => Box::pin(serve(shared, inner, request, rpc, admitted)),
                None => {
                    let refused = shared.refuse(request.headers(), &rpc.name);
                    Box::pin(async move { Ok(refused) })
                }
            },
            None => {
                let mut inner = inner;
                inner.call(request).boxed()
            }
        }
    }
}

impl Shared {
    /// Who calls, if they may. An rpc without an access option is open to nobody.
    async fn caller(
        &self,
        headers: &HeaderMap,
        access: Option<&Access>,
        request: RequestId,
    ) -> Result<CallerContext, Error> {
        if !is_grpc(headers) {
            return Err(unsupported_media_type());
        }
        let access = access.ok_or_else(|| unauthenticated("nobody may call this"))?;
        let identity = self.verifier.verify(bearer_of(headers)?).await?;
        authorize(&identity, access, headers, request)
    }
}

/// A request for which there is room, until it is dropped.
struct Admitted {
    id: RequestId,
    _room: OwnedSemaphorePermit,
    /// Who calls, where that is known at once.
    known: Option<(CallerContext, Share)>,
}

impl Shared {
    /// Lets a request in, unless there is no room, or its merchant has its share of it. Who shows a token for the first
    /// time is only known later.
    fn admit(&self, headers: &HeaderMap, rpc: &Rpc) -> Option<Admitted> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let id = request_id(headers, &self.ambient);
        let remembered = || {
            let access = rpc.access.as_ref().filter(|_| is_grpc(headers))?;
            let identity = self.verifier.remembered(bearer_of(headers).ok()?)?;
            authorize(&identity, access, headers, id).ok()
        };
        let known = match remembered() {
            Some(caller) => {
                let share = self.shares.take(caller.merchant, 1)?;
                Some((caller, share))
            }
            None => None,
        };
        Some(Admitted {
            id,
            _room: room,
            known,
        })
    }

    /// The answer to a request for which there is no room. It is counted, and no line is logged at the usual levels:
    /// thousands of them a second would take the room of those that are served.
    fn refuse(&self, headers: &HeaderMap, rpc: &str) -> Response<Body> {
        let id = request_id(headers, &self.ambient);
        let mut response = refusal(no_room());
        name_it(&mut response, id);
        let code = name(tonic::Code::ResourceExhausted);
        self.requests.add(1, &[("rpc", rpc), ("code", code)]);
        tracing::debug!(rpc, code, request_id = %id, "no room");
        response
    }
}

fn no_room() -> Error {
    Error::overloaded(Duration::from_millis(100))
}

/// Tells the caller the request's id.
fn name_it(response: &mut Response<Body>, id: RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// The id that the caller gave, or a new one.
pub(crate) fn request_id(headers: &HeaderMap, ambient: &Ambient) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    given.unwrap_or_else(|| RequestId::from_uuid(ambient.ids.uuid()))
}

async fn serve<S, B>(
    shared: Arc<Shared>,
    inner: S,
    mut request: Request<B>,
    rpc: Arc<Rpc>,
    admitted: Admitted,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    let started = Instant::now();
    let Admitted {
        id,
        _room: room,
        known,
    } = admitted;
    let span = tracing::info_span!("rpc", otel.name = %rpc.name, otel.kind = "server", request_id = %id);
    lp_telemetry::set_parent_from(&span, request.headers());
    async move {
        let under_way = UnderWay::begin(&shared, &rpc.name);
        let theirs = timeout_of(request.headers()).map(in_time);
        let longest = if rpc.streams {
            STREAM_TIMEOUT
        } else {
            shared.policy.timeout
        };
        let timeout = theirs.map_or(longest, |t| t.min(longest));
        let deadline = started.checked_add(timeout).unwrap_or(started);
        let mut caller = None;
        let admitted = match known {
            Some(known) => Ok(known),
            None => {
                // In the deadline too: the issuer's keys may have to be fetched first.
                let finding = shared.caller(request.headers(), rpc.access.as_ref(), id);
                let found = tokio::time::timeout(timeout, finding).await;
                let found = found.unwrap_or_else(|_late| Err(Error::deadline_exceeded()));
                found.and_then(|found| {
                    let share = shared.shares.take(found.merchant, 1);
                    Ok((found, share.ok_or_else(no_room)?))
                })
            }
        };
        let (outcome, cost) = match admitted {
            Err(error) => (Ok(refusal(error)), RequestCost::default()),
            Ok((found, _share)) => {
                caller = Some(found.clone());
                request.extensions_mut().insert(Call {
                    caller: found,
                    deadline,
                });
                let remaining = deadline.saturating_duration_since(Instant::now());
                lp_telemetry::measured(bounded(inner, request, remaining)).await
            }
        };
        drop(room);
        under_way.end();
        let mut response = outcome?;
        name_it(&mut response, id);
        let code = tell(
            &rpc.name,
            &response,
            (id, caller.as_ref()),
            started.elapsed(),
            cost,
        );
        shared.requests.add(1, &[("rpc", &rpc.name), ("code", code)]);
        shared
            .seconds
            .record(started.elapsed().as_secs_f64(), &[("rpc", &rpc.name)]);
        Ok(response)
    }
    .instrument(span)
    .await
}

/// Counts a request while it is under way, and as cancelled when its caller goes away before the answer.
struct UnderWay<'a> {
    shared: &'a Shared,
    rpc: &'a str,
    ended: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared, rpc: &'a str) -> Self {
        shared.in_flight.add(1, &[]);
        Self {
            shared,
            rpc,
            ended: false,
        }
    }

    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.shared.in_flight.add(-1, &[]);
        if !self.ended {
            let code = name(tonic::Code::Cancelled);
            self.shared.requests.add(1, &[("rpc", self.rpc), ("code", code)]);
            tracing::info!(rpc = self.rpc, code, outcome = code, "request");
        }
    }
}

/// Runs the handler until `timeout`; its panic is an INTERNAL of this request alone.
async fn bounded<S, B>(
    mut inner: S,
    request: Request<B>,
    timeout: Duration,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    let handler = AssertUnwindSafe(inner.call(request)).catch_unwind();
    match tokio::time::timeout(timeout, handler).await {
        Ok(Ok(outcome)) => outcome.map(documented),
        Ok(Err(_panic)) => Ok(refusal(Error::internal("the handler panicked"))),
        Err(_late) => Ok(refusal(Error::deadline_exceeded())),
    }
}

fn refusal(error: Error) -> Response<Body> {
    // Who does not speak gRPC is told so by HTTP.
    let speaks_grpc = error.code() != Code::UnsupportedMediaType;
    let status = if speaks_grpc {
        http::StatusCode::OK
    } else {
        error.code().http()
    };
    let mut response = Status::from(error).into_http();
    *response.status_mut() = status;
    response
}

fn unsupported_media_type() -> Error {
    Error::new(
        Code::UnsupportedMediaType,
        lp_error::DOMAIN,
        ErrorReason::UnsupportedMediaType.reason(),
        "the content type must be application/grpc",
    )
}

/// tonic would decode a message under any content type
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// What tonic itself refuses, before a handler sees it, has no documented reason: it gets one here. Handlers
/// of ours give an [`Error`] each, which is the source of their status.
fn documented(response: Response<Body>) -> Response<Body> {
    let bare = response
        .extensions()
        .get::<Status>()
        .filter(|status| std::error::Error::source(*status).is_none());
    let Some(status) = bare else { return response };
    let (code, reason) = match status.code() {
        tonic::Code::OutOfRange => (Code::BodyTooLarge, ErrorReason::BodyTooLarge),
        // Of a unary request nothing else can fail in tonic than the reading of its message.
        tonic::Code::Internal => (Code::InvalidArgument, ErrorReason::MalformedBody),
        _ => return response,
    };
    refusal(Error::new(
        code,
        lp_error::DOMAIN,
        reason.reason(),
        status.message().to_owned(),
    ))
}

/// A moment before the caller's own limit: an answer that comes at it comes too late, and tonic, which watches
/// the same header, would drop the request before it is counted and logged.
fn in_time(limit: Duration) -> Duration {
    let moment = Duration::from_millis(10).min(limit / 10);
    limit.saturating_sub(moment)
}

/// The caller's own limit: `grpc-timeout`, up to eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_digits_and_a_unit() {
        let parse = |text: &'static str| {
            timeout_of(&HeaderMap::from_iter([(
                "grpc-timeout".parse().unwrap(),
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "m", "123456789m", "1x", "-1m"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
