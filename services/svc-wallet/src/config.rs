//! The service's settings.

use clap::Args;
use lp_config::{Client, Common, Valkey};
use url::Url;

/// The settings of `svc-wallet serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub common: Common,
    /// Its own token, for calls to other services.
    #[command(flatten)]
    pub client: Client,
    /// The shared level of the balance cache.
    #[command(flatten)]
    pub valkey: Valkey,
    /// Where svc-ledger serves gRPC.
    #[arg(long, env = "SVC_LEDGER_URL")]
    pub svc_ledger_url: Url,
}
