//! A small issuer of tokens, for a laptop only. It knows its clients from its environment, holds its signing
//! key in a file and speaks plain HTTP. A real fleet has a real issuer, and the services do not notice: they
//! know `AUTH_ISSUER`, `AUTH_JWKS_URL` and `AUTH_TOKEN_URL` only.
//!
//! | variable | meaning |
//! |---|---|
//! | `ISSUER_ADDR` | address to listen on, host:port |
//! | `ISSUER_URL` | the `iss` of tokens, and where clients reach this process |
//! | `ISSUER_FOLDER` | holds the signing key, made on the first start |
//! | `ISSUER_AUDIENCE` | the `aud` of tokens; `localplus` when absent |
//! | `ISSUER_CLIENTS` | JSON: client id → `{"secret", "sub", "scopes", "merchant_id"?, "any_merchant"?}` |
//!
//! `POST /token` is the grant of client credentials (RFC 6749, 4.4) with HTTP basic authentication. A client
//! with `any_merchant` may name the token's merchant in the form field `merchant_id`; `scope` asks for less
//! than the client has. Tests: `tests/issuer.rs`.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{
    Form, Json, Router,
    extract::{State, rejection::FormRejection},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use lp_types::{Actor, MerchantId, time::Ambient};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use url::form_urlencoded;

/// The life of a token, in seconds.
const LIFE: i64 = 15 * 60;

/// Who may ask for tokens, and for which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    secret: String,
    sub: Actor,
    scopes: BTreeSet<String>,
    merchant_id: Option<MerchantId>,
    /// May name the merchant when it asks.
    #[serde(default)]
    any_merchant: bool,
}

struct Issuer {
    url: String,
    audience: String,
    clients: HashMap<String, Client>,
    key: EncodingKey,
    jwk: Jwk,
    ambient: Ambient,
}

/// The form of a token request. Fields that are not known are ignored, as the RFC wants.
#[derive(Deserialize)]
struct Request {
    grant_type: Option<String>,
    scope: Option<String>,
    merchant_id: Option<String>,
}

/// RFC 6749, 5.2: `error` and `error_description`.
struct Refusal(&'static str, &'static str);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let issuer = Issuer::from_environment()?;
    let listener = TcpListener::bind(variable("ISSUER_ADDR")?)
        .await
        .context("ISSUER_ADDR")?;
    println!("issuer listens on {}", listener.local_addr()?);
    let app = Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/jwks.json", get(jwks))
        .route("/token", post(token))
        .route("/healthz/ready", get(|| async { "ready" }))
        .with_state(Arc::new(issuer));
    // At once: nothing here is worth finishing.
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

fn variable(name: &'static str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

impl Issuer {
    fn from_environment() -> anyhow::Result<Self> {
        // What serde would say may quote a secret.
        let clients = serde_json::from_str(&variable("ISSUER_CLIENTS")?)
            .map_err(|e| anyhow::anyhow!("ISSUER_CLIENTS is wrong at column {}", e.column()))?;
        let key = signing_key(Path::new(&variable("ISSUER_FOLDER")?)).context("ISSUER_FOLDER")?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            url: variable("ISSUER_URL")?,
            audience: std::env::var("ISSUER_AUDIENCE").unwrap_or_else(|_| "localplus".to_owned()),
            clients,
            key,
            jwk,
            ambient: Ambient::system(),
        })
    }

    fn issue(&self, headers: &HeaderMap, request: Request) -> Result<Value, Refusal> {
        let (id, client) = self
            .client(headers)
            .ok_or(Refusal("invalid_client", "unknown client or wrong secret"))?;
        match request.grant_type.as_deref() {
            Some("client_credentials") => {}
            None | Some("") => return Err(Refusal("invalid_request", "grant_type is missing")),
            Some(_) => return Err(Refusal("unsupported_grant_type", "use client_credentials")),
        }
        let scope = client.scope(request.scope)?;
        let merchant = client.merchant(request.merchant_id)?;
        let now = self.ambient.clock.now().as_second();
        let mut claims = json!({
            "iss": self.url,
            "aud": self.audience,
            "sub": client.sub,
            "client_id": id,
            "jti": self.ambient.ids.uuid(),
            "iat": now,
            "exp": now.saturating_add(LIFE),
            "scope": scope,
        });
        if let (Some(merchant), Some(claims)) = (merchant, claims.as_object_mut()) {
            claims.insert("merchant_id".to_owned(), json!(merchant));
        }
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid.clone_from(&self.jwk.common.key_id);
        let token = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| Refusal("server_error", "the token could not be signed"))?;
        Ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFE, "scope": scope}))
    }

    /// The client that proves itself in `authorization` (RFC 6749, 2.3.1).
    fn client(&self, headers: &HeaderMap) -> Option<(String, &Client)> {
        let encoded = headers
            .get(AUTHORIZATION)?
            .to_str()
            .ok()?
            .strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        let (id, secret) = (form_decoded(id), form_decoded(secret));
        let client = self.clients.get(&id)?;
        verify_slices_are_equal(client.secret.as_bytes(), secret.as_bytes()).ok()?;
        Some((id, client))
    }
}

