//! E-mail over SMTP.

use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::AddressError,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{AsyncSmtpTransportBuilder, PoolConfig},
};
use lp_config::SecretUrl;
use lp_types::NotificationId;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::infrastructure::templates::Content;

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time to hand one message over, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a customer gets e-mail. It does not print.
#[derive(Clone)]
pub struct EmailAddress(Address);

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress")
    }
}

/// Why a message was not taken. A server's own words stay unread: they tend to repeat the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The message itself.
    #[error("the message cannot be written")]
    Unwritable,
    /// No answer in time; the message may have been taken.
    #[error("the mail server did not answer in time")]
    TimedOut,
    /// It said no, with this code.
    #[error("the mail server answered {0}")]
    Refused(String),
    /// It does not speak as we need.
    #[error("the mail server does not support what the message needs")]
    Unsupported,
    /// It cannot be reached.
    #[error("the mail server cannot be reached")]
    Unreachable,
}

impl From<lettre::transport::smtp::Error> for MailError {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        match error.status() {
            Some(code) => Self::Refused(code.to_string()),
            None if error.is_client() => Self::Unsupported,
            None => Self::Unreachable,
        }
    }
}

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Hands messages to one mail server.
pub struct Mailer {
    settings: AsyncSmtpTransportBuilder,
    from: Mailbox,
    /// One connection each. lettre returns a connection to its pool even when the send that held it was cancelled
    /// half-way; whoever got it next would write into that message and read its answers. So a transport comes back
    /// here only after a send that ended well, and is dropped otherwise.
    idle: Mutex<Vec<Transport>>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").finish_non_exhaustive()
    }
}

impl Mailer {
    /// Sends as `from` by the server at `url`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one of SMTP.
    pub fn new(url: &SecretUrl, from: Mailbox) -> anyhow::Result<Self> {
        let settings = Transport::from_url(url.expose())
            .map_err(|_| {
                anyhow::anyhow!("SMTP_URL: {url} is not smtp://[user:password@]host:port or smtps://")
            })?
            .timeout(Some(CONNECT))
            .pool_config(PoolConfig::new().max_size(1));
        Ok(Self {
            settings,
            from,
            idle: Mutex::default(),
        })
    }

    /// Sends `content` to `to`. The Message-ID is made from the notification's id, the same at every attempt: when
    /// we crash between the server's acceptance and our commit, the message that is sent again has the same one,
    /// and mail systems treat the two as one.
    ///
    /// # Errors
    /// When the server did not say that it took the message.
    pub async fn send(
        &self,
        id: NotificationId,
        to: &EmailAddress,
        content: Content,
        at: Timestamp,
    ) -> Result<(), MailError> {
        let message = self
            .message(id, to, content, at)
            .map_err(|_| MailError::Unwritable)?;
        let idle = self.idle().pop();
        let transport = idle.unwrap_or_else(|| self.settings.clone().build());
        let span = tracing::info_span!("send", otel.name = "SMTP send", otel.kind = "client");
        match timeout(PATIENCE, transport.send(message).instrument(span)).await {
            Ok(Ok(_taken)) => {
                self.idle().push(transport);
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(MailError::TimedOut),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Transport>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(
        &self,
        id: NotificationId,
        to: &EmailAddress,
        content: Content,
        at: Timestamp,
    ) -> Result<Message, lettre::error::Error> {
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.0.clone()))
            .subject(content.subject)
            .date(at.into())
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // RFC 3834: no answering machine replies to it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(MultiPart::alternative_plain_html(content.text, content.html))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_does_not_print() {
        let address: EmailAddress = "marie@example.com".parse().unwrap();
        assert_eq!(format!("{address:?}"), "EmailAddress");
        assert!(
            !"marie at example.com"
                .parse::<EmailAddress>()
                .unwrap_err()
                .to_string()
                .contains("marie")
        );
    }

    #[test]
    fn a_url_that_is_none_of_smtp_is_refused_without_its_password() {
        let url: SecretUrl = "ftp://user:hunter2@host:25".parse().unwrap();
        let error = Mailer::new(&url, "Points <points@example.com>".parse().unwrap()).unwrap_err();
        let text = format!("{error:#} {error:?}");
        assert!(text.contains("SMTP_URL") && !text.contains("hunter2"), "{text}");
    }
}
