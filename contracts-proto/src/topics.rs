//! The Kafka topics, as `topics.yaml` declares them.

use serde::Deserialize;

/// The file itself.
const YAML: &str = include_str!("../topics.yaml");

/// The transactions of the ledger.
pub const LEDGER_TRANSACTIONS: &str = "ledger.transactions.v1";
/// The merchants that became active.
pub const MERCHANT_ONBOARDED: &str = "merchant.onboarded.v1";
/// The balances of wallets.
pub const WALLET_BALANCE_UPDATED: &str = "wallet.balance-updated.v1";

/// One topic.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name, without any prefix.
    pub name: String,
    /// The service that publishes to it, for example `svc-ledger`.
    pub owner: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How long its records stay.
    pub retention_days: i64,
    /// What its records' key is.
    pub key: String,
    /// The payload's message, fully qualified.
    pub schema: String,
}

/// Why `topics.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("topics.yaml: {0}")]
pub struct TopicsError(#[from] serde_yaml_ng::Error);

/// Every topic.
///
/// # Errors
/// When the embedded file is malformed, which a test rules out.
pub fn all() -> Result<Vec<Topic>, TopicsError> {
    Ok(serde_yaml_ng::from_str(YAML)?)
}

/// The topics that `owner` publishes to.
///
/// # Errors
/// As [`all`].
pub fn owned_by(owner: &str) -> Result<Vec<Topic>, TopicsError> {
    Ok(all()?.into_iter().filter(|t| t.owner == owner).collect())
}
