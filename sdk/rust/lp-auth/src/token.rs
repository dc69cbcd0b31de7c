//! Our own token, for calls to other services.

use std::{fmt, sync::Arc};

use http::{HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use lp_config::Client;
use lp_error::{Error, Result};
use lp_types::{Clock, time::Ambient};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::form_urlencoded::{self, byte_serialize};

use crate::{
    issuer,
    kept::{Fetch, Kept},
};

/// The life of a token whose issuer does not say (`expires_in` is only recommended), in seconds.
const LIFE_UNSAID: u32 = 60;

/// Gives our own token; clones share it.
#[derive(Clone)]
pub struct TokenSource(Arc<Shared>);

struct Shared {
    token: Kept<Grant>,
    clock: Arc<dyn Clock>,
}

/// The grant of client credentials (RFC 6749, 4.4).
struct Grant {
    http: reqwest::Client,
    config: Client,
    form: String,
}

struct Token {
    /// `Bearer …`, marked as sensitive.
    authorization: HeaderValue,
    refresh_from: Timestamp,
    until: Timestamp,
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<u32>,
}

impl TokenSource {
    /// Asks as `config` says. Fetches nothing yet: a service starts without its issuer.
    ///
    /// # Errors
    /// INTERNAL when the process cannot speak HTTPS.
    pub fn new(config: Client, ambient: Ambient) -> Result<Self> {
        Self::asking(config, &[], ambient)
    }

    /// As [`TokenSource::new`], with parameters that the issuer knows beyond those of the grant (RFC 6749, 8.2).
    ///
    /// # Errors
    /// As [`TokenSource::new`].
    pub fn asking(config: Client, parameters: &[(&str, &str)], ambient: Ambient) -> Result<Self> {
        let mut form = form_urlencoded::Serializer::new("grant_type=client_credentials".to_owned());
        let grant = Grant {
            http: issuer::client()?,
            config,
            form: form.extend_pairs(parameters).finish(),
        };
        Ok(Self(Arc::new(Shared {
            token: Kept::new(grant, Arc::clone(&ambient.clock)),
            clock: ambient.clock,
        })))
    }

    /// The value of `authorization` for a call that is made now. It prints as `Sensitive`.
    ///
    /// # Errors
    /// DEPENDENCY_UNAVAILABLE when there is no valid token and the issuer gives none.
    pub async fn bearer(&self) -> Result<HeaderValue> {
        if let Some(token) = self.valid() {
            if self.0.clock.now() >= token.refresh_from {
                self.0.token.refresh_in_background();
            }
            return Ok(token.authorization.clone());
        }
        self.0.token.refresh().await;
        let token = self.valid().ok_or_else(|| {
            let failure = self.0.token.failure();
            Error::unavailable("the token issuer").with_internal(failure.unwrap_or_default())
        })?;
        Ok(token.authorization.clone())
    }

    /// Gives `bearer` to nobody again: somebody refused it, though its time is not over. The issuer may have
    /// withdrawn the key that signed it.
    pub fn withdraw(&self, bearer: &HeaderValue) {
        self.0.token.forget(|token| token.authorization == *bearer);
    }

    fn valid(&self) -> Option<Arc<Token>> {
        self.0
            .token
            .get()
            .filter(|token| self.0.clock.now() < token.until)
    }
}

impl Fetch for Grant {
    type Value = Token;

    const SPACING: SignedDuration = SignedDuration::from_secs(1);

    async fn fetch(&self, now: Timestamp) -> Result<Token, String> {
        let config = &self.config;
        // RFC 6749, 2.3.1: both as in a form, then as in HTTP basic authentication.
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let request = self
            .http
            .post(config.auth_token_url.clone())
            .basic_auth(
                encoded(&config.auth_client_id),
                Some(encoded(config.auth_client_secret.expose_secret())),
            )
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form.clone());
        let body = issuer::body_of(request).await?;
        // What serde would say may quote the token.
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| "the issuer's answer is no token")?;
        token(&answer, now).ok_or_else(|| "the issuer's token cannot be used".to_owned())
    }
}

fn token(answer: &Answer, now: Timestamp) -> Option<Token> {
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = format!("Bearer {}", answer.access_token.expose_secret());
    let mut authorization = HeaderValue::try_from(value).ok()?;
    authorization.set_sensitive(true);
    let life = SignedDuration::from_secs(answer.expires_in.unwrap_or(LIFE_UNSAID).into());
    Some(Token {
        authorization,
        refresh_from: now.checked_add(life * 4 / 5).ok()?,
        until: now.checked_add(life).ok()?,
    })
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}
