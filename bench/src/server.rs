//! PostgreSQL as it should be set for a ledger (`docs/performance.md`), and as it is after a while: for what is measured
//! and for the references alike.

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};
use url::Url;

/// Settings that are not PostgreSQL's own, with their values; the first takes a restart.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "4GB"),
    ("wal_compression", "lz4"),
    ("min_wal_size", "4GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "15min"),
];

/// Segments of the log, 16 MiB each: as many as [`SETTINGS`] keep.
const SEGMENTS: u32 = 256;

/// Sets the server, which is to be started again after it.
///
/// # Errors
/// When PostgreSQL refuses a setting or cannot be reached.
pub(crate) async fn set(admin: &Url) -> anyhow::Result<()> {
    let mut session = PgConnection::connect(admin.as_str()).await?;
    for (name, value) in SETTINGS {
        let set = format!("ALTER SYSTEM SET {name} = '{value}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set))
            .execute(&mut session)
            .await
            .with_context(|| format!("PostgreSQL refuses {name} = {value}"))?;
    }
    Ok(())
}

/// Has the files of its log made: a server that has run for a while uses old ones again, and a
/// new one writes 16 MiB of zeros whenever it needs another, for which every commit waits.
///
/// # Errors
/// When PostgreSQL cannot be reached.
pub(crate) async fn settle(admin: &Url) -> anyhow::Result<()> {
    let mut session = PgConnection::connect(admin.as_str()).await?;
    for _ in 0..SEGMENTS {
        sqlx::raw_sql("SELECT pg_logical_emit_message(false, 'bench', 'a segment'); SELECT pg_switch_wal()")
            .execute(&mut session)
            .await?;
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut session).await?;
    Ok(())
}
