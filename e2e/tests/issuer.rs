//! The laptop's issuer as a process, and lp-auth against it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use lp_auth::{TokenSource, Verifier};
use lp_config::{Auth, Client};
use lp_telemetry::Metrics;
use lp_types::time::Ambient;
use reqwest::StatusCode;
use serde_json::{Value, json};

const ISS: &str = "http://issuer.test";
const MERCHANT: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b";
const OTHER: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3c";

struct Issuer {
    process: Child,
    url: String,
}

impl Issuer {
    fn start(folder: &Path) -> Self {
        let clients = json!({
            "till": {
                "secret": "s+1 &=", "sub": "till-7", "scopes": ["b.read", "a.write"], "merchant_id": MERCHANT,
            },
            "svc": {"secret": "s2", "sub": "svc-merchant", "scopes": ["platform.act-for-merchants"]},
            "demo": {"secret": "s3", "sub": "demo", "scopes": ["a.write"], "any_merchant": true},
        });
        let mut process = Command::new(env!("CARGO_BIN_EXE_issuer"))
            .env("ISSUER_ADDR", "127.0.0.1:0")
            .env("ISSUER_URL", ISS)
            .env("ISSUER_FOLDER", folder)
            .env("ISSUER_CLIENTS", clients.to_string())
            .env_remove("ISSUER_AUDIENCE")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("issuer listens on ").unwrap();
        Self {
            url: format!("http://{address}"),
            process,
        }
    }

    fn verifier(&self) -> Verifier {
        let config = Auth {
            auth_issuer: ISS.to_owned(),
            auth_audience: "localplus".to_owned(),
            auth_jwks_url: format!("{}/jwks.json", self.url).parse().unwrap(),
        };
        Verifier::new(config, Ambient::system(), &Metrics::new()).unwrap()
    }

    fn tokens(&self, id: &str, secret: &str) -> TokenSource {
        let config = Client {
            auth_token_url: format!("{}/token", self.url).parse().unwrap(),
            auth_client_id: id.to_owned(),
            auth_client_secret: secret.to_owned().into(),
        };
        TokenSource::new(config, Ambient::system()).unwrap()
    }

    async fn ask(&self, client: (&str, &str), form: &str) -> (StatusCode, Value) {
        let response = reqwest::Client::new()
            .post(format!("{}/token", self.url))
            .basic_auth(client.0, Some(client.1))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
            .send()
            .await
            .unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn token(&self, client: (&str, &str), form: &str) -> String {
        let (status, answer) = self.ask(client, form).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_token_of_the_source_is_believed_by_the_verifier() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(folder.path());
    let verifier = issuer.verifier();
    let bearer = issuer.tokens("till", "s+1 &=").bearer().await.unwrap();
    let token = bearer.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let identity = verifier.verify(token).await.unwrap();
    assert_eq!(identity.actor().as_str(), "till-7");
    assert_eq!(
        identity.merchant().map(|m| m.to_string()).as_deref(),
        Some(MERCHANT)
    );
    assert!(identity.has_scope("a.write") && identity.has_scope("b.read"));

    let grant = "grant_type=client_credentials";
    let form = format!("{grant}&scope=b.read");
    let narrow = issuer.token(("till", "s%2B1+%26%3D"), &form).await;
    let narrow = verifier.verify(&narrow).await.unwrap();
    assert!(narrow.has_scope("b.read") && !narrow.has_scope("a.write"));
    let form = format!("{grant}&merchant_id={OTHER}");
    let named = issuer.token(("demo", "s3"), &form).await;
    let named = verifier.verify(&named).await.unwrap();
    assert_eq!(named.merchant().map(|m| m.to_string()).as_deref(), Some(OTHER));
    let service = verifier
        .verify(&issuer.token(("svc", "s2"), grant).await)
        .await
        .unwrap();
    assert_eq!(service.merchant(), None);

    let wrong = issuer.tokens("till", "no").bearer().await.unwrap_err();
    assert_eq!(wrong.reason(), "DEPENDENCY_UNAVAILABLE");
}

#[tokio::test]
async fn refusals_are_as_the_rfc_says() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(folder.path());
    let svc = ("svc", "s2");
    let grant = "grant_type=client_credentials";
    let with = |field: &str| format!("{grant}&{field}");
    for (client, form, status, error) in [
        (("svc", "s3"), grant.to_owned(), 401, "invalid_client"),
        (("nobody", "s2"), grant.to_owned(), 401, "invalid_client"),
        (svc, String::new(), 400, "invalid_request"),
        (svc, with(grant), 400, "invalid_request"),
        (
            svc,
            "grant_type=password".to_owned(),
            400,
            "unsupported_grant_type",
        ),
        (svc, with("scope=a.write"), 400, "invalid_scope"),
        (svc, with("merchant_id=acme"), 400, "invalid_request"),
        (
            svc,
            with(&format!("merchant_id={OTHER}")),
            400,
            "unauthorized_client",
        ),
        (
            ("till", "s%2B1+%26%3D"),
            with(&format!("merchant_id={OTHER}")),
            400,
            "unauthorized_client",
        ),
    ] {
        let (got, answer) = issuer.ask(client, &form).await;
        assert_eq!(
            (got.as_u16(), &answer["error"]),
            (status, &json!(error)),
            "{form}"
        );
    }
}

#[tokio::test]
async fn the_key_stays_and_sigterm_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Issuer::start(folder.path());
    let token = first.token(("svc", "s2"), "grant_type=client_credentials").await;
    let key = std::fs::metadata(folder.path().join("signing-key.pkcs8")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let pid = first.process.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(first.process.wait().unwrap().success());

    let second = Issuer::start(folder.path());
    second.verifier().verify(&token).await.unwrap();
    let get = |path: &str| reqwest::get(format!("{}{path}", second.url));
    let configuration: Value = get("/.well-known/openid-configuration")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(configuration["jwks_uri"], format!("{ISS}/jwks.json"));
    assert_eq!(get("/healthz/ready").await.unwrap().status(), StatusCode::OK);
    let keys = get("/jwks.json").await.unwrap().text().await.unwrap();
    assert!(!keys.contains("\"d\""), "the private half stays inside: {keys}");
}
