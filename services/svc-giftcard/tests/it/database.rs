//! What the role that serves may do, and what the schema refuses.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{Ground, uuid_of};

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
        "ALTER TABLE cards ADD COLUMN x int",
        "TRUNCATE redemptions",
        "DELETE FROM cards",
        "DELETE FROM products",
        "DELETE FROM redemptions",
        "UPDATE products SET denominations = '{1}'",
        "UPDATE cards SET merchant_id = merchant_id",
        "UPDATE cards SET code_hash = code_hash",
        "UPDATE cards SET pin_hash = NULL",
        "UPDATE redemptions SET card_id = card_id",
        "DELETE FROM idempotency_keys",
        "UPDATE idempotency_keys SET fingerprint = fingerprint",
    ] {
        // insufficient_privilege
        assert_eq!(refused(&mut session, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn the_schema_refuses_what_must_not_be() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, stranger) = (instance.merchant(), instance.merchant());
    let (sold, other) = (client.sold(true, 1_000).await, client.sold(false, 1_000).await);
    let foreign = uuid_of(&stranger.product(false).await);
    client.redeem("k", &sold, 1).await.unwrap();
    let mut owner = ground.owner().await;
    let (check, unique, reference) = ("23514", "23505", "23503");
    let id = uuid_of(&sold.id);
    let (account, other_id) = (uuid_of(&other.account), uuid_of(&other.id));
    let card = |change: &str| format!("UPDATE cards SET {change} WHERE card_id = '{id}'");
    for (statement, expected) in [
        (card("state = 1"), check),
        (card("state = 2"), check),
        (card("state = 4"), check),
        (card("account_id = NULL"), check),
        (card("face_value = NULL"), check),
        (card("face_value = 0"), check),
        (card("code_hash = '\\x00'"), check),
        (card("code_suffix = 'abcd'"), check),
        (card("pin_hash = '123456'"), check),
        (card(&format!("account_id = '{account}'")), unique),
        (
            card(&format!(
                "code_hash = (SELECT code_hash FROM cards WHERE card_id = '{other_id}')"
            )),
            unique,
        ),
        (card(&format!("product_id = '{foreign}'")), reference),
        ("UPDATE redemptions SET state = 1".to_owned(), check),
        ("UPDATE redemptions SET transaction_id = NULL".to_owned(), check),
        (
            "UPDATE redemptions SET merchant_id = gen_random_uuid()".to_owned(),
            reference,
        ),
        ("UPDATE products SET denominations = '{}'".to_owned(), check),
        ("UPDATE products SET denominations = '{0}'".to_owned(), check),
        ("UPDATE products SET name = ''".to_owned(), check),
    ] {
        assert_eq!(refused(&mut owner, &statement).await, expected, "{statement}");
    }
}
