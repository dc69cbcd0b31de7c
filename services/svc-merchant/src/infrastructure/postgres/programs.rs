//! Rows of `programs`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{CallerContext, MerchantId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::corrupt;
use crate::domain::program::{Numbers, Terms};

/// A version of a merchant's programme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// 1, 2, 3 …
    pub version: i32,
    /// What it says.
    pub terms: Terms,
    /// When it was published.
    pub published_at: Timestamp,
}

struct Row {
    version: i32,
    earn_points: i64,
    earn_per: i64,
    burn_points: i64,
    burn_value: i64,
    published_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_program(self) -> lp_pg::Result<Program> {
        let numbers = Numbers {
            earn_points: self.earn_points,
            earn_per: self.earn_per,
            burn_points: self.burn_points,
            burn_value: self.burn_value,
        };
        Ok(Program {
            version: self.version,
            terms: Terms::new(numbers).map_err(corrupt)?,
            published_at: self.published_at.to_jiff(),
        })
    }
}

/// Adds the version after `based_on`; none when that is not the latest. Of two at once, one is late.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn append(
    connection: &mut PgConnection,
    caller: &CallerContext,
    based_on: i32,
    terms: Terms,
    now: Timestamp,
) -> lp_pg::Result<Option<Program>> {
    let numbers = terms.numbers();
    let version = sqlx::query_scalar!(
        "INSERT INTO programs (merchant_id, version, earn_points, earn_per, burn_points, burn_value, actor,
                               request_id, published_at)
         SELECT $1, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9
         FROM programs WHERE merchant_id = $1
         HAVING coalesce(max(version), 0) = $2
         ON CONFLICT (merchant_id, version) DO NOTHING RETURNING version",
        caller.merchant.uuid(),
        based_on,
        numbers.earn_points,
        numbers.earn_per,
        numbers.burn_points,
        numbers.burn_value,
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .fetch_optional(connection)
    .await?;
    Ok(version.map(|version| Program {
        version,
        terms,
        published_at: now,
    }))
}

/// The merchant's programme in a version, or the latest.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    version: Option<i32>,
) -> lp_pg::Result<Option<Program>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT version, earn_points, earn_per, burn_points, burn_value, published_at FROM programs
         WHERE merchant_id = $1 AND ($2::integer IS NULL OR version = $2) ORDER BY version DESC LIMIT 1",
        merchant.uuid(),
        version,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_program).transpose()
}
