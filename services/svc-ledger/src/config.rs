//! The service's settings.

use clap::Args;
use lp_config::Common;

/// The settings of `svc-ledger serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub common: Common,
}
