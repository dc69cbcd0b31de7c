//! Rows of `merchants`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{AccountId, AssetCode, CallerContext, MerchantId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Code as _, corrupt};
use crate::domain::{
    profile::{Exponent, MerchantName, TimeZoneName},
    state::State,
};

/// A merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merchant {
    /// Its id.
    pub id: MerchantId,
    /// The name that customers see.
    pub name: MerchantName,
    /// Where it stands.
    pub state: State,
    /// The currency that it trades in.
    pub currency: AssetCode,
    /// The exponent of that currency.
    pub exponent: Exponent,
    /// The points of its programme.
    pub points: AssetCode,
    /// Its time zone.
    pub time_zone: TimeZoneName,
    /// Its accounts in the ledger; none before the first activation.
    pub accounts: Option<MerchantAccounts>,
    /// When it applied.
    pub created_at: Timestamp,
}

/// The ledger accounts of a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantAccounts {
    /// Money that the merchant's till takes.
    pub external: AccountId,
    /// What was sold.
    pub sales: AccountId,
    /// What burnt points paid for.
    pub loyalty_cost: AccountId,
    /// The points that were given.
    pub issuance: AccountId,
    /// The points that were burnt.
    pub redemption: AccountId,
}

struct Row {
    merchant_id: Uuid,
    name: String,
    state: i16,
    currency_code: String,
    currency_exponent: i32,
    points_code: String,
    time_zone: String,
    external_account_id: Option<Uuid>,
    sales_account_id: Option<Uuid>,
    loyalty_cost_account_id: Option<Uuid>,
    issuance_account_id: Option<Uuid>,
    redemption_account_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_merchant(self) -> lp_pg::Result<Merchant> {
        let accounts = self.accounts();
        Ok(Merchant {
            id: MerchantId::from_uuid(self.merchant_id),
            name: self.name.try_into().map_err(corrupt)?,
            state: State::from_number(self.state)?,
            currency: self.currency_code.try_into().map_err(corrupt)?,
            exponent: self.currency_exponent.try_into().map_err(corrupt)?,
            points: self.points_code.try_into().map_err(corrupt)?,
            time_zone: self.time_zone.try_into().map_err(corrupt)?,
            accounts,
            created_at: self.created_at.to_jiff(),
        })
    }

    fn accounts(&self) -> Option<MerchantAccounts> {
        Some(MerchantAccounts {
            external: AccountId::from_uuid(self.external_account_id?),
            sales: AccountId::from_uuid(self.sales_account_id?),
            loyalty_cost: AccountId::from_uuid(self.loyalty_cost_account_id?),
            issuance: AccountId::from_uuid(self.issuance_account_id?),
            redemption: AccountId::from_uuid(self.redemption_account_id?),
        })
    }
}

/// Inserts a merchant without accounts; false when it is there already.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    merchant: &Merchant,
) -> lp_pg::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO merchants (merchant_id, name, state, currency_code, currency_exponent, points_code, time_zone,
                                actor, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (merchant_id) DO NOTHING",
        merchant.id.uuid(),
        merchant.name.as_str(),
        merchant.state.number(),
        merchant.currency.as_str(),
        merchant.exponent.get(),
        merchant.points.as_str(),
        merchant.time_zone.as_str(),
        caller.actor.as_str(),
        caller.request.uuid(),
        merchant.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(connection: &mut PgConnection, id: MerchantId) -> lp_pg::Result<Option<Merchant>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT merchant_id, name, state, currency_code, currency_exponent, points_code, time_zone,
                external_account_id, sales_account_id, loyalty_cost_account_id, issuance_account_id,
                redemption_account_id, created_at
         FROM merchants WHERE merchant_id = $1",
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_merchant).transpose()
}

/// Locks the merchant's row until the end of the unit of work; to be read in a statement of its own.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lock(connection: &mut PgConnection, id: MerchantId) -> lp_pg::Result<()> {
    sqlx::query!(
        "SELECT merchant_id FROM merchants WHERE merchant_id = $1 FOR NO KEY UPDATE",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Writes the merchant's state and accounts.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn update(connection: &mut PgConnection, merchant: &Merchant) -> lp_pg::Result<()> {
    let account = |which: fn(&MerchantAccounts) -> AccountId| {
        merchant.accounts.as_ref().map(|accounts| which(accounts).uuid())
    };
    sqlx::query!(
        "UPDATE merchants SET state = $2, external_account_id = $3, sales_account_id = $4,
                loyalty_cost_account_id = $5, issuance_account_id = $6, redemption_account_id = $7
         WHERE merchant_id = $1",
        merchant.id.uuid(),
        merchant.state.number(),
        account(|accounts| accounts.external),
        account(|accounts| accounts.sales),
        account(|accounts| accounts.loyalty_cost),
        account(|accounts| accounts.issuance),
        account(|accounts| accounts.redemption),
    )
    .execute(connection)
    .await?;
    Ok(())
}
