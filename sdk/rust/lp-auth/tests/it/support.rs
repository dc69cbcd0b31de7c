//! An issuer that a test commands, and tokens of every kind. Signatures are made here by hand, so that
//! nothing is shared with the library that checks them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use lp_auth::{Identity, TokenSource, Verifier};
use lp_config::{Auth, Client};
use lp_error::{Code, Error};
use lp_telemetry::Metrics;
use lp_test::time::ManualClock;
use lp_types::{SystemIds, time::Ambient};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "localplus";
pub(crate) const MERCHANT: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b";
pub(crate) const CLIENT_SECRET: &str = "hunter2:with +signs/";

/// A key of the issuer.
pub(crate) struct Signer {
    id: &'static str,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn es256(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            id,
            pair: Pair::Ec(pair),
        }
    }

    pub(crate) fn eddsa(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self {
            id,
            pair: Pair::Ed(pair),
        }
    }

    pub(crate) fn rs256(id: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self {
            id,
            pair: Pair::Rsa(pair),
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// The public half, as the issuer shows it.
    pub(crate) fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.id, "use": "sig"})
            }
            Pair::Ed(pair) => {
                let x = encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "alg": "EdDSA"})
            }
            Pair::Rsa(pair) => {
                let n = encode(pair.public_key().modulus().big_endian_without_leading_zero());
                let e = encode(pair.public_key().exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": e, "kid": self.id, "alg": "RS256", "use": "sig"})
            }
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair) => pair
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token of `claims`.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({"typ": "at+jwt", "alg": self.algorithm(), "kid": self.id});
        self.token_with(&header, claims)
    }

    /// A token of any header; the signature is always of this key's kind.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |message| self.signature(message))
    }

    /// The attack: HMAC under what everybody knows.
    pub(crate) fn confused(&self, secret: &[u8], claims: &Value) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let header = json!({"alg": "HS256", "kid": self.id});
        signed(&header, claims, |message| {
            hmac::sign(&key, message).as_ref().to_vec()
        })
    }

    /// What everybody knows.
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}

pub(crate) fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// How the issuer answers.
#[derive(Clone)]
pub(crate) enum Mood {
    Well,
    /// 503.
    Away,
    /// No answer.
    Hangs,
    /// 200 and this body, on every path.
    Says(String),
    /// A redirect to where it would be well.
    Redirects,
}

#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    keys: Mutex<Vec<Value>>,
    mood: Mutex<Mood>,
    asked: AtomicU32,
    /// The last body and `authorization` at `/token`.
    grant: Mutex<(String, String)>,
    slow: AtomicBool,
}

impl Issuer {
    pub(crate) async fn start(signers: &[&Signer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            inner: Arc::new(Inner {
                keys: Mutex::default(),
                mood: Mutex::new(Mood::Well),
                asked: AtomicU32::new(0),
                grant: Mutex::default(),
                slow: AtomicBool::new(false),
            }),
        };
        issuer.show(signers);
        let app = Router::new()
            .route("/jwks.json", get(jwks))
            .route("/elsewhere", get(jwks))
            .route("/token", post(token))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    pub(crate) fn show(&self, signers: &[&Signer]) {
        self.show_raw(signers.iter().map(|s| s.jwk()).collect());
    }

    pub(crate) fn show_raw(&self, keys: Vec<Value>) {
        *self.inner.keys.lock().unwrap() = keys;
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    pub(crate) fn answers_slowly(&self) {
        self.inner.slow.store(true, Ordering::SeqCst);
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> u32 {
        self.inner.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn grant(&self) -> (String, String) {
        self.inner.grant.lock().unwrap().clone()
    }

    async fn answer(&self, well: impl FnOnce(u32) -> Value) -> Response {
        let number = self.inner.asked.fetch_add(1, Ordering::SeqCst) + 1;
        if self.inner.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mood = self.inner.mood.lock().unwrap().clone();
        match mood {
            Mood::Well => well(number).to_string().into_response(),
            Mood::Away => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Mood::Hangs => std::future::pending().await,
            Mood::Says(text) => text.into_response(),
            Mood::Redirects => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        }
    }
}

async fn jwks(State(issuer): State<Issuer>) -> Response {
    let keys = issuer.inner.keys.lock().unwrap().clone();
    issuer.answer(|_| json!({ "keys": keys })).await
}

async fn token(State(issuer): State<Issuer>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers[AUTHORIZATION].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    *issuer.inner.grant.lock().unwrap() = (body, authorization);
    issuer
        .answer(|number| {
            let token = format!("secret-token-{number}");
            json!({"access_token": token, "token_type": "bearer", "expires_in": 100})
        })
        .await
}

/// A verifier with its issuer and its clock.
pub(crate) struct Scene {
    pub(crate) issuer: Issuer,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) verifier: Verifier,
    pub(crate) tokens: TokenSource,
    pub(crate) metrics: Metrics,
    now: Timestamp,
}

impl Scene {
    pub(crate) async fn of(signers: &[&Signer]) -> Self {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let issuer = Issuer::start(signers).await;
        let clock = Arc::new(ManualClock::at(now));
        let ambient = Ambient {
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        };
        let metrics = Metrics::new();
        let config = Auth {
            auth_issuer: ISSUER.to_owned(),
            auth_audience: AUDIENCE.to_owned(),
            auth_jwks_url: format!("{}/jwks.json", issuer.url).parse().unwrap(),
        };
        let client = Client {
            auth_token_url: format!("{}/token", issuer.url).parse().unwrap(),
            auth_client_id: "svc-test".to_owned(),
            auth_client_secret: CLIENT_SECRET.to_owned().into(),
        };
        Self {
            verifier: Verifier::new(config, ambient.clone(), &metrics).unwrap(),
            tokens: TokenSource::new(client, ambient).unwrap(),
            issuer,
            clock,
            metrics,
            now,
        }
    }

    /// Good claims, with `changes` over them; a change to null removes.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let now = self.now.as_second();
        let mut claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "till-7",
            "iat": now,
            "nbf": now,
            "exp": now + 900,
            "scope": "ledger.accounts.read ledger.transactions.write",
            "merchant_id": MERCHANT,
        });
        let Value::Object(changes) = changes else {
            panic!("changes are an object")
        };
        for (name, value) in changes {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(&name);
            } else {
                claims[name] = value;
            }
        }
        claims
    }

    pub(crate) fn seconds(&self, from_start: i64) -> i64 {
        self.now.as_second() + from_start
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub(crate) async fn good(&self, token: &str) -> Identity {
        self.verifier.verify(token).await.unwrap()
    }

    pub(crate) async fn refused(&self, token: &str) -> Code {
        refusal(&self.verifier, token).await.code()
    }

    /// How often a verification ended in `outcome`.
    pub(crate) fn count(&self, metric: &str, outcome: &str) -> u32 {
        let text = self.metrics.render().unwrap();
        let line = format!("{metric}_total{{outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|l| l.strip_prefix(line.as_str()));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// The refusal of `token`, of which nothing is told.
pub(crate) async fn refusal(verifier: &Verifier, token: &str) -> Error {
    let error = verifier.verify(token).await.unwrap_err();
    let said = format!("{error} {error:?} {verifier:?}");
    for piece in token.as_bytes().windows(10) {
        let piece = String::from_utf8_lossy(piece);
        assert!(!said.contains(&*piece), "{piece} of the token stands in: {said}");
    }
    error
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come");
}
