//! The mail that arrived, as the catcher's REST API tells it.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

/// A person's address in a header.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    /// The address.
    pub address: String,
}

/// A message that arrived.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Its subject.
    pub subject: String,
    /// Its receivers.
    pub to: Vec<Address>,
    /// Its plain text.
    pub text: String,
    /// Its `Message-ID`.
    #[serde(default)]
    pub message_id: String,
}

/// Every message to `address` so far.
pub async fn received(api_url: &str, address: &str) -> Vec<Mail> {
    let all: Vec<Mail> = reqwest::get(format!("{api_url}/email"))
        .await
        .expect("the mail catcher answers")
        .json()
        .await
        .expect("the mail catcher's JSON");
    all.into_iter()
        .filter(|m| m.to.iter().any(|a| a.address.eq_ignore_ascii_case(address)))
        .collect()
}

/// Waits until `count` messages to `address` have arrived.
pub async fn wait_for(api_url: &str, address: &str, count: usize) -> Vec<Mail> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mails = received(api_url, address).await;
        if mails.len() >= count {
            return mails;
        }
        assert!(
            Instant::now() < end,
            "{} of {count} mails to {address} arrived within 20 s",
            mails.len()
        );
        sleep(Duration::from_millis(50)).await;
    }
}
