//! Migrations.

use std::borrow::Cow;

use lp_pg::{
    Database,
    schema::{SchemaError, check, combine, migrate},
};
use lp_test::TestDatabase;
use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::support::run;

fn migration(version: i64, sql: &'static str) -> Migration {
    Migration::new(
        version,
        Cow::Borrowed("a step"),
        MigrationType::Simple,
        AssertSqlSafe(sql.to_owned()).into_sql_str(),
        false,
    )
}

fn things(sql: &'static str) -> Migrator {
    Migrator::with_migrations(vec![migration(20_270_101_000_000, sql)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_migrators_at_once_apply_each_step_once() {
    let test = TestDatabase::empty("pgmigrate").await;
    let migrator = combine(&[&things("CREATE TABLE things ()")]);
    let both = (0..4).map(|_| migrate(&test.owner, &test.config, &migrator));
    for outcome in futures::future::join_all(both).await {
        outcome.unwrap();
    }
    check(&test.open(), &migrator).await.unwrap();
    let mut owner = test.owner_session().await;
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(applied, 2);
}

#[tokio::test]
async fn a_binary_runs_on_its_own_schema_or_a_newer_one() {
    let test = TestDatabase::empty("pgcheck").await;
    let (old, new) = (combine(&[]), combine(&[&things("CREATE TABLE things ()")]));
    let database = test.open();
    match check(&database, &old).await {
        Err(error @ SchemaError::TooOld { .. }) => assert!(error.to_string().contains("run `migrate` first")),
        other => panic!("before the first migration: {other:?}"),
    }
    migrate(&test.owner, &test.config, &old).await.unwrap();
    check(&database, &old).await.unwrap();
    match check(&database, &new).await {
        Err(SchemaError::TooOld { version, description }) => {
            assert_eq!((version, description.as_str()), (20_270_101_000_000, "a step"));
        }
        other => panic!("{other:?}"),
    }
    migrate(&test.owner, &test.config, &new).await.unwrap();
    migrate(&test.owner, &test.config, &new).await.unwrap();
    for binary in [&old, &new] {
        check(&database, binary).await.unwrap();
    }
    let altered = combine(&[&things("CREATE TABLE things (of_another_kind text)")]);
    assert!(matches!(
        check(&database, &altered).await,
        Err(SchemaError::Altered {
            version: 20_270_101_000_000
        })
    ));
    assert!(matches!(
        migrate(&test.owner, &test.config, &altered).await,
        Err(SchemaError::Migrate(_))
    ));
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_and_the_steps_before() {
    let test = TestDatabase::empty("pgfails").await;
    let migrator = combine(&[&things("CREATE TABLE things (); SELECT 1 / 0")]);
    let failed = migrate(&test.owner, &test.config, &migrator).await.unwrap_err();
    assert!(matches!(failed, SchemaError::Migrate(_)), "{failed:?}");
    check(&test.open(), &combine(&[])).await.unwrap();
    let mut owner = test.owner_session().await;
    let left: Option<String> = sqlx::query_scalar("SELECT to_regclass('things')::text")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(left, None);
    migrate(
        &test.owner,
        &test.config,
        &combine(&[&things("CREATE TABLE things ()")]),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn grants_go_to_the_role_that_serves() {
    let test = TestDatabase::empty("pggrants").await;
    let migrator = combine(&[&things(
        "CREATE TABLE things (); SELECT grant_runtime('SELECT', 'things'); CREATE TABLE secrets ()",
    )]);
    migrate(&test.owner, &test.config, &migrator).await.unwrap();
    let mut session = test.runtime_session().await;
    run(&mut session, "SELECT FROM things").await.unwrap();
    run(&mut session, "SELECT FROM secrets").await.unwrap_err();

    let mut nameless = test.config.clone();
    nameless.database_url = "postgres://127.0.0.1/x".parse().unwrap();
    let refused = migrate(&test.owner, &nameless, &migrator).await;
    assert!(matches!(refused, Err(SchemaError::NoRuntimeRole)));
    let _: Database = test.open();
}
