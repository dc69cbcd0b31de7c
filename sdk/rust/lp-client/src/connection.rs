//! One connection to one address of a service.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT, uri};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tonic::{Status, body::Body};
use url::Url;

/// Until the other side must have spoken, counted from the begin of the connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an address that failed is asked only where there is no other; twice as long each time that it fails again.
const FAILING: Duration = Duration::from_secs(1);
/// At most so often doubled: until then a connection that nobody answers on is found dead.
const DOUBLED: u32 = 4;

/// How a service is spoken to, whatever its address.
#[derive(Clone)]
pub(crate) struct Target {
    scheme: uri::Scheme,
    authority: uri::Authority,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The URL cannot be called: it needs the scheme `http` or `https`, a host, and nothing that a name cannot have.
#[derive(Debug, thiserror::Error)]
#[error("{url} cannot be called: {why}")]
pub struct InvalidUrl {
    url: String,
    why: String,
}

impl Target {
    pub(crate) fn new(url: &Url) -> Result<Self, InvalidUrl> {
        let invalid = |why: &str| InvalidUrl {
            url: url.to_string(),
            why: why.to_owned(),
        };
        let host = url.host_str().ok_or_else(|| invalid("it has no host"))?;
        let text = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let authority = text.parse().map_err(|_| invalid("its host is no name"))?;
        let (scheme, tls) = match url.scheme() {
            "http" => (uri::Scheme::HTTP, None),
            "https" => {
                let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name).map_err(|_| invalid("its host is no name"))?;
                let tls = tls(of_system()).map_err(|error| invalid(&error.to_string()))?;
                (uri::Scheme::HTTPS, Some((tls, name)))
            }
            _ => return Err(invalid("its scheme is neither http nor https")),
        };
        Ok(Self {
            scheme,
            authority,
            tls,
        })
    }

    /// The request as it goes out.
    pub(crate) fn address(&self, mut request: Request<Body>) -> Result<Request<Body>, Status> {
        let path = request.uri().path_and_query().cloned();
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
        *request.uri_mut() = uri.build().map_err(|error| Status::internal(error.to_string()))?;
        let agent = HeaderValue::from_static(concat!("lp-client/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        Ok(request)
    }

    /// Connects, and waits until the other side spoke: a connection alone says little, for example where the process
    /// is stopped or the port belongs to a proxy. The receiver ends when no request can be sent any more: the
    /// connection broke, or the other side is ending (GOAWAY).
    ///
    /// # Errors
    /// When nobody who speaks HTTP/2 answers within two seconds.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> io::Result<(Arc<Connection>, oneshot::Receiver<()>)> {
        let connected = timeout(CONNECT, self.try_connect(address)).await;
        connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "nobody spoke in time")))
    }

    async fn try_connect(&self, address: SocketAddr) -> io::Result<(Arc<Connection>, oneshot::Receiver<()>)> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Either::Left(stream),
            Some((tls, name)) => Either::Right(tls.connect(name.clone(), stream).await?),
        };
        let (spoke, speaks) = oneshot::channel();
        let stream = Heard {
            stream,
            spoke: Some(spoke),
        };
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let (end, ended) = oneshot::channel();
        // It ends by itself, once the connection did or nobody can send any more: what is under way is finished.
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%address, %error, "a connection broke");
            }
            drop(end);
        });
        let unspoken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed unused");
        speaks.await.map_err(|_| unspoken())?;
        let connection = Connection {
            sender,
            under_way: AtomicUsize::new(0),
            failures: Mutex::default(),
        };
        Ok((Arc::new(connection), ended))
    }
}

fn of_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn tls(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}://{})", self.scheme, self.authority)
    }
}

/// What was not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of it left this process: it can be sent elsewhere.
    NotSent(Box<Request<Body>>),
    /// Nobody knows what became of it.
    Broken,
}

/// An address that answers.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    under_way: AtomicUsize,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// In a row; those of one pause count once.
    count: u32,
    pause_until: Option<Instant>,
}

impl Failures {
    fn is_pausing(&self, now: Instant) -> bool {
        self.pause_until.is_some_and(|until| now < until)
    }

