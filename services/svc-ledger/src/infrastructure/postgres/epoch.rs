//! Which life of the ledger this is.

use sqlx::PgConnection;

/// The epoch. It changes only by a restore, which restarts the service.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn read(connection: &mut PgConnection) -> lp_pg::Result<i64> {
    Ok(sqlx::query_scalar!("SELECT epoch FROM ledger_epoch")
        .fetch_one(connection)
        .await?)
}
