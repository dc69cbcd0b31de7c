//! One table has one owner: no service's role reaches another's schema in the fleet's one database.

use sqlx::{Connection as _, PgConnection};

use crate::fleet;

#[tokio::test(flavor = "multi_thread")]
async fn no_role_reaches_another_schema() {
    let own = fleet::start(&[]);
    let admin = lp_test::servers::postgres_admin();
    for one in &own.plan.services {
        let mut url: url::Url = admin.expose().parse().unwrap();
        url.set_username(&format!("{}_app", one.schema)).unwrap();
        url.set_password(Some(lp_stack::fleet::ROLE_PASSWORD)).unwrap();
        url.set_path(&own.plan.database);
        let mut session = PgConnection::connect(url.as_str()).await.unwrap();
        // Its own tables it sees …
        sqlx::query("SELECT count(*) FROM idempotency_keys")
            .execute(&mut session)
            .await
            .unwrap();
        for other in own
            .plan
            .services
            .iter()
            .filter(|other| other.schema != one.schema)
        {
            // … and nobody else's.
            let query = format!("SELECT count(*) FROM {}.idempotency_keys", other.schema);
            let refused = sqlx::query(sqlx::AssertSqlSafe(query))
                .execute(&mut session)
                .await
                .unwrap_err();
            let code = refused.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{} reads {}: {refused}", one.schema, other.schema);
        }
    }
}
