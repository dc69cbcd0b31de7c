//! Requests spread over the addresses of a service, whatever becomes of one of them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use futures::future::{BoxFuture, join_all};
use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing, Resolve, channel_through};
use lp_types::{CallerContext, time::Ambient};
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

/// Between two looks at the addresses.
const EVERY: Duration = Duration::from_millis(200);

/// What DNS would say.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<BTreeSet<SocketAddr>>>);

impl Addresses {
    fn of(all: &[SocketAddr]) -> Self {
        Self(Arc::new(Mutex::new(all.iter().copied().collect())))
    }

    fn set(&self, all: &[SocketAddr]) {
        *self.0.lock().unwrap() = all.iter().copied().collect();
    }
}

impl Resolve for Addresses {
    fn resolve(&self) -> BoxFuture<'_, io::Result<BTreeSet<SocketAddr>>> {
        let now = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(now) })
    }
}

/// Counts what it answers, each after a moment.
#[derive(Debug, Clone, Default)]
struct Counting {
    answered: Arc<AtomicU32>,
    /// What it refuses with, in place of an answer.
    refuses: Option<Code>,
    /// Longer than a moment.
    takes: Option<Duration>,
}

#[tonic::async_trait]
impl Health for Counting {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.answered.fetch_add(1, Ordering::SeqCst);
        if let Some(code) = self.refuses {
            return Err(Status::new(code, "no"));
        }
        tokio::time::sleep(self.takes.unwrap_or(Duration::from_millis(3))).await;
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no"))
    }
}

/// A replica.
struct Replica {
    address: SocketAddr,
    counting: Counting,
    end: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
}

impl Replica {
    fn serve(listener: TcpListener, counting: Counting) -> Self {
        let address = listener.local_addr().unwrap();
        let (end, asked) = oneshot::channel::<()>();
        let server = Server::builder()
            .add_service(HealthServer::new(counting.clone()))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = asked.await;
            });
        Self {
            address,
            counting,
            end: Some(end),
            ended: tokio::spawn(async { server.await.unwrap() }),
        }
    }

    fn answered(&self) -> u32 {
        self.counting.answered.load(Ordering::SeqCst)
    }

    /// As after SIGTERM: GOAWAY, what is under way is answered, no new connections.
    async fn end(&mut self) {
        drop(self.end.take());
        (&mut self.ended).await.unwrap();
    }
}

/// Listeners on 127.0.0.1, 127.0.0.2 and 127.0.0.3, with one port.
async fn listeners() -> [TcpListener; 3] {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let others = (
            TcpListener::bind(("127.0.0.2", port)).await,
            TcpListener::bind(("127.0.0.3", port)).await,
        );
        if let (Ok(second), Ok(third)) = others {
            return [first, second, third];
        }
    }
}

async fn replicas() -> [Replica; 3] {
    listeners()
        .await
        .map(|listener| Replica::serve(listener, Counting::default()))
}

async fn tokens() -> TokenSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let answer = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 300});
    let issuer = Router::new().route("/token", post(move || async move { Json(answer) }));
    tokio::spawn(async move { axum::serve(listener, issuer).await });
    let config = lp_config::Client {
        auth_token_url: url.parse().unwrap(),
        auth_client_id: "svc-test".to_owned(),
        auth_client_secret: "s".to_owned().into(),
    };
    TokenSource::new(config, Ambient::system()).unwrap()
}

async fn open(addresses: &Addresses) -> Channel {
    let url = "http://svc-test:1".parse().unwrap();
    channel_through(&url, &tokens().await, addresses.clone(), EVERY).unwrap()
}

/// One try, within five seconds.
async fn call(channel: &Channel) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_secs(5));
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

/// As services call: tried again where that is safe.
async fn insist(channel: &Channel) -> Result<(), Status> {
    let caller = CallerContext {
        merchant: "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
        actor: "svc-test".to_owned().try_into().unwrap(),
        request: "req_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
    };
    let outgoing = Outgoing {
        caller: &caller,
        deadline: Instant::now() + Duration::from_secs(5),
        key: None,
    };
    outgoing
        .retrying(|| async {
            let request = outgoing.request(HealthCheckRequest::default());
            HealthClient::new(channel.clone()).check(request).await.map(drop)
        })
        .await
}

/// Until each of these was called once: the connections stand.
async fn warm(channel: &Channel, replicas: &[&Replica]) {
    let called = async {
        while replicas.iter().any(|one| one.answered() == 0) {
            insist(channel).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), called)
        .await
        .unwrap();
}

