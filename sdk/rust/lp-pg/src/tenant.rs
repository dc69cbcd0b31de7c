//! A tenant of one service: a schema, a role that owns it, and a role that serves.

use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{PgError, Result, database::connect_options};

/// Why a tenant cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// A URL lacks its user, password or database.
    #[error("{0} must name a user, a password and a database")]
    IncompleteUrl(&'static str),
}

struct Role {
    name: String,
    password: String,
    database: String,
}

fn role(url: &lp_config::SecretUrl, variable: &'static str) -> Result<Role, TenantError> {
    let incomplete = TenantError::IncompleteUrl(variable);
    match (url.username(), url.password(), url.path()) {
        (Some(name), Some(password), Some(database)) => {
            // As whoever connects will send it.
            let password = percent_decode_str(password.expose_secret()).decode_utf8();
            Ok(Role {
                name,
                password: password
                    .map_err(|_| TenantError::IncompleteUrl(variable))?
                    .into_owned(),
                database,
            })
        }
        _ => Err(incomplete),
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Makes what the URLs name, as far as it is missing: the database, the role that owns
/// (`MIGRATION_DATABASE_URL`), the role that serves (`DATABASE_URL`), and the schema. May run again; then it
/// sets the passwords anew.
///
/// # Errors
/// When a URL is incomplete, or the admin's role may not do it.
pub async fn provision(
    admin: &lp_config::Admin,
    owner: &lp_config::Owner,
    database: &lp_config::Database,
) -> Result<(), TenantError> {
    let owner = role(&owner.migration_database_url, "MIGRATION_DATABASE_URL")?;
    let runtime = role(&database.database_url, "DATABASE_URL")?;
    let options = connect_options(&admin.admin_database_url, database.database_ssl_mode)?;
    let mut server = connect(&options).await?;
    // One at a time: catalogue rows have no ON CONFLICT. 7205 is the namespace of this function.
    run(&mut server, "SELECT pg_advisory_lock(7205, 1)").await?;
    let exists = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(&owner.database);
    if exists
        .fetch_optional(&mut server)
        .await
        .map_err(PgError::from)?
        .is_none()
    {
        run(
            &mut server,
            &format!("CREATE DATABASE {}", identifier(&owner.database)),
        )
        .await?;
    }
    let mut inside = connect(&options.database(&owner.database)).await?;
    let schema = identifier(&database.database_schema);
    for role in [&owner, &runtime] {
        let (name, password) = (identifier(&role.name), literal(&role.password));
        let exists = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(&role.name);
        let verb = match exists.fetch_optional(&mut inside).await.map_err(PgError::from)? {
            Some(_) => "ALTER",
            None => "CREATE",
        };
        run(
            &mut inside,
            &format!("{verb} ROLE {name} LOGIN PASSWORD {password} NOSUPERUSER NOCREATEDB NOCREATEROLE"),
        )
        .await?;
        // By role and not by start-up option: PgBouncer refuses those.
        run(
            &mut inside,
            &format!("ALTER ROLE {name} SET search_path = {schema}"),
        )
        .await?;
    }
    let of = identifier(&owner.database);
    let (owner, runtime) = (identifier(&owner.name), identifier(&runtime.name));
    let statements = [
        // A session's own table goes before a real one of its name, also in the triggers of the schema.
        format!("REVOKE TEMPORARY ON DATABASE {of} FROM PUBLIC"),
        // A managed server's admin is no superuser: it must be a member of the owner to make its schema.
        format!("GRANT {owner} TO CURRENT_USER"),
        format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}"),
        format!("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"),
        format!("GRANT USAGE ON SCHEMA {schema} TO {runtime}"),
        "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
    ];
    for statement in statements {
        run(&mut inside, &statement).await?;
    }
    inside.close().await.map_err(PgError::from)?;
    server.close().await.map_err(PgError::from)?;
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(options).await?)
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<()> {
    // Utility statements take no parameters; every part of them was quoted above.
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}
