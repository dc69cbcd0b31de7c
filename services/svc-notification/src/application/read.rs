//! Reads, from the service's own tables.

use lp_pg::Database;
use lp_types::{MerchantId, NotificationId};

pub use crate::infrastructure::postgres::notifications::Filter;
use crate::infrastructure::postgres::notifications::{self, Notification};

/// One notification of the merchant.
///
/// # Errors
/// When the database fails.
pub async fn notification(
    database: &Database,
    merchant: MerchantId,
    id: NotificationId,
) -> lp_error::Result<Option<Notification>> {
    let mut connection = database.acquire().await?;
    Ok(notifications::find(&mut connection, merchant, id).await?)
}

/// The merchant's notifications, newest first.
///
/// # Errors
/// When the database fails.
pub async fn notifications(
    database: &Database,
    merchant: MerchantId,
    filter: Filter,
    limit: i64,
) -> lp_error::Result<Vec<Notification>> {
    let mut connection = database.acquire().await?;
    Ok(notifications::list(&mut connection, merchant, filter, limit).await?)
}
