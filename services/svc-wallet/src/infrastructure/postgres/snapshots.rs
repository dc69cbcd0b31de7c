//! Rows of `balance_snapshots`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_cache::{Version, Versioned};
use lp_types::{AccountId, AssetCode, CustomerId, MerchantId, WalletId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::corrupt;

/// What an account held after one of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The account.
    pub account: AccountId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// What it holds.
    pub asset: AssetCode,
    /// After which entry, in which life of the ledger.
    pub version: (i64, i64),
    /// How much, minor units.
    pub balance: i64,
    /// When that entry was posted.
    pub posted_at: Timestamp,
}

/// What a wallet holds, as caches keep it and readers get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletBalance {
    /// The wallet.
    pub wallet: WalletId,
    /// Whose customer's it is.
    pub merchant: MerchantId,
    /// Who holds it.
    pub customer: CustomerId,
    /// Its ledger account; none while it is being opened.
    pub account: Option<AccountId>,
    /// What it holds.
    pub asset: AssetCode,
    /// How much, minor units.
    pub balance: i64,
    /// Which life of the ledger.
    pub epoch: i64,
    /// After which entry of the account; 0 before the first.
    pub sequence: i64,
    /// When that entry was posted; none before the first.
    pub posted_at: Option<Timestamp>,
}

impl Versioned for WalletBalance {
    fn version(&self) -> Version {
        Version {
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }
}

/// Moves a snapshot upwards; false when what stands there is as new or newer.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn raise(connection: &mut PgConnection, snapshot: &Snapshot) -> lp_pg::Result<bool> {
    let raised = sqlx::query!(
        "INSERT INTO balance_snapshots AS s (account_id, merchant_id, asset_code, epoch, sequence, balance, posted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account_id) DO UPDATE
         SET epoch = EXCLUDED.epoch, sequence = EXCLUDED.sequence, balance = EXCLUDED.balance,
             posted_at = EXCLUDED.posted_at
         WHERE (s.epoch, s.sequence) < (EXCLUDED.epoch, EXCLUDED.sequence)",
        snapshot.account.uuid(),
        snapshot.merchant.uuid(),
        snapshot.asset.as_str(),
        snapshot.version.0,
        snapshot.version.1,
        snapshot.balance,
        snapshot.posted_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(raised.rows_affected() == 1)
}

struct Row {
    wallet_id: Uuid,
    merchant_id: Uuid,
    customer_id: Uuid,
    account_id: Option<Uuid>,
    asset_code: String,
    balance: i64,
    epoch: i64,
    sequence: i64,
    posted_at: Option<jiff_sqlx::Timestamp>,
}

impl Row {
    fn into_balance(self) -> lp_pg::Result<WalletBalance> {
        Ok(WalletBalance {
            wallet: WalletId::from_uuid(self.wallet_id),
            merchant: MerchantId::from_uuid(self.merchant_id),
            customer: CustomerId::from_uuid(self.customer_id),
            account: self.account_id.map(AccountId::from_uuid),
            asset: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            balance: self.balance,
            epoch: self.epoch,
            sequence: self.sequence,
            posted_at: self.posted_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// What a wallet holds, whoever's it is: the caller is checked by whom it concerns.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_wallet(
    connection: &mut PgConnection,
    wallet: WalletId,
) -> lp_pg::Result<Option<WalletBalance>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT w.wallet_id, w.merchant_id, w.customer_id, w.account_id, w.asset_code,
                  coalesce(s.balance, 0) AS "balance!", coalesce(s.epoch, 0) AS "epoch!",
                  coalesce(s.sequence, 0) AS "sequence!", s.posted_at AS "posted_at?"
           FROM wallets w LEFT JOIN balance_snapshots s USING (account_id) WHERE w.wallet_id = $1"#,
        wallet.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_balance).transpose()
}

/// What the wallet of an account holds; `None` when no wallet has it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_account(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> lp_pg::Result<Option<WalletBalance>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT w.wallet_id, w.merchant_id, w.customer_id, w.account_id, w.asset_code,
                  s.balance, s.epoch, s.sequence, s.posted_at AS "posted_at?"
           FROM wallets w JOIN balance_snapshots s USING (account_id)
           WHERE w.merchant_id = $1 AND w.account_id = $2"#,
        merchant.uuid(),
        account.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_balance).transpose()
}