/// `callers` that call for `time`, one call after the other; all failures.
async fn load(channel: &Channel, callers: usize, time: Duration) -> (u32, Vec<Status>) {
    let end = Instant::now() + time;
    let caller = async || {
        let (mut calls, mut failed) = (0, Vec::new());
        while Instant::now() < end {
            calls += 1;
            failed.extend(insist(channel).await.err());
        }
        (calls, failed)
    };
    let all = join_all((0..callers).map(|_| caller())).await;
    let calls = all.iter().map(|(calls, _)| calls).sum();
    (calls, all.into_iter().flat_map(|(_, failed)| failed).collect())
}

fn assert_spread(counts: &[u32]) {
    let mean = counts.iter().sum::<u32>() / u32::try_from(counts.len()).unwrap();
    assert!(
        counts.iter().all(|count| count.abs_diff(mean) * 5 <= mean),
        "{counts:?}"
    );
}

#[tokio::test]
async fn requests_and_not_connections_are_spread_over_all_addresses() {
    let replicas = replicas().await;
    let [one, two, three] = &replicas;
    let channel = open(&Addresses::of(&[one.address, two.address, three.address])).await;
    warm(&channel, &[one, two, three]).await;
    for callers in [1, 20] {
        let before = replicas.each_ref().map(Replica::answered);
        let (_, failed) = load(&channel, callers, Duration::from_millis(600)).await;
        assert!(failed.is_empty(), "{failed:?}");
        let after = replicas.each_ref().map(Replica::answered);
        let counts: Vec<_> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        println!("{callers} callers: {counts:?}");
        assert_spread(&counts);
    }
}

#[tokio::test]
async fn an_address_that_appears_gets_requests_and_one_that_goes_gets_none() {
    let [one, two, three] = &replicas().await;
    let addresses = Addresses::of(&[one.address, two.address]);
    let channel = open(&addresses).await;
    warm(&channel, &[one, two]).await;

    addresses.set(&[one.address, two.address, three.address]);
    let begun = Instant::now();
    warm(&channel, &[three]).await;
    let took = begun.elapsed();
    println!("a new address was called after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    addresses.set(&[one.address, three.address]);
    tokio::time::sleep(EVERY * 3).await;
    let before = two.answered();
    let (calls, failed) = load(&channel, 5, Duration::from_millis(200)).await;
    assert!(calls > 10 && failed.is_empty(), "{calls}, {failed:?}");
    assert_eq!(two.answered(), before, "it is not there any more");
}

#[tokio::test]
async fn the_end_of_one_under_load_costs_no_call() {
    let [mut one, two, three] = replicas().await;
    let addresses = Addresses::of(&[one.address, two.address, three.address]);
    let channel = open(&addresses).await;
    warm(&channel, &[&one, &two, &three]).await;
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        one.end().await;
        let before = two.answered() + three.answered();
        tokio::time::sleep(Duration::from_millis(700)).await;
        two.answered() + three.answered() - before
    };
    let ((calls, failed), after) = tokio::join!(load(&channel, 50, Duration::from_secs(1)), ending);
    println!("{calls} calls, {after} of them after the end of one");
    assert!(
        failed.is_empty(),
        "{} of {calls}: {:?}",
        failed.len(),
        failed.first()
    );
    assert!(after > 100, "{after}");
}

#[tokio::test]
async fn what_was_not_sent_to_one_that_ends_is_sent_to_another_one() {
    let [one, two, _] = listeners().await;
    let slow = Counting {
        takes: Some(Duration::from_secs(2)),
        ..Counting::default()
    };
    let (mut one, two) = (
        Replica::serve(one, slow),
        Replica::serve(two, Counting::default()),
    );
    let addresses = Addresses::of(&[one.address]);
    let channel = open(&addresses).await;
    let under_way = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel).await }
    });
    while one.answered() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    addresses.set(&[one.address, two.address]);
    tokio::time::sleep(EVERY * 3).await;
    call(&channel).await.unwrap();
    assert_eq!((one.answered(), two.answered()), (1, 1));

    // It says that it ends, and stays for what is under way.
    drop(one.end.take());
    tokio::time::sleep(Duration::from_millis(100)).await;
    for outcome in join_all((0..10).map(|_| call(&channel))).await {
        outcome.unwrap();
    }
    assert_eq!(one.answered(), 1, "it took nothing more");
    assert!(!under_way.is_finished());
    under_way.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_where_nobody_listens_fails_no_call() {
    let [one, two, three] = listeners().await;
    let nobody = three.local_addr().unwrap();
    drop(three);
    let (one, two) = (
        Replica::serve(one, Counting::default()),
        Replica::serve(two, Counting::default()),
    );
    let addresses = Addresses::of(&[nobody, one.address, two.address]);
    let channel = open(&addresses).await;
    for _ in 0..200 {
        call(&channel).await.unwrap();
    }
    assert!(one.answered() > 50 && two.answered() > 50);

    // Until somebody listens there.
    let three = Replica::serve(TcpListener::bind(nobody).await.unwrap(), Counting::default());
    warm(&channel, &[&three]).await;
}

