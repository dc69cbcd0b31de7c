//! A database per test, cloned from a template that holds the service's schema.

use lp_config::{Admin, Database, Owner, SecretUrl, SslMode};
use lp_pg::{schema, tenant};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, migrate::Migrator};
use url::Url;

use crate::servers;

/// A database of one test, with the schema and the roles of one service.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// The role that owns the schema.
    pub owner: Owner,
    /// The role that serves.
    pub config: Database,
}

impl TestDatabase {
    /// Makes it. The first call for a schema makes the template, the others clone it.
    pub async fn create(service: &str, migrator: &Migrator) -> Self {
        let admin = servers::postgres_admin();
        let mut server = connect(&admin).await;
        let template = format!("template_{service}_{}", digest(migrator));
        // One at a time; the lock belongs to the session, so that a test that dies lets go of it.
        run(&mut server, "SELECT pg_advisory_lock(7205, 2)").await;
        let exists = sqlx::query("SELECT FROM pg_database WHERE datname = $1")
            .bind(&template)
            .fetch_optional(&mut server)
            .await
            .expect("pg_database");
        if exists.is_none() {
            let building = named(service, &format!("building_{}", servers::unique("")));
            building.provision(&admin).await;
            schema::migrate(&building.owner, &building.config, migrator)
                .await
                .expect("migrations apply");
            let from = building.name();
            run(
                &mut server,
                &format!("ALTER DATABASE \"{from}\" RENAME TO \"{template}\""),
            )
            .await;
        }
        let name = servers::unique(&format!("{service}_"));
        run(
            &mut server,
            &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\""),
        )
        .await;
        server.close().await.expect("close");
        named(service, &name)
    }

    /// An empty database with the service's roles, for what tests migrations themselves.
    pub async fn empty(service: &str) -> Self {
        let database = named(service, &servers::unique(&format!("{service}_")));
        database.provision(&servers::postgres_admin()).await;
        database
    }

    async fn provision(&self, admin: &SecretUrl) {
        let admin = Admin {
            admin_database_url: admin.clone(),
        };
        tenant::provision(&admin, &self.owner, &self.config)
            .await
            .expect("roles and schema");
    }

    fn name(&self) -> String {
        self.config.database_url.path().expect("a database")
    }

    /// A pool under the role that serves.
    pub fn open(&self) -> lp_pg::Database {
        lp_pg::Database::open(&self.config, "test").expect("a valid URL")
    }

    /// A session under the role that owns the schema.
    pub async fn owner_session(&self) -> PgConnection {
        connect(&self.owner.migration_database_url).await
    }

    /// A session under the role that serves.
    pub async fn runtime_session(&self) -> PgConnection {
        connect(&self.config.database_url).await
    }
}

fn named(service: &str, database: &str) -> TestDatabase {
    let url = |role: &str| {
        let mut url = Url::parse(servers::postgres_admin().expose()).expect("a URL");
        url.set_username(&format!("test_{service}_{role}"))
            .expect("a user");
        url.set_password(Some("test")).expect("a password");
        url.set_path(database);
        url.as_str().parse::<SecretUrl>().expect("a URL")
    };
    TestDatabase {
        owner: Owner {
            migration_database_url: url("owner"),
        },
        config: Database {
            database_url: url("app"),
            database_direct_url: None,
            database_schema: service.to_owned(),
            database_ssl_mode: SslMode::Prefer,
            database_max_connections: 8,
        },
    }
}

fn digest(migrator: &Migrator) -> String {
    let sums = migrator.iter().flat_map(|m| m.checksum.iter().copied());
    let hash = sums.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

async fn connect(url: &SecretUrl) -> PgConnection {
    PgConnection::connect(url.expose())
        .await
        .expect("PostgreSQL of the test stack answers")
}

async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{statement}: {e}"));
}
