//! The sums of a merchant's accounts. They may be out of the range of 64 bits, so that PostgreSQL counts and compares
//! them, and we pass its decimal numbers on.

use ledger_domain::AccountType;
use lp_types::{AssetCode, MerchantId};
use sqlx::PgConnection;

use super::codes::{Code, corrupt};

/// The accounts of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetSums {
    /// The asset.
    pub asset: AssetCode,
    /// All of them.
    pub total: Sums,
    /// Debits less credits, a decimal number.
    pub difference: String,
    /// Those of each type that has any, with how many they are.
    pub lines: Vec<(AccountType, i64, Sums)>,
}

/// Debits and credits, decimal numbers of minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// All debits.
    pub debits: String,
    /// All credits.
    pub credits: String,
}

/// The sums of one asset of the merchant, or of each, by code.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn read(
    connection: &mut PgConnection,
    merchant: MerchantId,
    asset: Option<&AssetCode>,
) -> lp_pg::Result<Vec<AssetSums>> {
    // The line of all types comes before those of each.
    let rows = sqlx::query!(
        r#"SELECT s.code, a.type AS "account_type?", count(a.account_id) AS "accounts!",
                coalesce(sum(a.posted_debits), 0)::text AS "debits!",
                coalesce(sum(a.posted_credits), 0)::text AS "credits!",
                coalesce(sum(a.posted_debits) - sum(a.posted_credits), 0)::text AS "difference!"
         FROM assets s LEFT JOIN accounts a ON a.merchant_id = s.merchant_id AND a.asset_code = s.code
         WHERE s.merchant_id = $1 AND ($2::text IS NULL OR s.code = $2)
         GROUP BY GROUPING SETS ((s.code), (s.code, a.type))
         HAVING grouping(a.type) = 1 OR a.type IS NOT NULL
         ORDER BY s.code, grouping(a.type) DESC, a.type"#,
        merchant.uuid(),
        asset.map(AssetCode::as_str),
    )
    .fetch_all(connection)
    .await?;
    let mut assets: Vec<AssetSums> = Vec::new();
    for row in rows {
        let sums = Sums {
            debits: row.debits,
            credits: row.credits,
        };
        match (row.account_type, assets.last_mut()) {
            (Some(number), Some(last)) => {
                let account_type = AccountType::from_number(number)?;
                last.lines.push((account_type, row.accounts, sums));
            }
            _ => assets.push(AssetSums {
                asset: AssetCode::try_from(row.code).map_err(corrupt)?,
                total: sums,
                difference: row.difference,
                lines: Vec::new(),
            }),
        }
    }
    Ok(assets)
}
