//! A tenant's roles and schema.

use lp_config::{Admin, Owner, SecretUrl, SslMode};
use lp_pg::{
    schema::{combine, migrate},
    tenant::{TenantError, provision},
};
use lp_test::servers;
use sqlx::{Connection as _, PgConnection};

use crate::support::{refused, run};

/// One service's URLs in a database.
fn service(name: &str, database: &str, password: &str) -> (Owner, lp_config::Database) {
    let admin = servers::postgres_admin();
    let place = admin
        .expose()
        .split_once('@')
        .unwrap()
        .1
        .rsplit_once('/')
        .unwrap()
        .0
        .to_owned();
    let url = |role: &str| -> SecretUrl {
        format!("postgres://test_{name}_{role}:{password}@{place}/{database}")
            .parse()
            .unwrap()
    };
    let config = lp_config::Database {
        database_url: url("app"),
        database_direct_url: None,
        database_schema: name.to_owned(),
        database_ssl_mode: SslMode::Prefer,
        database_max_connections: 2,
    };
    let owner = Owner {
        migration_database_url: url("owner"),
    };
    (owner, config)
}

async fn made(owner: &Owner, config: &lp_config::Database) {
    let admin = Admin {
        admin_database_url: servers::postgres_admin(),
    };
    provision(&admin, owner, config).await.unwrap();
}

async fn session(url: &SecretUrl) -> PgConnection {
    PgConnection::connect(url.expose()).await.unwrap()
}

#[tokio::test]
async fn a_role_reaches_no_schema_but_its_own() {
    let database = servers::unique("tenants_");
    let services = [
        service("tenant_a", &database, "test"),
        service("tenant_b", &database, "test"),
    ];
    for (owner, config) in &services {
        made(owner, config).await;
        migrate(owner, config, &combine(&[])).await.unwrap();
    }
    let [(_, a), (b_owner, b)] = &services;
    for (url, theirs) in [
        (&a.database_url, "tenant_b"),
        (&b.database_url, "tenant_a"),
        (&b_owner.migration_database_url, "tenant_a"),
    ] {
        let mut session = session(url).await;
        run(&mut session, "SELECT FROM idempotency_keys").await.unwrap();
        for statement in [
            format!("SELECT FROM {theirs}.idempotency_keys"),
            format!("CREATE TABLE {theirs}.mine ()"),
            format!("SET ROLE test_{theirs}_app"),
            "CREATE TABLE public.mine ()".to_owned(),
        ] {
            assert_eq!(refused(&mut session, &statement).await, "42501", "{statement}");
        }
    }
    let mut session = session(&a.database_url).await;
    for statement in [
        "CREATE TABLE mine ()",
        "CREATE TEMP TABLE mine ()",
        "DROP TABLE idempotency_keys",
        "DELETE FROM idempotency_keys",
        "TRUNCATE idempotency_keys",
        "SELECT grant_runtime('ALL', 'idempotency_keys')",
        "CREATE DATABASE mine",
        "CREATE ROLE test_mine",
    ] {
        let code = refused(&mut session, statement).await;
        // grant_runtime ends before it can grant: the session does not name the role.
        assert!(code == "42501" || code == "42704", "{statement}: {code}");
    }
}

#[tokio::test]
async fn provisioning_again_keeps_the_data_and_sets_the_passwords() {
    let database = servers::unique("tenants_");
    let (owner, config) = service("tenant_again", &database, "test");
    made(&owner, &config).await;
    migrate(&owner, &config, &combine(&[])).await.unwrap();
    run(
        &mut session(&owner.migration_database_url).await,
        "CREATE TABLE kept ()",
    )
    .await
    .unwrap();

    // A password as people have them, percent-encoded as URLs have them.
    let (new_owner, new_config) = service("tenant_again", &database, "p%40ss%27w%2Frd%20%22x");
    made(&new_owner, &new_config).await;
    run(
        &mut session(&new_owner.migration_database_url).await,
        "SELECT FROM kept",
    )
    .await
    .unwrap();
    run(
        &mut session(&new_config.database_url).await,
        "SELECT FROM idempotency_keys",
    )
    .await
    .unwrap();
    assert!(
        PgConnection::connect(config.database_url.expose()).await.is_err(),
        "the old password"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_provision_at_once() {
    let database = servers::unique("tenants_");
    let all = (0..6).map(|n| {
        let (owner, config) = service(&format!("tenant_many{}", n % 2), &database, "test");
        async move { made(&owner, &config).await }
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn an_incomplete_url_is_named() {
    let database = servers::unique("tenants_");
    let (owner, mut config) = service("tenant_url", &database, "test");
    config.database_url = "postgres://127.0.0.1/x".parse().unwrap();
    let admin = Admin {
        admin_database_url: servers::postgres_admin(),
    };
    let refused = provision(&admin, &owner, &config).await.unwrap_err();
    assert!(
        matches!(refused, TenantError::IncompleteUrl("DATABASE_URL")),
        "{refused:?}"
    );
}
