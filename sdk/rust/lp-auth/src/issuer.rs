//! What is asked of the issuer over HTTP: bounded in time and size, and nowhere else than configured.

use std::time::Duration;

use lp_error::{Error, Result};
use reqwest::{Client, RequestBuilder, redirect::Policy};

/// The longest answer that is read.
const MAX_BODY: usize = 256 << 10;

/// A client that follows no redirect: the configuration names the issuer, not its answers.
pub(crate) fn client() -> Result<Client> {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(3))
        .build()
        .map_err(Error::internal)
}

/// The body of a 200 answer; otherwise what went wrong, for the log, without anything that was sent.
pub(crate) async fn body_of(request: RequestBuilder) -> std::result::Result<Vec<u8>, String> {
    let mut response = request.send().await.map_err(why)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("the issuer answered {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(why)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(format!("the issuer's answer is longer than {MAX_BODY} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error and its causes; without the URL, which may hold a password.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
