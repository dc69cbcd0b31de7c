//! What the role that serves may do, and what it may not.

use lp_config::SecretUrl;
use lp_test::{TestDatabase, servers};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{Ground, run};

/// The SQLSTATE with which a statement is refused.
async fn refused(session: &mut PgConnection, statement: &str) -> String {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(session)
        .await;
    let error = outcome
        .expect_err(statement)
        .into_database_error()
        .expect(statement);
    error.code().unwrap().into_owned()
}

/// Another service's schema and roles in the same database.
fn neighbour_of(ours: &TestDatabase) -> TestDatabase {
    let theirs = |url: &SecretUrl| {
        let url = url.expose().replace("test_wallet_", "test_neighbour_");
        url.parse::<SecretUrl>().unwrap()
    };
    let mut other = ours.clone();
    other.owner.migration_database_url = theirs(&ours.owner.migration_database_url);
    other.config.database_url = theirs(&ours.config.database_url);
    other.config.database_schema = "neighbour".to_owned();
    other
}

/// insufficient_privilege
const NO_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_role_that_serves_reaches_no_other_schema() {
    let ground = Ground::new().await;
    // Another service's schema in the same database, as in production.
    let other = neighbour_of(&ground.database);
    lp_pg::tenant::provision(
        &lp_config::Admin {
            admin_database_url: servers::postgres_admin(),
        },
        &other.owner,
        &other.config,
    )
    .await
    .unwrap();
    let mut neighbour = other.owner_session().await;
    run(
        &mut neighbour,
        "CREATE TABLE secrets (secret text); INSERT INTO secrets VALUES ('x')",
    )
    .await;

    let mut session = ground.database.runtime_session().await;
    for statement in [
        "SELECT * FROM neighbour.secrets",
        "INSERT INTO neighbour.secrets VALUES ('y')",
        "CREATE TABLE neighbour.mine ()",
    ] {
        assert_eq!(
            refused(&mut session, statement).await,
            NO_PRIVILEGE,
            "{statement}"
        );
    }
    let mut theirs = other.runtime_session().await;
    for statement in ["SELECT * FROM wallet.customers", "SELECT * FROM wallet.wallets"] {
        assert_eq!(refused(&mut theirs, statement).await, NO_PRIVILEGE, "{statement}");
    }
}

#[tokio::test]
async fn the_role_that_serves_changes_neither_schema_nor_history() {
    let ground = Ground::new().await;
    let mut session = ground.database.runtime_session().await;
    for statement in [
        "CREATE TABLE mine ()",
        "ALTER TABLE wallets ADD COLUMN x int",
        "DROP TABLE wallets",
        "TRUNCATE wallets",
        "UPDATE wallets SET merchant_id = merchant_id",
        "UPDATE wallets SET asset_code = 'EUR'",
        "DELETE FROM balance_snapshots",
        "UPDATE inbox SET event_id = 'x'",
        "DELETE FROM inbox",
        "DELETE FROM idempotency_keys",
        "UPDATE idempotency_keys SET fingerprint = fingerprint",
        "UPDATE outbox SET payload = payload",
    ] {
        assert_eq!(
            refused(&mut session, statement).await,
            NO_PRIVILEGE,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn the_schema_refuses_what_must_not_be() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let other = client.open("c-2").await;
    let mut owner = ground.owner().await;
    let uuid = |id: &str| crate::support::uuid_of(id).to_string();
    let (id, account) = (uuid(&wallet.wallet_id), uuid(&other.account_id));
    let check = "23514";
    let unique = "23505";
    let cases = [
        // Active without an account, or opening with one.
        (
            format!("UPDATE wallets SET account_id = NULL WHERE wallet_id = '{id}'"),
            check,
        ),
        (
            format!("UPDATE wallets SET status = 1 WHERE wallet_id = '{id}'"),
            check,
        ),
        (
            format!("UPDATE wallets SET status = 3 WHERE wallet_id = '{id}'"),
            check,
        ),
        // Two wallets on one account.
        (
            format!("UPDATE wallets SET account_id = '{account}' WHERE wallet_id = '{id}'"),
            unique,
        ),
        ("UPDATE customers SET language = 'de'".to_owned(), check),
        ("UPDATE customers SET reference = 'c-9'".to_owned(), unique),
    ];
    for (statement, expected) in cases {
        assert_eq!(refused(&mut owner, &statement).await, expected, "{statement}");
    }
}