    fn record(&mut self, ok: bool, now: Instant) {
        // What was sent before the pause says nothing new.
        if self.is_pausing(now) {
            return;
        }
        if ok {
            *self = Self::default();
        } else {
            let pause = FAILING.saturating_mul(1 << self.count.min(DOUBLED));
            self.pause_until = now.checked_add(pause);
            self.count = self.count.saturating_add(1);
        }
    }
}

impl Connection {
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let _under_way = UnderWay::begin(&self.under_way);
        match self.sender.clone().try_send_request(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(mut error) => Err(error
                .take_message()
                .map_or(Failure::Broken, |request| Failure::NotSent(Box::new(request)))),
        }
    }

    /// Nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Requests without an answer yet.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Whether it failed lately.
    pub(crate) fn is_failing(&self, now: Instant) -> bool {
        self.failures().is_pausing(now)
    }

    /// Learns how a request ended.
    pub(crate) fn record(&self, ok: bool, now: Instant) {
        self.failures().record(ok, now);
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells when the first byte came: every HTTP/2 server begins with its settings.
struct Heard<S> {
    stream: S,
    spoke: Option<oneshot::Sender<()>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before
            && let Some(spoke) = self.spoke.take()
        {
            // Who does not wait any more has given up.
            let _ = spoke.send(());
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rcgen::{CertifiedKey, KeyPair};
    use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn a_url_without_a_way_to_speak_is_refused_and_says_why() {
        for (url, why) in [
            ("ftp://svc-ledger:7101", "neither http nor https"),
            ("unix:/run/ledger", "no host"),
        ] {
            let refused = Target::new(&url.parse().unwrap()).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
        for url in [
            "http://svc-ledger:7101",
            "https://svc-ledger",
            "http://[::1]:7101",
            "https://10.0.0.1",
        ] {
            Target::new(&url.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_request_goes_to_the_name_and_keeps_its_path() {
        let target = Target::new(&"http://svc-ledger:7101/".parse().unwrap()).unwrap();
        let request = Request::builder()
            .uri("/localplus.ledger.v1.LedgerService/Earn")
            .body(Body::empty())
            .unwrap();
        let addressed = target.address(request).unwrap();
        let uri = "http://svc-ledger:7101/localplus.ledger.v1.LedgerService/Earn";
        assert_eq!(addressed.uri(), uri);
    }

    #[test]
    fn who_fails_again_and_again_is_left_alone_longer_until_it_answers() {
        let mut failures = Failures::default();
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 16] {
            failures.record(false, now);
            failures.record(false, now);
            let pause = Duration::from_secs(seconds);
            assert!(
                failures.is_pausing(now + pause - Duration::from_millis(1)),
                "{seconds}"
            );
            now += pause;
            assert!(!failures.is_pausing(now), "{seconds}");
        }
        failures.record(true, now);
        failures.record(false, now);
        failures.record(true, now);
        assert!(
            failures.is_pausing(now),
            "an answer to what was sent before ends no pause"
        );
        assert!(!failures.is_pausing(now + FAILING), "it began anew");
    }

    /// A server with this certificate that ends after one connection, and what its address is.
    async fn secured(certified: &CertifiedKey<KeyPair>) -> SocketAddr {
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let answer = hyper::service::service_fn(async |_| {
                Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer);
            serving.await.map_err(io::Error::other)
        });
        address
    }

    #[tokio::test]
    async fn https_is_spoken_with_those_whose_certificate_is_known_only() {
        let certified = rcgen::generate_simple_self_signed(["svc-ledger".to_owned()]).unwrap();
        let url = "https://svc-ledger".parse().unwrap();
        let stranger = Target::new(&url).unwrap();
        let refused = stranger.connect(secured(&certified).await).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");

        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let name = ServerName::try_from("svc-ledger").unwrap();
        let known = Target {
            tls: Some((tls(roots).unwrap(), name)),
            ..stranger
        };
        let (connection, _ended) = known.connect(secured(&certified).await).await.unwrap();
        let request = known.address(Request::new(Body::empty())).unwrap();
        assert!(connection.send(request).await.unwrap().status().is_success());
    }
}
