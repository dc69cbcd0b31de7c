//! The service's settings.

use clap::Args;
use lettre::message::Mailbox;
use lp_config::{Client, Common, SecretUrl};
use url::Url;

/// The settings of `svc-notification serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub common: Common,
    /// Its own token, for calls to other services.
    #[command(flatten)]
    pub client: Client,
    /// Where svc-wallet serves gRPC.
    #[arg(long, env = "SVC_WALLET_URL")]
    pub svc_wallet_url: Url,
    /// The mail server: smtp://[user:password@]host:port, or smtps:// for TLS from the first byte; smtp:// with
    /// ?tls=required for STARTTLS.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: SecretUrl,
    /// The sender, as e-mails show it: `Name <address>`.
    #[arg(long, env = "MAIL_FROM")]
    pub mail_from: Mailbox,
}
