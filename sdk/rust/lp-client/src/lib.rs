//! Calling a service of the fleet: the channel with our own token, over all addresses that the service's name has, the
//! headers that say for whom and until when, and the kinds of failure after which the same call is made again.
//!
//! Start with [`channel`] and [`Outgoing`]; then `balance.rs` (which address takes the next request) and
//! `connection.rs` (one address).
//!
//! ```no_run
//! # fn example(config: lp_config::Client, url: &url::Url, ambient: lp_types::time::Ambient) -> anyhow::Result<()> {
//! use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;
//!
//! // One source of tokens a process, one channel for each service that it calls:
//! let tokens = lp_auth::TokenSource::new(config, ambient)?;
//! let ledger: LedgerServiceClient<lp_client::Channel> =
//!     LedgerServiceClient::new(lp_client::channel(url, &tokens)?);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants and the tests that hold them:
//! - only UNAVAILABLE and a broken connection are tried again, with jitter, and UNAUTHENTICATED once, never past the deadline: `tests`;
//! - every request has the token of its moment, and one that is refused is renewed: `tests/channel.rs`;
//! - a service that fails is left alone for a moment: `tests/breaker.rs`, `channel::tests`, and `lp-breaker`;
//! - requests, not connections, are spread over all addresses; one that appears gets requests within moments, one that
//!   is gone, ends, does not listen or does not speak gets none and fails no call: `tests/balance.rs`;
//! - a call that is made again goes to another address, if there is one: `tests/balance.rs`;
//! - `https` is spoken with the certificate checked, and other schemes are refused before anything is sent:
//!   `connection::tests`;
//! - a deadline that passed is DEADLINE_EXCEEDED, whoever noticed: `tests`, `tests/channel.rs`;
//! - the trace and the deadline go along: `tests`.

mod asking;
mod balance;
mod channel;
mod connection;
mod resolve;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use futures::TryFutureExt as _;
use lp_types::{CallerContext, IdempotencyKey};
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};

pub use asking::{Asking, failed, reason};
pub use channel::{Channel, channel, channel_through};
pub use connection::InvalidUrl;
pub use resolve::Resolve;

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// For whom.
    pub caller: &'a CallerContext,
    /// Until when an answer is of use.
    pub deadline: Instant,
    /// Names the intended write; none for reads.
    pub key: Option<&'a IdempotencyKey>,
}

impl Outgoing<'_> {
    /// The request that carries `message`.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(remaining);
        let headers = request.metadata_mut();
        set(headers, lp_auth::MERCHANT, &self.caller.merchant.to_string());
        set(headers, lp_auth::ACTOR, self.caller.actor.as_str());
        set(headers, "x-request-id", &self.caller.request.to_string());
        if let Some(key) = self.key {
            set(headers, "idempotency-key", key.as_str());
        }
        if let Some(traceparent) = lp_telemetry::current_traceparent() {
            set(headers, "traceparent", &traceparent);
        }
        request
    }

    /// Makes a call that is safe to make twice: a read, or a write with a key. Tries again after
    /// UNAVAILABLE and where the connection broke, for half of the time that is left, at another address as far as its
    /// [`Channel`] knows one; and once after UNAUTHENTICATED: the token that was refused is given up by the channel, and
    /// the next one may do.
    ///
    /// # Errors
    /// The last status; UNAVAILABLE where the connection broke, DEADLINE_EXCEEDED where it was too late.
    pub async fn retrying<T, F, O>(&self, mut call: F) -> Result<T, Status>
    where
        F: FnMut() -> O,
        O: Future<Output = Result<T, Status>>,
    {
        // Also where the way breaks while the answer is read.
        let call = || call().map_err(channel::broken);
        let policy = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(1))
            .with_max_times(8)
            .with_jitter();
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        // Half of the time at most: then there is some left to tell our own caller who is away.
        let begun = Instant::now();
        let mut renewed = false;
        let calls = call.retry(policy).when(|status: &Status| match status.code() {
            _ if begun.elapsed() > remaining / 2 => false,
            Code::Unavailable => true,
            Code::Unauthenticated => !std::mem::replace(&mut renewed, true),
            _ => false,
        });
        match tokio::time::timeout(remaining, calls).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::deadline_exceeded(
                "the deadline passed while the call was tried",
            )),
        }
    }
}

fn set(headers: &mut MetadataMap, name: &'static str, value: &str) {
    // Every value here is bounded visible ASCII by its type.
    if let Ok(value) = AsciiMetadataValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn caller() -> CallerContext {
        CallerContext {
            merchant: "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
            actor: "svc-test".to_owned().try_into().unwrap(),
            request: "req_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap(),
        }
    }

    async fn attempts(code: Code, deadline: Duration) -> (u32, Code) {
        let caller = caller();
        let outgoing = Outgoing {
            caller: &caller,
            deadline: Instant::now() + deadline,
            key: None,
        };
        let calls = AtomicU32::new(0);
        let outcome: Result<(), _> = outgoing
            .retrying(|| async {
                calls.fetch_add(1, Ordering::Relaxed);
                Err(Status::new(code, "no"))
            })
            .await;
        (calls.load(Ordering::Relaxed), outcome.unwrap_err().code())
    }

    #[tokio::test]
    async fn only_unavailable_is_tried_again_and_never_past_the_deadline() {
        assert_eq!(
            attempts(Code::FailedPrecondition, Duration::from_secs(5)).await,
            (1, Code::FailedPrecondition)
        );
        let started = Instant::now();
        let (calls, code) = attempts(Code::Unavailable, Duration::from_millis(800)).await;
        assert!(calls > 1);
        assert_eq!(code, Code::Unavailable, "who is away is told in time");
        assert!(started.elapsed() < Duration::from_millis(800));
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once() {
        assert_eq!(
            attempts(Code::Unauthenticated, Duration::from_secs(5)).await,
            (2, Code::Unauthenticated)
        );
    }

    #[test]
    fn a_request_says_who_calls_and_until_when() {
        let caller = caller();
        let key = IdempotencyKey::try_from("k".to_owned()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let request = Outgoing {
            caller: &caller,
            deadline,
            key: Some(&key),
        }
        .request(());
        for name in [
            "localplus-merchant",
            "localplus-actor",
            "x-request-id",
            "idempotency-key",
            "grpc-timeout",
        ] {
            assert!(request.metadata().contains_key(name), "{name}");
        }
    }
}
