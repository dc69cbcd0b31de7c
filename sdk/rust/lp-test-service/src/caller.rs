//! Who calls an instance, and how.

use std::{fmt, time::Duration};

use lp_auth::{ACTOR, MERCHANT};
use lp_types::MerchantId;
use serde_json::Value;
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::issuer;

/// Whom a merchant's token names.
const TILL: &str = "till-7";

/// Somebody with a token, at one instance. A service's own client holds one, and adds its rpcs.
#[derive(Clone)]
pub struct Caller {
    /// For whom.
    pub merchant: MerchantId,
    /// The way to the gRPC server, for generated clients; requests are made by [`Caller::request`].
    pub channel: Channel,
    /// For REST.
    pub http: reqwest::Client,
    /// Where REST is.
    pub base: String,
    /// How long the caller waits for an answer over gRPC; as long as it takes when absent.
    pub deadline: Option<Duration>,
    /// Who calls: the token, and for the platform's callers whom they act for.
    headers: Vec<(&'static str, String)>,
}

impl Caller {
    pub(crate) fn new(merchant: MerchantId, channel: Channel, http: reqwest::Client, base: String) -> Self {
        let nobody = Self {
            merchant,
            channel,
            http,
            base,
            deadline: None,
            headers: Vec::new(),
        };
        nobody.as_merchant(merchant)
    }

    /// The till of another merchant.
    #[must_use]
    pub fn as_merchant(&self, merchant: MerchantId) -> Self {
        let other = Self {
            merchant,
            ..self.clone()
        };
        other.with_scopes(issuer::scopes())
    }

    /// The same, with less patience.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }

    /// The merchant's own till, with these scopes and no other.
    #[must_use]
    pub fn with_scopes<I>(&self, scopes: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.with_token(&issuer::token(TILL, Some(self.merchant), scopes))
    }

    /// The platform's `actor`, who has every scope and acts for the merchant: the only one whom operators' rpcs
    /// are open to.
    #[must_use]
    pub fn as_operator(&self, actor: &str) -> Self {
        self.with_token(&issuer::token("console", None, issuer::platform_scopes()))
            .with_header(MERCHANT, &self.merchant.to_string())
            .with_header(ACTOR, actor)
    }

    /// With this token, and no header beside it.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            headers: vec![("authorization", format!("Bearer {token}"))],
            ..self.clone()
        }
    }

    /// Without any token.
    #[must_use]
    pub fn as_nobody(&self) -> Self {
        Self {
            headers: Vec::new(),
            ..self.clone()
        }
    }

    /// With one more header, over gRPC and REST.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.headers.push((name, value.to_owned()));
        changed
    }

    /// A request of this caller; an empty key is none.
    pub fn request<M>(&self, key: &str, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        let headers = request.metadata_mut();
        for (name, value) in &self.headers {
            let value: AsciiMetadataValue = value.parse().expect("visible ASCII");
            headers.append(*name, value);
        }
        if !key.is_empty() {
            headers.insert("idempotency-key", key.parse().expect("visible ASCII"));
        }
        request
    }

    /// A write over REST: status and answer.
    pub async fn post(&self, key: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        self.send(key, request).await
    }

    /// A read over REST: status and answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("", self.http.get(format!("{}{path}", self.base))).await
    }

    /// Any request over REST: status and answer, which is JSON.
    pub async fn send(&self, key: &str, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = self.signed(key, request).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// `request` as this caller's; an empty key is none.
    pub fn signed(&self, key: &str, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        request
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("merchant", &self.merchant)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
