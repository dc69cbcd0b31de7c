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
    patience: Duration,
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
            patience: PATIENCE,
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
        match timeout(self.patience, transport.send(message).instrument(span)).await {
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
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Says yes to everything, but on its first connection not to the end of a message.
    async fn talk(stream: TcpStream, first: bool) {
        let (from, mut to) = stream.into_split();
        let mut lines = BufReader::new(from).lines();
        let mut in_message = false;
        to.write_all(b"220 hello\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            in_message = in_message && line != "." || line == "DATA";
            let answer: &[u8] = match line.as_str() {
                "DATA" => b"354 go on\r\n",
                "." if first => b"",
                _ if in_message => b"",
                _ => b"250 yes\r\n",
            };
            to.write_all(answer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_that_did_not_answer_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: SecretUrl = format!("smtp://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, counted.fetch_add(1, Ordering::SeqCst) == 0));
            }
        });
        let mut mailer = Mailer::new(&url, "Points <points@example.com>".parse().unwrap()).unwrap();
        mailer.patience = Duration::from_millis(500);
        let send = async || {
            let id = "ntf_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap();
            let to = "marie@example.com".parse().unwrap();
            let content = Content {
                subject: "s".to_owned(),
                text: "t".to_owned(),
                html: "h".to_owned(),
            };
            mailer.send(id, &to, content, Timestamp::UNIX_EPOCH).await
        };
        assert_eq!(send().await, Err(MailError::TimedOut));
        assert_eq!((send().await, connections.load(Ordering::SeqCst)), (Ok(()), 2));
        // lettre puts a connection back in a task of its own.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            (send().await, connections.load(Ordering::SeqCst)),
            (Ok(()), 2),
            "a good one is"
        );
    }

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
