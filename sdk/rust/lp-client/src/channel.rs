//! The way to a service: with our own token, and not while it fails.

use std::{
    error::Error as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use lp_auth::TokenSource;
use lp_breaker::{Breaker, Change, Jitter};
use tonic::{
    Code, Status, TimeoutExpired,
    body::Body,
    transport::{self, Endpoint},
};
use tower::{BoxError, Service};
use url::Url;

/// No answer for this long counts as a failure.
const SLOW: Duration = Duration::from_secs(1);

/// A channel whose every request has our own token; generated clients take it in place of tonic's. After five
/// failures in a row (no connection, no answer for a second, UNAVAILABLE) it answers UNAVAILABLE at once for a second,
/// and then lets one request try. Clones share its connection, its token and what it knows of failures.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: transport::Channel,
    tokens: TokenSource,
    breaker: Arc<Breaker>,
    service: Arc<str>,
}

/// A channel to `url` for calls as whom `tokens` are for. It connects, and asks for a token, on first use and
/// again whenever it must.
///
/// # Errors
/// When the URL is not one that gRPC can use.
pub fn channel(url: &Url, tokens: &TokenSource) -> Result<Channel, transport::Error> {
    let inner = Endpoint::from_shared(url.to_string())?
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy();
    // Which pauses are drawn does not matter: a process sends one probe a second at most.
    let mut seed = DefaultHasher::new();
    url.hash(&mut seed);
    Ok(Channel {
        inner,
        tokens: tokens.clone(),
        breaker: Arc::new(Breaker::new(Jitter::seeded(seed.finish()))),
        service: url.as_str().into(),
    })
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    /// A [`Status`] where the token is what failed, or where nothing was sent.
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone is not ready yet: the one that is makes the call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Self {
            tokens,
            breaker,
            service,
            ..
        } = self.clone();
        Box::pin(async move {
            let bearer = tokens.bearer().await.map_err(Status::from)?;
            if !breaker.allows(Instant::now()) {
                return Err(
                    Status::unavailable("the service called failed several times and is left alone").into(),
                );
            }
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
            let sent = Instant::now();
            let answer = inner
                .call(request)
                .await
                .map_err(|error| broken(Status::from_error(error.into())));
            let code = match &answer {
                Ok(response) => refused(response.headers()),
                Err(status) => status.code(),
            };
            if let Some(ok) = tells(code, sent.elapsed()) {
                match breaker.record(ok, Instant::now()) {
                    Change::Opened => tracing::warn!(%service, ?code, "a service fails: it is left alone"),
                    Change::Closed => tracing::info!(%service, "a service answers again"),
                    Change::None => {}
                }
            }
            if code == Code::Unauthenticated {
                tokens.withdraw(&bearer);
            }
            Ok(answer?)
        })
    }
}

/// UNAVAILABLE where the way to the service broke, for example because the service ends (GOAWAY): tonic says INTERNAL,
/// UNKNOWN or CANCELLED then; and DEADLINE_EXCEEDED where it was too late. A status that the service itself gave has no
/// source.
pub(crate) fn broken(status: Status) -> Status {
    let mut causes = std::iter::successors(status.source(), |cause| (*cause).source());
    let late = causes.any(<dyn std::error::Error>::is::<TimeoutExpired>);
    match status.source() {
        None => status,
        Some(_) if late => Status::deadline_exceeded("no answer came in time"),
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
        let late = Box::new(TimeoutExpired(()));
        assert_eq!(broken(Status::from_error(late)).code(), Code::DeadlineExceeded);
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
