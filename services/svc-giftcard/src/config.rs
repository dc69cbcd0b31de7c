//! The service's settings.

use clap::Args;
use lp_config::{Client, Common};
use secrecy::SecretString;
use url::Url;

/// The settings of `svc-giftcard serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub common: Common,
    /// Its own token, for calls to other services.
    #[command(flatten)]
    pub client: Client,
    /// Where svc-ledger serves gRPC.
    #[arg(long, env = "SVC_LEDGER_URL")]
    pub svc_ledger_url: Url,
    /// Where svc-merchant serves gRPC.
    #[arg(long, env = "SVC_MERCHANT_URL")]
    pub svc_merchant_url: Url,
    /// Finds a card by its code, secret: base64 of 32 bytes. Without it no card can be spent.
    // Parsed where the service is built: clap would print what it refuses.
    #[arg(long, env = "CARD_CODE_KEY", hide_env_values = true)]
    pub card_code_key: SecretString,
    /// Derives codes and PINs from card ids, secret: base64 of 32 bytes. It never changes.
    #[arg(long, env = "CARD_SECRET_KEY", hide_env_values = true)]
    pub card_secret_key: SecretString,
}
