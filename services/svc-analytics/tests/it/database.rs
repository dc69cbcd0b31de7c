//! What the role that serves may do, what the schema refuses, and when the service is ready.

use sqlx::{AssertSqlSafe, PgConnection};
use svc_analytics::domain::figures::MAX_OF_QUARTER_HOUR;

use crate::{
    records::{Credit, Customer, Debit, Issuance, earn, entry, transaction},
    support::{Ground, run, until},
};

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

#[tokio::test]
async fn the_role_that_serves_changes_neither_schema_nor_history() {
    let ground = Ground::new().await;
    let mut session = ground.database.runtime_session().await;
    for statement in [
        "CREATE TABLE mine ()",
        "ALTER TABLE asset_figures ADD COLUMN x int",
        "DROP TABLE asset_figures",
        "TRUNCATE quarter_hours, asset_figures",
        "DELETE FROM merchants",
        "DELETE FROM quarter_hours",
        "DELETE FROM asset_figures",
        "UPDATE inbox SET event_id = 'x'",
        "DELETE FROM inbox",
    ] {
        assert_eq!(refused(&mut session, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn the_schema_refuses_what_must_not_be() {
    let ground = Ground::new().await;
    let mut owner = ground.owner().await;
    let merchant = "'0199f0c1-d2e3-7a4b-8c5d-6e7f80912a3b'";
    let quarter = |begins: &str, count: i64| {
        format!("INSERT INTO quarter_hours VALUES ({merchant}, '{begins}', {count}, '{begins}')")
    };
    let asset = |begins: &str, code: &str, given: i64| {
        format!(
            "INSERT INTO asset_figures VALUES ({merchant}, '{begins}', '{code}', 0, {given}, 0, 0, 0, 0, 0)"
        )
    };
    let noon = "2026-06-01T12:00:00Z";
    run(&mut owner, &quarter(noon, 1)).await;
    // The greatest that the code lets through is the greatest that the table does.
    run(&mut owner, &asset(noon, "PTS", MAX_OF_QUARTER_HOUR)).await;
    for (statement, expected) in [
        (quarter("2026-06-01T12:00:01Z", 1), "23514"),
        (quarter("2026-06-01T12:15:00.000001Z", 1), "23514"),
        (quarter("2026-06-01T12:15:00Z", 0), "23514"),
        (asset(noon, "EUR", MAX_OF_QUARTER_HOUR + 1), "23514"),
        (asset(noon, "EUR", -1), "23514"),
        (asset(noon, "=1+1", 1), "23514"),
        (asset(noon, "PTS", 1), "23505"),
        (asset("2026-06-01T12:30:00Z", "PTS", 1), "23503"),
    ] {
        assert_eq!(refused(&mut owner, &statement).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn the_sums_of_a_day_stay_in_range() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut owner = ground.owner().await;
    // Every quarter hour of a day with as much as it may have.
    let (m, merchant) = (MAX_OF_QUARTER_HOUR, client.merchant.uuid());
    let quarters = format!(
        "INSERT INTO quarter_hours SELECT '{merchant}', at, 1, at
           FROM generate_series('2026-06-01T00:00Z'::timestamptz, '2026-06-01T23:45Z', '15 minutes') AS at;
         INSERT INTO asset_figures SELECT merchant_id, begins, 'PTS', 0, {m}, {m}, {m}, {m}, {m}, {m} FROM quarter_hours"
    );
    run(&mut owner, &quarters).await;
    let day = client.year().await.days.swap_remove(0);
    assert_eq!(
        (day.transactions, day.assets[0].points_given),
        (96, 96 * MAX_OF_QUARTER_HOUR)
    );
    assert_eq!(day.assets[0].cards_redeemed_amount, 96 * MAX_OF_QUARTER_HOUR);
}

#[tokio::test]
async fn amounts_of_different_exponents_are_never_added() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let of = |exponent| {
        let asset = ("GEM", exponent);
        let entries = vec![
            entry(Issuance, Debit, 10, asset),
            entry(Customer, Credit, 10, asset),
        ];
        transaction(client.merchant, "2026-06-01T12:00:00Z", entries)
    };
    ground.told([of(3), of(0), of(3)].concat()).await;
    let found = client.year().await;
    let assets: Vec<_> = found.days[0]
        .assets
        .iter()
        .map(|a| (a.exponent, a.points_given))
        .collect();
    assert_eq!((found.days[0].transactions, assets), (3, vec![(0, 10), (3, 20)]));
}

#[tokio::test]
async fn it_is_ready_while_the_database_answers_whatever_kafka_does() {
    let ground = Ground::new().await;
    let mut config = ground.config();
    "127.0.0.1:1".clone_into(&mut config.common.kafka.kafka_brokers);
    let instance: crate::support::Instance = lp_test_service::Ground::start(&ground, config).await;
    let ready = async || {
        let answer = instance
            .http
            .get(format!("{}/healthz/ready", instance.base))
            .send()
            .await;
        answer.unwrap().status().as_u16()
    };
    until("ready", async || ready().await == 200).await;
    assert!(instance.merchant().year().await.days.is_empty());
    let mut admin = ground.admin().await;
    let name = ground.name();
    run(
        &mut admin,
        &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"),
    )
    .await;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    run(&mut admin, &end).await;
    until("not ready", async || ready().await == 503).await;
    run(
        &mut admin,
        &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true"),
    )
    .await;
    until("ready again", async || ready().await == 200).await;
}

#[tokio::test]
async fn what_happens_while_the_database_is_away_counts_afterwards() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut admin = ground.admin().await;
    let name = ground.name();
    run(
        &mut admin,
        &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"),
    )
    .await;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    run(&mut admin, &end).await;
    ground
        .tell(transaction(client.merchant, "2026-06-01T12:00:00Z", earn(1)))
        .await;
    let retried = "consumer_retries_total{topic=\"ledger.transactions.v1\"}";
    until("it was tried again", async || instance.measured(retried)).await;
    run(
        &mut admin,
        &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true"),
    )
    .await;
    until("it counts", async || client.counted().await == 1).await;
}
