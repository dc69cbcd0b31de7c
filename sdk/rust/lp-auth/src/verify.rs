//! Whether a token is what it says.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use lp_config::Auth;
use lp_contracts::common::v1::ErrorReason;
use lp_error::{Code, Error, Result};
use lp_telemetry::{Counter, Metrics};
use lp_types::{Actor, Clock, MerchantId, time::Ambient};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    Identity,
    kept::Kept,
    keys::{Jwks, Key, KeySet},
};

/// The longest token that is looked at; headers are bounded to twice that.
const MAX_TOKEN: usize = 8 << 10;
/// How far two clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// Keys older than this are fetched again beside the next request.
const REFRESH_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Keys older than this are not believed any more: a key that was withdrawn while the issuer could not be
/// reached would be believed for ever. Tokens live for minutes, so that an hour loses nothing.
const USELESS_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Tells who is behind a token; clones share keys and what they remember.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    keys: Kept<Jwks>,
    clock: Arc<dyn Clock>,
    verifications: Counter,
}

/// A token that was verified.
pub(crate) struct Verified {
    identity: Identity,
    window: Window,
}

/// When a token is good, in seconds since 1970.
#[derive(Clone, Copy)]
struct Window {
    from: Option<i64>,
    until: i64,
}

/// The claims that are read. `iss` and `aud` are compared by [`Key::validation`].
#[derive(Deserialize)]
struct Claims {
    /// One issuer: jsonwebtoken would believe a list that holds ours.
    #[serde(rename = "iss")]
    _issuer: String,
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    scope: String,
    merchant_id: Option<MerchantId>,
}

/// Why a token is not believed.
#[derive(Clone, Copy)]
enum Refusal {
    Malformed,
    Algorithm,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    Claims,
    Expired,
    NotYetValid,
    /// Not the token's fault: nobody can tell.
    KeysAway,
}

impl Verifier {
    /// Believes the issuer of `config`. Fetches nothing yet: a service starts without its issuer.
    ///
    /// # Errors
    /// INTERNAL when the process cannot speak HTTPS.
    pub fn new(config: Auth, ambient: Ambient, metrics: &Metrics) -> Result<Self> {
        let refreshes = metrics.counter(
            "auth_jwks_refreshes_total",
            "Fetches of the issuer's keys, by outcome",
        );
        Ok(Self(Arc::new(Shared {
            keys: Kept::new(Jwks::new(config, refreshes)?, Arc::clone(&ambient.clock)),
            clock: ambient.clock,
            verifications: metrics.counter("auth_verifications_total", "Tokens looked at, by outcome"),
        })))
    }

    /// Who is behind the token `bearer` (without the word `Bearer`; see [`crate::bearer_of`]).
    ///
    /// # Errors
    /// UNAUTHENTICATED when it is not a token for us; DEPENDENCY_UNAVAILABLE when that cannot be told, since
    /// the issuer's keys cannot be had.
    pub async fn verify(&self, bearer: &str) -> Result<Identity> {
        let (outcome, result) = match self.examine(bearer).await {
            Ok((identity, outcome)) => (outcome, Ok(identity)),
            Err(refusal) => (refusal.outcome(), Err(self.error(refusal))),
        };
        self.0.verifications.add(1, &[("outcome", outcome)]);
        result
    }

    /// Who calls, where `bearer` was verified before and still holds: told at once. None says nothing of it.
    pub fn remembered(&self, bearer: &str) -> Option<Identity> {
        let now = self.0.clock.now();
        let digest: [u8; 32] = Sha256::digest(bearer).into();
        let kept = self.kept(now)?;
        let known = kept.verified.get(&digest)?;
        known.window.holds(now).ok()?;
        self.0.verifications.add(1, &[("outcome", "remembered")]);
        Some(known.identity.clone())
    }