impl Client {
    /// What is asked for, or all that the client has.
    fn scope(&self, asked: Option<String>) -> Result<String, Refusal> {
        let asked = asked.unwrap_or_default();
        let asked: BTreeSet<_> = asked.split_ascii_whitespace().collect();
        if !asked.iter().all(|scope| self.scopes.contains(*scope)) {
            return Err(Refusal("invalid_scope", "the client does not have this scope"));
        }
        let granted: Vec<_> = if asked.is_empty() {
            self.scopes.iter().map(String::as_str).collect()
        } else {
            asked.into_iter().collect()
        };
        Ok(granted.join(" "))
    }

    /// The client's own merchant, or the one that it may name.
    fn merchant(&self, asked: Option<String>) -> Result<Option<MerchantId>, Refusal> {
        let Some(asked) = asked.filter(|text| !text.is_empty()) else {
            return Ok(self.merchant_id);
        };
        let asked = MerchantId::try_from(asked)
            .map_err(|_| Refusal("invalid_request", "merchant_id is not a merchant's id"))?;
        if self.any_merchant || self.merchant_id == Some(asked) {
            Ok(Some(asked))
        } else {
            Err(Refusal(
                "unauthorized_client",
                "the client may not name this merchant",
            ))
        }
    }
}

fn form_decoded(text: &str) -> String {
    let form = format!("v={text}");
    let value = form_urlencoded::parse(form.as_bytes()).next();
    value.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The key in `folder`, made when there is none.
fn signing_key(folder: &Path) -> anyhow::Result<EncodingKey> {
    let file = folder.join("signing-key.pkcs8");
    let der = match fs::read(&file) {
        Ok(der) => der,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| anyhow::anyhow!("no key could be made"))?;
            fs::create_dir_all(folder)?;
            // Under another name first: a start that is interrupted leaves no half key.
            let unfinished = folder.join(format!("signing-key.{}", std::process::id()));
            let mut options = fs::OpenOptions::new();
            let mut writer = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unfinished)?;
            writer.write_all(made.as_ref())?;
            writer.sync_all()?;
            fs::rename(&unfinished, &file)?;
            made.as_ref().to_vec()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(EncodingKey::from_ec_der(&der))
}

async fn configuration(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let url = &issuer.url;
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks.json"),
        "token_endpoint": format!("{url}/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
    }))
}

async fn jwks(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(json!({ "keys": [issuer.jwk] }))
}

async fn token(
    State(issuer): State<Arc<Issuer>>,
    headers: HeaderMap,
    form: Result<Form<Request>, FormRejection>,
) -> Response {
    let issued = form
        .map_err(|_| Refusal("invalid_request", "the body is not a form with each field once"))
        .and_then(|Form(request)| issuer.issue(&headers, request));
    match issued {
        Ok(answer) => ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error, description) = self;
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = Json(json!({"error": error, "error_description": description}));
        let mut response = (status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = "Basic realm=\"issuer\"".parse();
            response
                .headers_mut()
                .extend(challenge.map(|c| (WWW_AUTHENTICATE, c)));
        }
        response
    }
}
