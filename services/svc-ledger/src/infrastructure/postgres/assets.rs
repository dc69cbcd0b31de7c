//! Rows of `assets`.

use std::collections::{HashMap, HashSet};

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

/// Assets that were read. What an asset says never changes, so that neither a lock nor a second look is needed.
#[derive(Debug, Default)]
pub struct Known(HashMap<(MerchantId, AssetCode), Asset>);

impl Known {
    /// Then they are forgotten and read again.
    const MOST: usize = 10_000;

    /// Reads those of `wanted` that are not known yet. What the merchants do not have is passed over.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn learn(
        &mut self,
        connection: &mut PgConnection,
        wanted: impl Iterator<Item = (MerchantId, &AssetCode)>,
    ) -> lp_pg::Result<()> {
        let unknown: HashSet<_> = wanted
            .map(|(merchant, code)| (merchant, code.clone()))
            .filter(|asset| !self.0.contains_key(asset))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let (merchants, codes): (Vec<_>, Vec<_>) = unknown
            .iter()
            .map(|(merchant, code)| (merchant.uuid(), code.as_str().to_owned()))
            .unzip();
        let rows = sqlx::query_as!(
            Row,
            "SELECT merchant_id, code, kind, exponent, issuance_account_id, redemption_account_id, created_at
             FROM assets WHERE (merchant_id, code) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))",
            &merchants,
            &codes,
        )
        .fetch_all(connection)
        .await?;
        for row in rows {
            let (merchant, asset) = row.into_asset()?;
            self.0.insert((merchant, asset.code.clone()), asset);
        }
        Ok(())
    }

    /// An asset that was read.
    pub fn get(&self, merchant: MerchantId, code: &AssetCode) -> Option<&Asset> {
        self.0.get(&(merchant, code.clone()))
    }
}
