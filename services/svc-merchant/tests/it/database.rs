//! What the database itself refuses, whoever writes.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{Ground, external, purchase, uuid_of};

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
        "ALTER TABLE merchants ADD COLUMN x int",
        "TRUNCATE merchants",
        "DELETE FROM merchants",
        "UPDATE merchants SET currency_code = 'USD'",
        "UPDATE merchants SET merchant_id = merchant_id",
        "UPDATE merchant_events SET reason = 'x'",
        "DELETE FROM merchant_events",
        "TRUNCATE merchant_events",
        "UPDATE programs SET earn_points = 0",
        "DELETE FROM programs",
        "DELETE FROM purchases",
        "UPDATE purchases SET amount = 1",
        "UPDATE purchases SET program_version = 1",
        "UPDATE purchase_tenders SET minor_units = 1",
        "DELETE FROM purchase_tenders",
        "DELETE FROM idempotency_keys",
    ] {
        // insufficient_privilege
        assert_eq!(refused(&mut session, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn the_schema_refuses_what_must_not_be() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop_with_program(&instance).await;
    shop.client
        .submit("k", purchase("", [external(100)]))
        .await
        .unwrap();
    let mut owner = ground.owner().await;
    let merchant = uuid_of(&shop.client.merchant.to_string());
    let columns = "merchant_id, version, earn_points, earn_per, burn_points, burn_value, actor, request_id, published_at";
    let program = |version: i32, numbers: &str| {
        format!(
            "INSERT INTO programs ({columns}) VALUES ('{merchant}', {version}, {numbers}, 'x', gen_random_uuid(), now())"
        )
    };
    let (check, unique, history) = ("23514", "23505", "23001");
    let cases = [
        ("UPDATE merchants SET sales_account_id = NULL".to_owned(), check),
        ("UPDATE merchants SET state = 3".to_owned(), check),
        ("UPDATE merchants SET state = 7".to_owned(), check),
        (
            "UPDATE merchants SET points_code = currency_code".to_owned(),
            check,
        ),
        ("UPDATE purchases SET transaction_id = NULL".to_owned(), check),
        ("UPDATE purchases SET state = 4".to_owned(), check),
        ("UPDATE purchases SET points_earned = 1".to_owned(), check),
        (program(2, "100, 100, 100, 100"), check),
        (program(2, "1, 0, 100, 100"), check),
        (program(2, "-1, 1, 100, 100"), check),
        (program(1, "1, 100, 100, 100"), unique),
        ("UPDATE programs SET earn_points = 0".to_owned(), history),
        ("DELETE FROM programs".to_owned(), history),
        ("TRUNCATE programs CASCADE".to_owned(), history),
        ("UPDATE merchant_events SET actor = 'x'".to_owned(), history),
        ("DELETE FROM merchant_events".to_owned(), history),
        ("TRUNCATE merchant_events".to_owned(), history),
    ];
    for (statement, expected) in cases {
        assert_eq!(refused(&mut owner, &statement).await, expected, "{statement}");
    }
}
