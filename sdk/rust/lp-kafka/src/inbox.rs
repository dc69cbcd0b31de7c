//! Which events a consumer has done.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_pg::Result;
use sqlx::{PgConnection, migrate::Migrator};

use crate::Event;

/// Migrations of the tables that a consumer needs in its service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Marks `event` as done by `consumer` in the transaction that does it; false when it was done before. Waits
/// for a transaction that is doing it.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    consumer: &str,
    event: &Event,
    now: Timestamp,
) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO inbox (consumer, event_id, merchant_id, received_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(consumer)
    .bind(&event.id)
    .bind(event.merchant.uuid())
    .bind(now.to_sqlx())
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
