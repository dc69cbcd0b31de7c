//! Rows of `assets`.

use jiff_sqlx::ToSqlx;
use ledger_domain::{Asset, AssetKind, PointsAccounts};
use lp_types::{AccountId, AssetCode, CallerContext, MerchantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::codes::corrupt;

const CURRENCY: i16 = 1;
const POINTS: i16 = 2;

struct Row {
    merchant_id: Uuid,
    code: String,
    kind: i16,
    exponent: i16,
    issuance_account_id: Option<Uuid>,
    redemption_account_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_asset(self) -> lp_pg::Result<(MerchantId, Asset)> {
        let kind = match (self.kind, self.issuance_account_id, self.redemption_account_id) {
            (POINTS, Some(issuance), Some(redemption)) => AssetKind::Points(PointsAccounts {
                issuance: AccountId::from_uuid(issuance),
                redemption: AccountId::from_uuid(redemption),
            }),
            _ => AssetKind::Currency,
        };
        let asset = Asset {
            code: AssetCode::try_from(self.code).map_err(corrupt)?,
            kind,
            exponent: u8::try_from(self.exponent).map_err(corrupt)?,
            created_at: self.created_at.to_jiff(),
        };
        Ok((MerchantId::from_uuid(self.merchant_id), asset))
    }
}

/// Inserts an asset; false when the merchant has one with this code.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    asset: &Asset,
) -> lp_pg::Result<bool> {
    let (kind, points) = match asset.kind {
        AssetKind::Currency => (CURRENCY, None),
        AssetKind::Points(points) => (POINTS, Some(points)),
    };
    let inserted = sqlx::query!(
        "INSERT INTO assets (merchant_id, code, kind, exponent, issuance_account_id, redemption_account_id,
                             actor, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (merchant_id, code) DO NOTHING",
        caller.merchant.uuid(),
        asset.code.as_str(),
        kind,
        i16::from(asset.exponent),
        points.map(|p| p.issuance.uuid()),
        points.map(|p| p.redemption.uuid()),
        caller.actor.as_str(),
        caller.request.uuid(),
        asset.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// One asset of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    code: &AssetCode,
) -> lp_pg::Result<Option<Asset>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT merchant_id, code, kind, exponent, issuance_account_id, redemption_account_id, created_at
         FROM assets WHERE merchant_id = $1 AND code = $2",
        merchant.uuid(),
        code.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Row::into_asset).transpose()?.map(|(_, asset)| asset))
}

/// The assets that the merchants' accounts hold. What they say never changes, so no lock is needed.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_accounts(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    accounts: &[Uuid],
) -> lp_pg::Result<Vec<(MerchantId, Asset)>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT merchant_id, code, kind, exponent, issuance_account_id, redemption_account_id, created_at
         FROM assets WHERE (merchant_id, code) IN (
           SELECT a.merchant_id, a.asset_code FROM accounts a
           JOIN unnest($1::uuid[], $2::uuid[]) AS n (merchant_id, account_id) USING (merchant_id, account_id))",
        merchants,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_asset).collect()
}
