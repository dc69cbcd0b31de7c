//! The way to a service: with our own token, and not while it fails.

use std::{
    error::Error as _,
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use lp_auth::TokenSource;
use lp_breaker::{Breaker, Change, Jitter};
use tonic::{Code, Status, body::Body};
use tower::{BoxError, Service};
use url::Url;

use crate::{
    balance::Balance,
    connection::{Connection, Failure, InvalidUrl, Target},
    resolve::{Dns, Resolve},
};

/// No answer for this long counts as a failure.
const SLOW: Duration = Duration::from_secs(1);
/// Between two looks at a service's addresses, while nothing breaks.
const LOOK: Duration = Duration::from_secs(3);

/// A channel whose every request has our own token; generated clients take it in place of tonic's. Each request goes
/// to one of the service's addresses: of those that answer the one with the fewest requests under way. When no address
/// is left that works, and after five failures in a row (no connection, no answer for a second, UNAVAILABLE), it
/// answers UNAVAILABLE at once for a second, and then lets one request try. Clones share its connections, its token
/// and what it knows of failures.
#[derive(Debug, Clone)]
pub struct Channel {
    balance: Arc<Balance>,
    tokens: TokenSource,
    breaker: Arc<Breaker>,
    service: Arc<str>,
}

/// A channel to `url` for calls as whom `tokens` are for. It looks the name up, connects to all of its addresses and
/// asks for a token on first use; again whenever it must; and every few seconds it looks whether the addresses are
/// others.
///
/// # Errors
/// When the URL is not one that gRPC can use.
pub fn channel(url: &Url, tokens: &TokenSource) -> Result<Channel, InvalidUrl> {
    let resolver = Dns {
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
    };
    channel_through(url, tokens, resolver, LOOK)
}

/// As [`channel`], with the addresses that `resolver` tells, asked `every` so often and when a connection breaks.
///
/// # Errors
/// As [`channel`].
pub fn channel_through(
    url: &Url,
    tokens: &TokenSource,
    resolver: impl Resolve,
    every: Duration,
) -> Result<Channel, InvalidUrl> {
    // Which pauses are drawn does not matter: a process sends one probe a second at most.
    let mut seed = DefaultHasher::new();
    url.hash(&mut seed);
    let jitter = || Jitter::seeded(seed.finish());
    let balance = Balance::new(Target::new(url)?, Box::new(resolver), every, jitter());
    Ok(Channel {
        balance: Arc::new(balance),
        tokens: tokens.clone(),
        breaker: Arc::new(Breaker::new(jitter())),
        service: url.as_str().into(),
    })
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    /// A [`Status`].
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A request waits for a connection, if it must, within its own deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move {
            let bearer = channel.tokens.bearer().await.map_err(Status::from)?;
            if !channel.breaker.allows(Instant::now()) {
                return Err(
                    Status::unavailable("the service called failed several times and is left alone").into(),
                );
            }
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
            let (answer, code) = channel.send(request).await;
            if code == Code::Unauthenticated {
                channel.tokens.withdraw(&bearer);
            }
            Ok(answer?)
        })
    }
}

impl Channel {
    /// Sends a request, elsewhere while it certainly was not sent; and learns from how that ends.
    async fn send(&self, request: Request<Body>) -> (Result<Response<Body>, Status>, Code) {
        let limit = timeout_of(request.headers());
        let begun = Instant::now();
        let mut connection = None;
        let sent = async {
            let mut request = self.balance.target().address(request)?;
            loop {
                let connection = connection.insert(self.balance.pick().await?);
                match connection.send(request).await {
                    Ok(response) => return Ok(response),
                    // It is closed from now on, so another one is picked.
                    Err(Failure::NotSent(back)) => request = *back,
                    Err(Failure::Broken) => return Err(Status::unavailable("the connection broke")),
                }
            }
        };
        let answer = within(limit, sent).await;
        let code = match &answer {
            Ok(response) => refused(response.headers()),
            Err(status) => status.code(),
        };
        if let Some(ok) = tells(code, begun.elapsed()) {
            self.learn(connection.as_ref(), ok, code);
        }
        (answer, code)
    }

    /// What fails at one address while another one works says nothing about the service.
    fn learn(&self, connection: Option<&Arc<Connection>>, ok: bool, code: Code) {
        let now = Instant::now();
        if let Some(connection) = connection {
            connection.record(ok, now);
            if !ok && self.balance.has_other(connection) {
                return;
            }
        }
        let service = &self.service;
        match self.breaker.record(ok, now) {
            Change::Opened => tracing::warn!(%service, ?code, "a service fails: it is left alone"),
            Change::Closed => tracing::info!(%service, "a service answers again"),
            Change::None => {}
        }
    }
}

async fn within<T>(
    limit: Option<Duration>,
    sent: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match limit {
        None => sent.await,
        Some(limit) => tokio::time::timeout(limit, sent)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer came in time"))),
    }
}

/// The request's own limit, as tonic writes it: `grpc-timeout`, digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits.parse::<u32>().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3_600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(number)
}

/// UNAVAILABLE where the way to the service broke while its answer was read: tonic says INTERNAL, UNKNOWN or CANCELLED
/// then. A status that the service itself gave has no source.
pub(crate) fn broken(status: Status) -> Status {
    match status.source() {
        None => status,
        Some(_) => Status::unavailable("the connection broke"),
    }
}

/// The code of a refusal, which stands in the headers: there are no trailers without a body. Otherwise OK, as far as
/// the headers tell.
fn refused(headers: &HeaderMap) -> Code {
    headers
        .get(Status::GRPC_STATUS)
        .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// Whether an answer shows that the service works; `None` where it does not tell: a caller in a hurry is not the
/// service's fault.
fn tells(code: Code, took: Duration) -> Option<bool> {
    match code {
        Code::Unavailable => Some(false),
        Code::DeadlineExceeded => (took >= SLOW).then_some(false),
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_broke_is_unavailable_and_an_answer_stays() {
        let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            broken(Status::from_error(Box::new(cut))).code(),
            Code::Unavailable
        );
        assert_eq!(broken(Status::internal("theirs")).code(), Code::Internal);
    }

    #[test]
    fn what_shows_that_a_service_fails() {
        let (quick, slow) = (SLOW / 2, SLOW * 2);
        for (code, took, told) in [
            (Code::Ok, slow, Some(true)),
            (Code::FailedPrecondition, quick, Some(true)),
            (Code::ResourceExhausted, quick, Some(true)),
            (Code::Unavailable, quick, Some(false)),
            (Code::DeadlineExceeded, quick, None),
            (Code::DeadlineExceeded, slow, Some(false)),
        ] {
            assert_eq!(tells(code, took), told, "{code:?} after {took:?}");
        }
    }
}