#[tokio::test]
async fn an_address_that_takes_connections_and_never_speaks_delays_no_call() {
    let [one, two, silent] = listeners().await;
    let (one, two) = (
        Replica::serve(one, Counting::default()),
        Replica::serve(two, Counting::default()),
    );
    let addresses = Addresses::of(&[silent.local_addr().unwrap(), one.address, two.address]);
    let channel = open(&addresses).await;
    for number in 0..200 {
        let begun = Instant::now();
        call(&channel).await.unwrap();
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(1),
            "call {number} waited for it: {took:?}"
        );
    }
    assert!(one.answered() > 50 && two.answered() > 50);
    // It is known to be silent by then, and still nobody waits.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let (_, failed) = load(&channel, 5, Duration::from_millis(300)).await;
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn a_call_that_one_address_refuses_is_tried_at_another_one() {
    let [one, two, _] = listeners().await;
    let refusing = Counting {
        refuses: Some(Code::Unavailable),
        ..Counting::default()
    };
    let (one, two) = (
        Replica::serve(one, refusing),
        Replica::serve(two, Counting::default()),
    );
    let addresses = Addresses::of(&[one.address, two.address]);
    let channel = open(&addresses).await;
    let (calls, failed) = load(&channel, 20, Duration::from_millis(500)).await;
    assert!(failed.is_empty(), "{failed:?}");
    let refused = one.answered();
    println!("{calls} calls, {refused} refused at first");
    assert!(
        refused > 0 && refused < 60 && two.answered() >= calls,
        "for a moment it is not asked: {refused} of {calls}"
    );
}

#[tokio::test]
async fn when_all_are_gone_it_is_told_at_once_and_found_again() {
    let [mut one, two, _] = replicas().await;
    let addresses = Addresses::of(&[one.address]);
    let channel = open(&addresses).await;
    warm(&channel, &[&one]).await;
    one.end().await;
    let begun = Instant::now();
    while call(&channel).await.is_ok() {}
    let status = call(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    addresses.set(&[two.address]);
    warm(&channel, &[&two]).await;
}

#[tokio::test]
async fn when_all_are_gone_each_of_many_callers_is_told_at_once() {
    let [mut one, _, _] = replicas().await;
    let channel = open(&Addresses::of(&[one.address])).await;
    warm(&channel, &[&one]).await;
    one.end().await;
    while call(&channel).await.is_ok() {}
    // Somebody calls at each moment: who came last must not make the others wait.
    let end = Instant::now() + Duration::from_secs(4);
    let told = join_all((0..200).map(|number| {
        let channel = &channel;
        async move {
            tokio::time::sleep(Duration::from_millis(number)).await;
            let mut slowest = Duration::ZERO;
            while Instant::now() < end {
                let begun = Instant::now();
                assert_eq!(call(channel).await.unwrap_err().code(), Code::Unavailable);
                slowest = slowest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            slowest
        }
    }))
    .await;
    let slowest = told.into_iter().max().unwrap();
    println!("told after at most {slowest:?}");
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
}

#[tokio::test]
async fn the_first_call_after_a_service_is_back_passes() {
    let [one, _, _] = listeners().await;
    let address = one.local_addr().unwrap();
    let mut one = Replica::serve(one, Counting::default());
    let channel = open(&Addresses::of(&[address])).await;
    warm(&channel, &[&one]).await;
    one.end().await;
    while call(&channel).await.is_ok() {}
    // Until the pauses between two tries are long: it is still known as failed when it is back.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(call(&channel).await.unwrap_err().code(), Code::Unavailable);
    }
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(700),
        "nobody waits for a pause to end: {took:?}"
    );

    let _back = Replica::serve(TcpListener::bind(address).await.unwrap(), Counting::default());
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn without_any_address_calls_fail_at_once() {
    let channel = open(&Addresses::default()).await;
    let begun = Instant::now();
    let status = call(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(1));
}
