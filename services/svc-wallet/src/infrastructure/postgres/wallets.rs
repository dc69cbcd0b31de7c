//! Rows of `wallets`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{AccountId, AssetCode, CallerContext, CustomerId, MerchantId, Reference, WalletId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::corrupt;

const OPENING: i16 = 1;
const ACTIVE: i16 = 2;

/// A customer's holding of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// Its id.
    pub id: WalletId,
    /// Whose customer's it is.
    pub merchant: MerchantId,
    /// Who holds it.
    pub customer: CustomerId,
    /// The merchant's own name for the customer.
    pub customer_reference: Reference,
    /// What it holds.
    pub asset: AssetCode,
    /// Its ledger account; none while it is being opened.
    pub account: Option<AccountId>,
    /// When it was opened.
    pub created_at: Timestamp,
}

struct Row {
    wallet_id: Uuid,
    merchant_id: Uuid,
    customer_id: Uuid,
    reference: String,
    asset_code: String,
    account_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_wallet(self) -> lp_pg::Result<Wallet> {
        Ok(Wallet {
            id: WalletId::from_uuid(self.wallet_id),
            merchant: MerchantId::from_uuid(self.merchant_id),
            customer: CustomerId::from_uuid(self.customer_id),
            customer_reference: Reference::try_from(self.reference).map_err(corrupt)?,
            asset: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            account: self.account_id.map(AccountId::from_uuid),
            created_at: self.created_at.to_jiff(),
        })
    }
}

/// Inserts a wallet that is being opened; false when the customer has one of this asset.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert_opening(
    connection: &mut PgConnection,
    caller: &CallerContext,
    id: WalletId,
    customer: CustomerId,
    asset: &AssetCode,
    now: Timestamp,
) -> lp_pg::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO wallets (wallet_id, merchant_id, customer_id, asset_code, status, actor, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT ON CONSTRAINT wallets_one_per_asset DO NOTHING",
        id.uuid(),
        caller.merchant.uuid(),
        customer.uuid(),
        asset.as_str(),
        OPENING,
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The customer's wallet of an asset.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_customer(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: CustomerId,
    asset: &AssetCode,
) -> lp_pg::Result<Option<Wallet>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT w.wallet_id, w.merchant_id, w.customer_id, c.reference, w.asset_code, w.account_id, w.created_at
         FROM wallets w JOIN customers c USING (customer_id)
         WHERE w.merchant_id = $1 AND w.customer_id = $2 AND w.asset_code = $3",
        merchant.uuid(),
        customer.uuid(),
        asset.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_wallet).transpose()
}

/// Gives a wallet its ledger account. Again with the same account it changes nothing.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn activate(connection: &mut PgConnection, id: WalletId, account: AccountId) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE wallets SET status = $3, account_id = $2 WHERE wallet_id = $1 AND status = $4",
        id.uuid(),
        account.uuid(),
        ACTIVE,
        OPENING,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a wallet that could not be opened.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn remove_opening(connection: &mut PgConnection, id: WalletId) -> lp_pg::Result<()> {
    sqlx::query!(
        "DELETE FROM wallets WHERE wallet_id = $1 AND status = $2",
        id.uuid(),
        OPENING
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One wallet of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: WalletId,
) -> lp_pg::Result<Option<Wallet>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT w.wallet_id, w.merchant_id, w.customer_id, c.reference, w.asset_code, w.account_id, w.created_at
         FROM wallets w JOIN customers c USING (customer_id)
         WHERE w.merchant_id = $1 AND w.wallet_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_wallet).transpose()
}

/// The merchant's wallets before `before`, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer_reference: Option<&Reference>,
    before: Option<WalletId>,
    limit: i64,
) -> lp_pg::Result<Vec<Wallet>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT w.wallet_id, w.merchant_id, w.customer_id, c.reference, w.asset_code, w.account_id, w.created_at
         FROM wallets w JOIN customers c USING (customer_id)
         WHERE w.merchant_id = $1 AND ($2::text IS NULL OR c.reference = $2) AND ($3::uuid IS NULL OR w.wallet_id < $3)
         ORDER BY w.wallet_id DESC LIMIT $4",
        merchant.uuid(),
        customer_reference.map(Reference::as_str),
        before.map(WalletId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_wallet).collect()
}
