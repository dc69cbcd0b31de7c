//! A database of one test, with a table of effects.

use lp_pg::{
    Database, UnitOfWork,
    idempotency::{Claim, Once, begin_once},
    schema,
};
use lp_test::TestDatabase;
use lp_types::{CallerContext, IdSource as _, MerchantId, RequestId, SystemIds, time::Ambient};
use sqlx::{AssertSqlSafe, PgConnection};

pub struct Ground {
    pub test: TestDatabase,
    pub database: Database,
    pub merchant: MerchantId,
}

impl Ground {
    pub async fn new() -> Self {
        let test = TestDatabase::create("pg", &schema::combine(&[])).await;
        let mut owner = test.owner_session().await;
        let role = test.config.database_url.username().unwrap();
        let effects = format!(
            "CREATE TABLE effects (what text CONSTRAINT effects_short CHECK (length(what) < 10));
             GRANT SELECT, INSERT ON effects TO \"{role}\""
        );
        run(&mut owner, &effects).await.unwrap();
        Self {
            database: test.open(),
            test,
            merchant: MerchantId::from_uuid(SystemIds.uuid()),
        }
    }

    /// A claim of `key` by a request that says `asked`.
    pub fn claim(&self, key: &str, asked: u8) -> Claim {
        let caller = CallerContext {
            merchant: self.merchant,
            actor: "tester".to_owned().try_into().unwrap(),
            request: RequestId::from_uuid(SystemIds.uuid()),
        };
        Claim {
            caller,
            rpc: "Test",
            key: key.to_owned().try_into().unwrap(),
            fingerprint: [asked; 32],
            at: Ambient::system().clock.now(),
        }
    }

    pub async fn begin(&self, key: &str, asked: u8) -> lp_error::Result<Once<String>> {
        begin_once(&self.database, self.claim(key, asked)).await
    }

    pub async fn effects(&self) -> Vec<String> {
        let mut connection = self.database.acquire().await.unwrap();
        sqlx::query_scalar("SELECT what FROM effects ORDER BY what")
            .fetch_all(&mut *connection)
            .await
            .unwrap()
    }

    pub async fn keys(&self) -> i64 {
        let mut connection = self.database.acquire().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM idempotency_keys")
            .fetch_one(&mut *connection)
            .await
            .unwrap()
    }

    pub async fn deadlocks(&self) -> i64 {
        let mut connection = self.database.acquire().await.unwrap();
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut *connection)
            .await
            .unwrap()
    }
}

pub async fn effect(work: &mut UnitOfWork, what: &str) {
    sqlx::query("INSERT INTO effects VALUES ($1)")
        .bind(what)
        .execute(&mut **work)
        .await
        .unwrap();
}

pub async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// The SQLSTATE with which PostgreSQL refuses `statement`.
pub async fn refused(connection: &mut PgConnection, statement: &str) -> String {
    match run(connection, statement).await {
        Err(sqlx::Error::Database(error)) => error.code().unwrap().into_owned(),
        other => panic!("{statement}: {other:?}"),
    }
}