    async fn examine(&self, token: &str) -> Result<(Identity, &'static str), Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Malformed);
        }
        let now = self.0.clock.now();
        let digest: [u8; 32] = Sha256::digest(token).into();
        let kept = self.kept(now);
        if let Some(known) = kept.as_ref().and_then(|keys| keys.verified.get(&digest)) {
            known.window.holds(now)?;
            return Ok((known.identity.clone(), "remembered"));
        }
        // Before a key is looked for, so that nonsense costs no fetch.
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
        // What `crit` names must be understood, and we understand nothing of that kind (RFC 7515, 4.1.11).
        let id = header
            .kid
            .filter(|_| header.crit.is_none())
            .ok_or(Refusal::Malformed)?;
        let keys = match kept {
            Some(keys) if keys.by_id.contains_key(&id) => keys,
            _ => {
                self.0.keys.refresh().await;
                self.kept(now).ok_or(Refusal::KeysAway)?
            }
        };
        let Some(key) = keys.by_id.get(&id) else {
            // While the issuer is away it may be its newest key.
            let away = self.0.keys.failure().is_some();
            return Err(if away {
                Refusal::KeysAway
            } else {
                Refusal::UnknownKey
            });
        };
        if header.alg != key.algorithm {
            return Err(Refusal::Algorithm);
        }
        let verified = read(token, key)?;
        verified.window.holds(now)?;
        let identity = verified.identity.clone();
        keys.verified.insert(digest, Arc::new(verified));
        Ok((identity, "verified"))
    }

    /// The keys that may be believed at `now`; has them fetched when they get old.
    fn kept(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        let keys = self.0.keys.get()?;
        // A clock that went back says as little of their age as one that went on.
        let age = now.duration_since(keys.fetched).abs();
        if age >= REFRESH_AFTER {
            self.0.keys.refresh_in_background();
        }
        (age < USELESS_AFTER).then_some(keys)
    }

    fn error(&self, refusal: Refusal) -> Error {
        let message = match refusal {
            Refusal::KeysAway => {
                let failure = self.0.keys.failure();
                return Error::unavailable("the token issuer").with_internal(failure.unwrap_or_default());
            }
            Refusal::Expired => "the token has expired",
            _ => "the token is not valid here",
        };
        unauthenticated(message).with_internal(format!("token refused: {}", refusal.outcome()))
    }
}

/// The token's claims, if `key` signed them for us.
fn read(token: &str, key: &Key) -> Result<Verified, Refusal> {
    let data = jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation);
    let claims = data
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Refusal::Signature,
            ErrorKind::InvalidIssuer => Refusal::Issuer,
            ErrorKind::InvalidAudience => Refusal::Audience,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => Refusal::Claims,
            _ => Refusal::Malformed,
        })?
        .claims;
    let actor = Actor::try_from(claims.sub).map_err(|_| Refusal::Claims)?;
    Ok(Verified {
        identity: Identity::new(actor, claims.merchant_id, &claims.scope),
        window: Window {
            from: claims.nbf,
            until: claims.exp,
        },
    })
}

impl Window {
    fn holds(self, now: Timestamp) -> Result<(), Refusal> {
        let now = now.as_second();
        if now >= self.until.saturating_add(LEEWAY) {
            Err(Refusal::Expired)
        } else if self.from.is_some_and(|from| now < from.saturating_sub(LEEWAY)) {
            Err(Refusal::NotYetValid)
        } else {
            Ok(())
        }
    }
}

impl Refusal {
    /// Few and fixed: nothing of the token gets into metrics, logs or answers.
    fn outcome(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "wrong_signature",
            Self::Issuer => "wrong_issuer",
            Self::Audience => "wrong_audience",
            Self::Claims => "wrong_claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::KeysAway => "keys_away",
        }
    }
}

pub(crate) fn unauthenticated(message: &'static str) -> Error {
    let reason = ErrorReason::Unauthenticated.reason();
    Error::new(Code::Unauthenticated, lp_error::DOMAIN, reason, message)
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}
