//! The service's tables. Each file owns the statements of its own.

pub mod figures;
pub mod merchants;

use lp_pg::{Database, UnitOfWork};

/// A transaction for reading, all of whose statements see the same state.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn snapshot(database: &Database) -> lp_pg::Result<UnitOfWork> {
    let mut work = database.begin().await?;
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *work)
        .await?;
    Ok(work)
}

/// A row that the code's types cannot hold: a fault of ours.
fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> lp_pg::PgError {
    sqlx::Error::Decode(error.into()).into()
}
