//! The service's settings.

use clap::Args;
use lp_config::Common;

/// The settings of `svc-analytics serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// What every service has; it needs no more.
    #[command(flatten)]
    pub common: Common,
}
