//! Who calls, proved by a token; and what they may do.
//!
//! Owns: the check of tokens against an issuer's published keys ([`Verifier`]), the rule that makes a
//! `CallerContext` of a token and a request's headers ([`authorize`]), and our own token for calls to other
//! services ([`TokenSource`]). Knows no rpc and no scope but [`ACT_FOR_MERCHANTS`]. Start with [`Verifier`].
//!
//! ```no_run
//! use lp_auth::{Verifier, authorize, bearer_of};
//! use lp_contracts::access::Access;
//! use lp_types::{CallerContext, RequestId};
//!
//! # async fn example(
//! #     config: lp_config::Auth, ambient: lp_types::time::Ambient, metrics: lp_telemetry::Metrics,
//! #     headers: &http::HeaderMap, access: &Access, request: RequestId,
//! # ) -> lp_error::Result<CallerContext> {
//! // Once a process:
//! let verifier = Verifier::new(config, ambient, &metrics)?;
//! // Each request:
//! let identity = verifier.verify(bearer_of(headers)?).await?;
//! let caller = authorize(&identity, access, headers, request)?;
//! # Ok(caller)
//! # }
//! ```
//!
//! A token is verified once and then remembered until it expires or the keys are fetched anew; nothing else
//! of a request's path waits for the issuer. Keys and our own token are fetched when they are first needed,
//! and renewed beside the request that finds them old: a service starts, and for a while runs, without the
//! issuer, and an idle one does not ask.
//!
//! Invariants and the tests that hold them (`tests/it` where no module of `src` is named):
//! - the key decides the algorithm, and it is ES256, EdDSA or RS256:
//!   `verify::only_the_keys_own_algorithm_is_believed`, `verify::only_signing_keys_of_known_kinds_are_used`;
//! - issuer, audience, expiry, start and the form of every claim are checked, by the injected clock:
//!   `verify::claims_that_are_not_for_us_are_refused`, `verify::a_remembered_token_expires`;
//! - nothing that the issuer did not sign is believed, and nothing panics: `properties`;
//! - nothing of a token stands in an error or in `Debug`: each refusal in the tests (`support::refusal`),
//!   `tokens::bearer`;
//! - rotation overlaps, and a withdrawn key takes its tokens with it: `keys::rotation_overlaps`;
//! - fetches are single, bounded and at least 5 s apart (our token: 1 s): `keys`, `tokens`;
//! - keys are believed for an hour when the issuer is away, and without keys the answer is
//!   DEPENDENCY_UNAVAILABLE: `keys`;
//! - the merchant is the token's, a header that says other is refused, every scope is needed to the letter:
//!   `authorize::tests`;
//! - an operator's call is closed to every merchant's token:
//!   `authorize::tests::operators_access_is_for_tokens_without_a_merchant`;
//! - a token of ours that was refused is not used again: `tokens::one_that_was_refused_is_given_to_nobody_again`.

mod authorize;
mod issuer;
mod kept;
mod keys;
mod token;
mod verify;

pub use authorize::{ACT_FOR_MERCHANTS, ACTOR, Identity, MERCHANT, authorize, bearer_of};
pub use token::TokenSource;
pub use verify::Verifier;
