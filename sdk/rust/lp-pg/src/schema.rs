//! Migrations. A service's schema is made of its own migrations and those of the chassis crates that keep
//! tables in it; their versions are times, so that together they are one sequence.

use std::collections::HashMap;

use sqlx::{
    Connection as _, PgConnection, Row,
    migrate::{MigrateError, Migration, Migrator},
};

use crate::{Database, PgError, database::connect_options};

/// Migrations of the tables that this crate keeps in every schema.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Why a schema cannot be migrated or used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// A migration failed, or one that was applied has changed since.
    #[error("migration failed: {0}")]
    Migrate(#[from] MigrateError),
    /// A migration that this binary needs was not applied.
    #[error("the schema is too old: migration {version} ({description}) is missing; run `migrate` first")]
    TooOld {
        /// Its version.
        version: i64,
        /// What it does.
        description: String,
    },
    /// A migration was changed after it was applied.
    #[error("migration {version} differs from the one that was applied")]
    Altered {
        /// Its version.
        version: i64,
    },
    /// `DATABASE_URL` has no user.
    #[error("DATABASE_URL names no user; it is the role that serves")]
    NoRuntimeRole,
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// One sequence of the migrations of several parts, and of this crate's own.
pub fn combine(parts: &[&Migrator]) -> Migrator {
    let mut migrations: Vec<Migration> = MIGRATOR.iter().cloned().collect();
    migrations.extend(parts.iter().flat_map(|part| part.iter().cloned()));
    Migrator::with_migrations(migrations)
}

/// Applies what is missing, as the schema's owner, under a lock that makes a second one wait; grants go to
/// the role of `database`.
///
/// # Errors
/// When the server, a migration or the schema's history fails; what was applied before stays.
pub async fn migrate(
    owner: &lp_config::Owner,
    database: &lp_config::Database,
    migrator: &Migrator,
) -> Result<(), SchemaError> {
    let role = database
        .database_url
        .username()
        .ok_or(SchemaError::NoRuntimeRole)?;
    let options = connect_options(&owner.migration_database_url, database.database_ssl_mode)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::query(
        "SELECT set_config('search_path', $1, false), set_config('localplus.runtime_role', $2, false)",
    )
    .bind(&database.database_schema)
    .bind(role)
    .execute(&mut connection)
    .await?;
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await?;
    Ok(())
}

/// Whether this binary can run on the schema as it is. A newer schema is welcome: expand, then contract.
///
/// # Errors
/// When a migration is missing or differs, or the server cannot be asked.
pub async fn check(database: &Database, migrator: &Migrator) -> Result<(), SchemaError> {
    let mut connection = database.acquire().await?;
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *connection)
        .await;
    let rows = match rows.map_err(PgError::from) {
        // undefined_table: nothing was ever applied.
        Err(error) if error.sqlstate().as_deref() == Some("42P01") => Vec::new(),
        rows => rows?,
    };
    let mut applied = HashMap::new();
    for row in rows {
        applied.insert(
            row.try_get::<i64, _>("version")?,
            row.try_get::<Vec<u8>, _>("checksum")?,
        );
    }
    for migration in migrator.iter() {
        match applied.get(&migration.version) {
            None => {
                return Err(SchemaError::TooOld {
                    version: migration.version,
                    description: migration.description.to_string(),
                });
            }
            Some(checksum) if *checksum != *migration.checksum => {
                return Err(SchemaError::Altered {
                    version: migration.version,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
