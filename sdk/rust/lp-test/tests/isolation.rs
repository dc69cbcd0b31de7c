//! Two tests share no row, topic, group or key.

use std::collections::BTreeSet;

use lp_test::{TestDatabase, servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_test_has_a_database_of_its_own() {
    let migrator = lp_pg::schema::combine(&[&lp_outbox::MIGRATOR]);
    // All at once, so that the template is also made once.
    let made = (0..6).map(|_| {
        let migrator = lp_pg::schema::combine(&[&lp_outbox::MIGRATOR]);
        tokio::spawn(async move { TestDatabase::create("isolation", &migrator).await })
    });
    let mut databases = Vec::new();
    for one in made.collect::<Vec<_>>() {
        databases.push(one.await.unwrap());
    }
    let names: BTreeSet<_> = databases
        .iter()
        .map(|d| d.config.database_url.path().unwrap())
        .collect();
    assert_eq!(names.len(), databases.len());
    for database in &databases {
        lp_pg::schema::check(&database.open(), &migrator).await.unwrap();
        let mut session = database.runtime_session().await;
        let insert = "INSERT INTO idempotency_keys
                      VALUES (gen_random_uuid(), 'rpc', 'key', sha256('x'), NULL, 'a', gen_random_uuid(), now())";
        sqlx::query(insert).execute(&mut session).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys")
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(rows, 1, "only this test's");
    }
    // Those that come later do not find what these wrote.
    let later = TestDatabase::create("isolation", &migrator).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys")
        .fetch_one(&mut later.owner_session().await)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_schema_that_changes_has_another_template() {
    let without = TestDatabase::create("isolation", &lp_pg::schema::combine(&[])).await;
    let mut session = without.owner_session().await;
    let outbox: Option<String> = sqlx::query_scalar("SELECT to_regclass('outbox')::text")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(outbox, None);
}

#[test]
fn each_test_has_prefixes_of_its_own() {
    let topics: BTreeSet<_> = (0..100).map(|_| servers::kafka().kafka_prefix).collect();
    let keys: BTreeSet<_> = (0..100).map(|_| servers::valkey().valkey_prefix).collect();
    assert_eq!((topics.len(), keys.len()), (100, 100));
    // None begins another, so that a pattern of one never finds what is another's.
    for (names, end) in [(&topics, '.'), (&keys, ':')] {
        assert!(
            names
                .iter()
                .all(|n| n.ends_with(end) && n.matches(end).count() == 1),
            "{names:?}"
        );
    }
}
