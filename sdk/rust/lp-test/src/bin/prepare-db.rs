//! Makes a database with a service's schema, for `cargo xtask sqlx`: `prepare-db SERVICE MIGRATIONS`.
//! The service itself cannot do it, as it does not compile before its queries were checked. Prints the
//! owner's URL.

#![allow(clippy::expect_used, reason = "a tool of ours; its panics are read by us")]

use std::path::Path;

use lp_test::TestDatabase;
use sqlx::migrate::Migrator;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let service = arguments.next().expect("usage: prepare-db SERVICE MIGRATIONS");
    let folder = arguments.next().expect("usage: prepare-db SERVICE MIGRATIONS");
    let own = Migrator::new(Path::new(&folder))
        .await
        .expect("a folder of migrations");
    let migrator = lp_pg::schema::combine(&[&lp_outbox::MIGRATOR, &lp_kafka::MIGRATOR, &own]);
    let database = TestDatabase::create(&service, &migrator).await;
    println!("{}", database.owner.migration_database_url.expose());
}
