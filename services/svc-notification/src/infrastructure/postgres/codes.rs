//! Enumerations as the tables hold them, and rows that break them.

use lp_pg::PgError;

use crate::domain::notification::{Status, Template};

/// A value in a column that stands for nothing.
#[derive(Debug, thiserror::Error)]
#[error("notifications.{column} holds {value}")]
struct UnknownCode {
    column: &'static str,
    value: String,
}

/// A row that the code's types cannot hold: a fault of ours.
pub fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> PgError {
    sqlx::Error::Decode(Box::new(error)).into()
}

/// The number of a status.
pub fn status_number(status: Status) -> i16 {
    match status {
        Status::Pending => 1,
        Status::Sent => 2,
        Status::Suppressed => 3,
        Status::Failed => 4,
    }
}

pub(super) fn status_of(number: i16) -> lp_pg::Result<Status> {
    match number {
        1 => Ok(Status::Pending),
        2 => Ok(Status::Sent),
        3 => Ok(Status::Suppressed),
        4 => Ok(Status::Failed),
        _ => Err(corrupt(UnknownCode {
            column: "status",
            value: number.to_string(),
        })),
    }
}

pub(super) fn template_of(name: String) -> lp_pg::Result<Template> {
    let known = Template::ALL.into_iter().find(|template| template.name() == name);
    known.ok_or_else(|| {
        corrupt(UnknownCode {
            column: "template",
            value: name,
        })
    })
}
