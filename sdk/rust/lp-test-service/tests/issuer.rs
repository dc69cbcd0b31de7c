//! The issuer gives what services under test believe.

#![allow(clippy::unwrap_used, reason = "tests")]

use lp_auth::{ACT_FOR_MERCHANTS, Identity, TokenSource, Verifier};
use lp_telemetry::Metrics;
use lp_test_service::{issuer, new_merchant};
use lp_types::time::Ambient;
use tokio::runtime::Runtime;

fn believed(token: &str) -> Identity {
    let verifier = Verifier::new(issuer::auth(), Ambient::system(), &Metrics::new()).unwrap();
    // One of its own each time, as each test has.
    Runtime::new().unwrap().block_on(verifier.verify(token)).unwrap()
}

#[test]
fn it_outlives_the_runtime_that_asked_it_first_and_gives_what_was_asked() {
    let merchant = new_merchant();
    let whole = believed(&issuer::token("till-7", Some(merchant), issuer::scopes()));
    assert!(issuer::scopes().len() > 8);
    assert!(issuer::scopes().iter().all(|scope| whole.has_scope(scope)));
    assert!(!whole.has_scope(ACT_FOR_MERCHANTS));
    assert_eq!(
        (whole.actor().as_str(), whole.merchant()),
        ("till-7", Some(merchant))
    );
    let part = believed(&issuer::token("till-7", None, ["ledger.accounts.read"]));
    assert!(part.has_scope("ledger.accounts.read") && !part.has_scope("ledger.accounts.write"));
    assert_eq!(part.merchant(), None);
}

#[test]
fn a_service_gets_a_token_that_acts_for_merchants() {
    let tokens = TokenSource::new(issuer::client("svc-test"), Ambient::system()).unwrap();
    let bearer = Runtime::new().unwrap().block_on(tokens.bearer()).unwrap();
    let service = believed(bearer.to_str().unwrap().strip_prefix("Bearer ").unwrap());
    assert_eq!((service.actor().as_str(), service.merchant()), ("svc-test", None));
    assert!(issuer::platform_scopes().all(|scope| service.has_scope(scope)));
}
