//! An issuer of tokens, one a test process: it publishes one key, and gives tokens to services of ours.
//!
//! Tokens for a test's own callers are made in place, without a request ([`token`], [`sign`]).

use std::{collections::BTreeSet, net::TcpListener, sync::LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{
    Json, Router,
    http::{HeaderMap, header::AUTHORIZATION},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use lp_auth::ACT_FOR_MERCHANTS;
use lp_config::{Auth, Client};
use lp_contracts::access::access_of;
use lp_types::{Clock as _, MerchantId, SystemClock};
use serde_json::{Value, json};

const AUDIENCE: &str = "localplus";
const KEY_ID: &str = "test";
/// Longer than any clock that a test moves goes.
const LIFE: i64 = 100 * 365 * 24 * 3_600;

static ISSUER: LazyLock<Issuer> = LazyLock::new(Issuer::start);
static SCOPES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let rpcs = lp_contracts::descriptors()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    rpcs.filter_map(|rpc| access_of(&rpc))
        .flat_map(|access| access.scopes)
        .collect()
});

struct Issuer {
    url: String,
    key: EncodingKey,
}

/// Whose tokens a service under test believes.
pub fn auth() -> Auth {
    let url = &ISSUER.url;
    Auth {
        auth_issuer: url.clone(),
        auth_audience: AUDIENCE.to_owned(),
        auth_jwks_url: format!("{url}/jwks.json").parse().expect("a URL"),
    }
}

/// How the service `name` gets its own token: one that acts for merchants, with every scope.
pub fn client(name: &str) -> Client {
    Client {
        auth_token_url: format!("{}/token", ISSUER.url).parse().expect("a URL"),
        auth_client_id: name.to_owned(),
        auth_client_secret: "test".to_owned().into(),
    }
}

/// Every scope that the contract names.
pub fn scopes() -> &'static BTreeSet<String> {
    &SCOPES
}

/// The token of `subject` with `scopes`, bound to `merchant`; without one it is the platform's, which acts for
/// merchants if [`ACT_FOR_MERCHANTS`] is among its scopes.
pub fn token<I>(subject: &str, merchant: Option<MerchantId>, scopes: I) -> String
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let scopes: Vec<_> = scopes.into_iter().map(|s| s.as_ref().to_owned()).collect();
    let mut claims = json!({
        "iss": ISSUER.url,
        "aud": AUDIENCE,
        "sub": subject,
        "exp": SystemClock.now().as_second() + LIFE,
        "scope": scopes.join(" "),
    });
    if let (Some(merchant), Some(claims)) = (merchant, claims.as_object_mut()) {
        claims.insert("merchant_id".to_owned(), json!(merchant));
    }
    sign(&claims)
}

/// Every scope of the contract, and the one to act for merchants.
pub fn platform_scopes() -> impl Iterator<Item = &'static str> {
    scopes().iter().map(String::as_str).chain([ACT_FOR_MERCHANTS])
}

/// The token of any claims.
pub fn sign(claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(KEY_ID.to_owned());
    jsonwebtoken::encode(&header, claims, &ISSUER.key).expect("claims that can be signed")
}

impl Issuer {
    /// Serves from a thread of its own: each test has its own runtime, and the first one's ends with it.
    fn start() -> Self {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(key.expect("a key").as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
        public.common.key_id = Some(KEY_ID.to_owned());
        let keys = json!({ "keys": [public] });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new()
            .route("/jwks.json", get(async move || Json(keys)))
            .route("/token", post(grant));
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                axum::serve(listener, app).await.expect("the issuer serves");
            });
        };
        std::thread::Builder::new()
            .name("issuer".to_owned())
            .spawn(serve)
            .expect("a thread");
        Self { url, key }
    }
}

/// The grant of client credentials, to whoever asks.
async fn grant(headers: HeaderMap) -> Json<Value> {
    let given = headers[AUTHORIZATION].to_str().expect("visible ASCII");
    let given = STANDARD
        .decode(given.strip_prefix("Basic ").expect("basic authentication"))
        .expect("base64");
    let given = String::from_utf8(given).expect("UTF-8");
    let (service, _secret) = given.split_once(':').expect("a secret");
    let token = token(service, None, platform_scopes());
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3_600}))
}
