//! Between the contract's messages and the domain's types.

use lp_contracts::{notification::v1, time::to_wire};
use lp_error::{InField, Result};

use crate::{domain::notification::Status, infrastructure::postgres::notifications::Notification};

pub(super) fn notification(of: &Notification) -> v1::Notification {
    v1::Notification {
        notification_id: of.id.to_string(),
        transaction_id: of.transaction.to_string(),
        account_id: of.account.to_string(),
        template: of.template.name().to_owned(),
        status: status(of.status).into(),
        attempts: of.attempts,
        last_error: of.last_error.clone().unwrap_or_default(),
        created_at: Some(to_wire(of.created_at)),
        sent_at: of.sent_at.map(to_wire),
    }
}

fn status(of: Status) -> v1::NotificationStatus {
    match of {
        Status::Pending => v1::NotificationStatus::Pending,
        Status::Sent => v1::NotificationStatus::Sent,
        Status::Suppressed => v1::NotificationStatus::Suppressed,
        Status::Failed => v1::NotificationStatus::Failed,
    }
}

/// The status that a list is filtered by; none: all.
pub(super) fn status_filter(number: i32) -> Result<Option<Status>> {
    let status = v1::NotificationStatus::try_from(number).map_err(|_| "must be one of the statuses");
    Ok(match status.in_field("status")? {
        v1::NotificationStatus::Unspecified => None,
        v1::NotificationStatus::Pending => Some(Status::Pending),
        v1::NotificationStatus::Sent => Some(Status::Sent),
        v1::NotificationStatus::Suppressed => Some(Status::Suppressed),
        v1::NotificationStatus::Failed => Some(Status::Failed),
    })
}
