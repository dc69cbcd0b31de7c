//! The service's settings.

use clap::Args;
use lp_config::{Client, Common};
use url::Url;

/// The settings of `svc-merchant serve`.
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
    /// Where svc-wallet serves gRPC.
    #[arg(long, env = "SVC_WALLET_URL")]
    pub svc_wallet_url: Url,
    /// Where svc-giftcard serves gRPC.
    #[arg(long, env = "SVC_GIFTCARD_URL")]
    pub svc_giftcard_url: Url,
}
