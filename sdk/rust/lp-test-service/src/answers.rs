//! Small things that tests ask and wait for.

use std::time::Duration;

use lp_test::servers;
use lp_types::{IdSource as _, MerchantId, SystemIds};
use prost::Message;
use sqlx::{AssertSqlSafe, PgConnection};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An idempotency key that nobody had before.
pub fn new_key() -> String {
    servers::unique("key-")
}

/// A merchant whom nobody has seen before.
pub fn new_merchant() -> MerchantId {
    MerchantId::from_uuid(SystemIds.uuid())
}

/// The bytes of an answer, to compare two.
pub fn bytes<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// The documented reason of a refusal.
pub fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map_or_else(|| format!("undocumented: {status:?}"), |info| info.reason.clone())
}

/// The fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request().map(|bad| bad.field_violations.clone());
    bad.unwrap_or_default().into_iter().map(|v| v.field).collect()
}

/// The UUID in an id.
pub fn uuid_of(id: &str) -> Uuid {
    let (_, uuid) = id.split_once('_').expect("a prefix");
    uuid.parse().expect("a UUID")
}

/// Runs `statement`, or several of them.
pub async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{statement}: {e}"));
}

/// Waits until `ready`.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
