//! The issuer's public keys.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use lp_config::Auth;
use lp_telemetry::Counter;
use moka::sync::Cache;
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use crate::{issuer, kept::Fetch, verify::Verified};

/// Verified tokens that are remembered at once: some MB, and more callers than one process has.
const MAX_VERIFIED: u64 = 10_000;

/// A key, and what a token signed with it must say.
pub(crate) struct Key {
    pub(crate) decoding: DecodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) validation: Validation,
}

/// The keys of one fetch, and the tokens verified with them: forgotten together, so that a token does not
/// outlive the key that signed it.
pub(crate) struct KeySet {
    pub(crate) by_id: HashMap<String, Key>,
    pub(crate) fetched: Timestamp,
    /// By SHA-256 of the token.
    pub(crate) verified: Cache<[u8; 32], Arc<Verified>>,
}

/// Fetches the keys.
pub(crate) struct Jwks {
    http: Client,
    url: Url,
    issuer: String,
    audience: String,
    refreshes: Counter,
}

/// RFC 7517, 5. Each key by itself, since one that we do not understand must not hide the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    pub(crate) fn new(config: Auth, refreshes: Counter) -> lp_error::Result<Self> {
        Ok(Self {
            http: issuer::client()?,
            url: config.auth_jwks_url,
            issuer: config.auth_issuer,
            audience: config.auth_audience,
            refreshes,
        })
    }

    async fn key_set(&self, now: Timestamp) -> Result<KeySet, String> {
        let body = issuer::body_of(self.http.get(self.url.clone())).await?;
        let document: Document =
            serde_json::from_slice(&body).map_err(|_| "the issuer's keys are not a JWKS")?;
        let keys = document.keys.into_iter().filter_map(|key| self.key(key));
        let by_id: HashMap<_, _> = keys.collect();
        if by_id.is_empty() {
            return Err("the issuer has no key that we can use".to_owned());
        }
        Ok(KeySet {
            by_id,
            fetched: now,
            verified: Cache::new(MAX_VERIFIED),
        })
    }

    /// The key and its id; `None` for what is not a signing key of a kind that we know.
    fn key(&self, key: serde_json::Value) -> Option<(String, Key)> {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        // The kind of key decides the algorithm, never the token.
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            _ => return None,
        };
        let common = &jwk.common;
        if common.key_algorithm.is_some_and(|named| named != name)
            || common
                .public_key_use
                .as_ref()
                .is_some_and(|named| *named != PublicKeyUse::Signature)
        {
            return None;
        }
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        // By the machine's clock; ours is injected: see `Window`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let key = Key {
            decoding: DecodingKey::from_jwk(&jwk).ok()?,
            algorithm,
            validation,
        };
        Some((jwk.common.key_id?, key))
    }
}

impl Fetch for Jwks {
    type Value = KeySet;

    const SPACING: SignedDuration = SignedDuration::from_secs(5);

    async fn fetch(&self, now: Timestamp) -> Result<KeySet, String> {
        let fetched = self.key_set(now).await;
        let outcome = if fetched.is_ok() { "ok" } else { "failed" };
        self.refreshes.add(1, &[("outcome", outcome)]);
        fetched
    }
}
