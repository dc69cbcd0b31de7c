//! The pool, and the unit of work: one PostgreSQL transaction.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::{Duration, Instant},
};

use lp_config::{SecretUrl, SslMode};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tracing::Instrument as _;

use crate::Result;

/// How to reach a database: URL and TLS, parsed.
///
/// # Errors
/// When the URL is not one of PostgreSQL.
pub fn connect_options(url: &SecretUrl, ssl: SslMode) -> Result<PgConnectOptions> {
    let ssl = match ssl {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    };
    Ok(PgConnectOptions::from_str(url.expose())?.ssl_mode(ssl))
}

/// A connection of the pool that was idle for longer is asked whether it still is one.
const TRUSTED: Duration = Duration::from_secs(1);

/// A service's database, as the role that serves.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    direct: PgConnectOptions,
}

impl Database {
    /// Opens a pool. Connects on first use; statements are prepared only on the direct port, since PgBouncer
    /// before 1.21 loses them in transaction mode.
    ///
    /// # Errors
    /// When a URL is not one of PostgreSQL.
    pub fn open(config: &lp_config::Database, name: &str) -> Result<Self> {
        let pooled = connect_options(&config.database_url, config.database_ssl_mode)?.application_name(name);
        let (pooled, direct) = match &config.database_direct_url {
            Some(url) => {
                let direct = connect_options(url, config.database_ssl_mode)?.application_name(name);
                (pooled.statement_cache_capacity(0), direct)
            }
            None => (pooled.clone(), pooled),
        };
        let pool = PgPoolOptions::new()
            .max_connections(config.database_max_connections)
            .acquire_timeout(Duration::from_secs(3))
            // A connection that was used a moment ago is there; asking it costs as much as a read.
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                Box::pin(async move {
                    if used.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(pooled);
        Ok(Self { pool, direct })
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// When none can be had within 3 seconds.
    pub async fn acquire(&self) -> Result<Connection> {
        let started = Instant::now();
        Ok(Connection {
            connection: self.pool.acquire().await?,
            _timed: Timed(started),
        })
    }

    /// A transaction for writing. Dropped without [`UnitOfWork::commit`] it leaves nothing behind.
    ///
    /// # Errors
    /// When no connection can be had within 3 seconds.
    pub async fn begin(&self) -> Result<UnitOfWork> {
        let started = Instant::now();
        // In a task of its own, since a caller may go away in the middle of BEGIN: sqlx would then give the connection
        // back with a transaction open. As it is, the transaction is begun, dropped, and so rolled back.
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await }.in_current_span());
        let transaction = begun.await.map_err(|_gone| sqlx::Error::WorkerCrashed)??;
        Ok(UnitOfWork {
            transaction,
            timed: Timed(started),
        })
    }

    /// A transaction that only reads, and sees one moment in all its statements. Keep it short: what is dead cannot be
    /// cleared away beside it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn snapshot(&self) -> Result<UnitOfWork> {
        let mut work = self.begin().await?;
        sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *work)
            .await?;
        Ok(work)
    }

    /// A session of its own on the direct port, outside the pool.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn session(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.direct).await?)
    }

    /// Whether the server answers.
    pub async fn is_reachable(&self) -> bool {
        let ping = async { self.pool.acquire().await?.ping().await };
        matches!(
            tokio::time::timeout(Duration::from_secs(1), ping).await,
            Ok(Ok(()))
        )
    }

    /// Closes every connection, after what is under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Charges the time since its birth to the request when it is dropped.
#[derive(Debug)]
struct Timed(Instant);

impl Drop for Timed {
    fn drop(&mut self) {
        lp_telemetry::add_database_time(self.0.elapsed());
    }
}

/// A connection of the pool. The time it is held counts as the request's database time.
#[derive(Debug)]
pub struct Connection {
    connection: PoolConnection<Postgres>,
    _timed: Timed,
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// One PostgreSQL transaction. Its life counts as the request's database time.
#[derive(Debug)]
pub struct UnitOfWork {
    transaction: sqlx::Transaction<'static, Postgres>,
    timed: Timed,
}

impl UnitOfWork {
    /// Commits.
    ///
    /// # Errors
    /// When the server does not confirm it. [`crate::Failure::Unreachable`] leaves open whether it did.
    pub async fn commit(self) -> Result<()> {
        let Self { transaction, timed } = self;
        let outcome = transaction.commit().await;
        drop(timed);
        Ok(outcome?)
    }
}

impl Deref for UnitOfWork {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for UnitOfWork {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
