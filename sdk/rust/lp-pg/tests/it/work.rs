//! The unit of work, and what a failure means.

use std::task::Poll;

use lp_pg::{Database, Failure, PgError};

use crate::support::{Ground, effect, run};

#[tokio::test]
async fn a_unit_of_work_that_is_dropped_leaves_nothing() {
    let ground = Ground::new().await;
    let mut config = ground.test.config.clone();
    // One connection: what is dropped must be fit for the next.
    config.database_max_connections = 1;
    let database = Database::open(&config, "test").unwrap();
    for _ in 0..3 {
        let mut work = database.begin().await.unwrap();
        effect(&mut work, "dropped").await;
        drop(work);
    }
    let mut work = database.begin().await.unwrap();
    run(&mut work, "INSERT INTO effects VALUES ('much too long')")
        .await
        .unwrap_err();
    drop(work);
    let mut work = database.begin().await.unwrap();
    effect(&mut work, "kept").await;
    work.commit().await.unwrap();
    assert_eq!(ground.effects().await, ["kept"]);
}

#[tokio::test]
async fn a_caller_who_goes_away_while_it_begins_leaves_nothing() {
    let ground = Ground::new().await;
    let mut config = ground.test.config.clone();
    config.database_max_connections = 1;
    let database = Database::open(&config, "test").unwrap();
    drop(database.begin().await.unwrap());
    for polls in (1..=8).cycle().take(80) {
        // Goes away after so many steps, wherever that is.
        let mut begun = Box::pin(database.begin());
        let mut left = polls;
        std::future::poll_fn(|cx| {
            let begun = begun.as_mut().poll(cx);
            left -= 1;
            if begun.is_ready() || left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        drop(begun);
        let mut connection = database.acquire().await.unwrap();
        // A transaction's now() stands still; outside of one each statement has its own.
        let mut now = async || -> String {
            let now = sqlx::query_scalar("SELECT now()::text");
            now.fetch_one(&mut *connection).await.unwrap()
        };
        let (one, two) = (now().await, now().await);
        assert_ne!(one, two, "a transaction was left open after {polls} steps");
    }
}

#[tokio::test]
async fn the_schema_and_the_role_are_the_services_own() {
    let ground = Ground::new().await;
    let mut connection = ground.database.acquire().await.unwrap();
    let (schema, role): (String, String) = sqlx::query_as("SELECT current_schema(), current_user::text")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!((schema.as_str(), role.as_str()), ("pg", "test_pg_app"));
    assert!(ground.database.is_reachable().await);
    let mut session = ground.database.session().await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_setting('application_name')")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(name, "test");
}

#[tokio::test]
async fn a_failure_says_what_to_do_about_it() {
    let ground = Ground::new().await;
    let mut session = ground.database.session().await.unwrap();
    let mut fails = async |statement: &str| {
        let error = run(&mut session, statement).await.unwrap_err();
        PgError::from(error)
    };
    let bad = fails("INSERT INTO effects VALUES ('much too long')").await;
    assert_eq!(
        (bad.failure(), bad.constraint()),
        (Failure::BadData, Some("effects_short"))
    );
    assert_eq!(bad.sqlstate().as_deref(), Some("23514"));
    assert_eq!(fails("SELECT 1 / 0").await.failure(), Failure::BadData);
    assert_eq!(fails("SELECT * FROM nothing").await.failure(), Failure::Fault);
    assert_eq!(fails("DELETE FROM effects").await.failure(), Failure::Fault);
    let raise = |state: &str| format!("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$");
    for (state, failure) in [
        ("40001", Failure::Contention),
        ("40P01", Failure::Contention),
        ("55P03", Failure::Contention),
        ("08006", Failure::Unreachable),
        ("57P03", Failure::Unreachable),
        ("25006", Failure::Unreachable),
    ] {
        assert_eq!(fails(&raise(state)).await.failure(), failure, "{state}");
    }
    let ended = fails("SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert_eq!(ended.failure(), Failure::Unreachable);
    assert_eq!(fails("SELECT 1").await.failure(), Failure::Unreachable);

    let mut waiting = ground.database.begin().await.unwrap();
    let mut holding = ground.test.owner_session().await;
    run(&mut holding, "BEGIN; LOCK TABLE effects").await.unwrap();
    run(&mut waiting, "SET LOCAL lock_timeout = '10ms'")
        .await
        .unwrap();
    let error = run(&mut waiting, "INSERT INTO effects VALUES ('x')")
        .await
        .unwrap_err();
    assert_eq!(PgError::from(error).failure(), Failure::Contention);
}

#[tokio::test]
async fn a_server_that_is_away_is_unreachable_and_its_secrets_stay_inside() {
    let ground = Ground::new().await;
    let mut config = ground.test.config.clone();
    // Nobody listens there.
    config.database_url = "postgres://somebody:hunter2@127.0.0.1:1/nowhere".parse().unwrap();
    let away = Database::open(&config, "test").unwrap();
    assert!(!away.is_reachable().await);
    let session = away.session().await.unwrap_err();
    assert_eq!(session.failure(), Failure::Unreachable);
    let failures = [away.acquire().await.unwrap_err(), away.begin().await.unwrap_err()];
    for failure in failures {
        assert_eq!(failure.failure(), Failure::Unreachable);
        let error = lp_error::Error::from(failure);
        assert_eq!(error.reason(), "DEPENDENCY_UNAVAILABLE");
        let told = format!("{error} {error:?} {:?}", error.internal_text());
        assert!(!told.contains("hunter2"), "{told}");
    }
}
