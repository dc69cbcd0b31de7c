//! Rows of `merchants`.

use jiff::{Timestamp, tz::TimeZone};
use jiff_sqlx::ToSqlx;
use lp_types::{AssetCode, MerchantId};
use sqlx::PgConnection;

use super::corrupt;
use crate::domain::days::{UNKNOWN_ZONE, zone};

/// A merchant, as far as figures need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// Who.
    pub id: MerchantId,
    /// Its IANA time zone.
    pub time_zone: String,
    /// The currency that it trades in.
    pub currency: AssetCode,
    /// That currency's exponent.
    pub currency_exponent: u8,
    /// When it became active.
    pub activated_at: Timestamp,
}

/// Keeps a merchant; what was activated later stays.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn keep(connection: &mut PgConnection, merchant: &Merchant) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO merchants AS m (merchant_id, time_zone, currency_code, currency_exponent, activated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (merchant_id) DO UPDATE
         SET time_zone = EXCLUDED.time_zone, currency_code = EXCLUDED.currency_code,
             currency_exponent = EXCLUDED.currency_exponent, activated_at = EXCLUDED.activated_at
         WHERE m.activated_at < EXCLUDED.activated_at",
        merchant.id.uuid(),
        merchant.time_zone,
        merchant.currency.as_str(),
        i16::from(merchant.currency_exponent),
        merchant.activated_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The time zone that decides a merchant's days, and its name: UTC where the merchant has not been onboarded.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn time_zone(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> lp_pg::Result<(String, TimeZone)> {
    let name = sqlx::query_scalar!(
        "SELECT time_zone FROM merchants WHERE merchant_id = $1",
        merchant.uuid()
    )
    .fetch_optional(connection)
    .await?;
    let Some(name) = name else {
        return Ok((UNKNOWN_ZONE.to_owned(), TimeZone::UTC));
    };
    let zone = zone(&name).ok_or_else(|| corrupt(format!("{name} is no time zone")))?;
    Ok((name, zone))
}
