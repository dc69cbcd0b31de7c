//! What a service does with an event.

use std::future::Future;

use lp_error::Code;
use lp_pg::{PgError, UnitOfWork};

use crate::Event;

/// What a service does with an event.
///
/// ```
/// # use lp_kafka::{Event, HandleError, Handler};
/// # use lp_pg::UnitOfWork;
/// struct Counts;
///
/// impl Handler for Counts {
///     async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
///         sqlx::query("UPDATE counts SET events = events + 1 WHERE merchant_id = $1")
///             .bind(event.merchant.uuid())
///             .execute(&mut **work)
///             .await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Writes the effect of `event` into `work`, which the consumer commits together with the inbox row. May
    /// be called again for the same event after a failure, and must end within 30 seconds.
    ///
    /// # Errors
    /// Drops what was written; [`HandleError`] says what happens then.
    fn handle(
        &self,
        work: &mut UnitOfWork,
        event: &Event,
    ) -> impl Future<Output = Result<(), HandleError>> + Send;

    /// Called after the commit, and again when the event comes again: for what may be lost or done twice,
    /// such as refreshing a cache.
    fn committed(&self, event: &Event) -> impl Future<Output = ()> + Send {
        let _ = event;
        std::future::ready(())
    }
}

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It never can be, for this reason: it goes to the dead letters at once.
    #[error("{0}")]
    Poison(String),
    /// It may be later: it is tried again in place, and its partition waits. While a part is away
    /// (UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED; a database that is unreachable or in contention)
    /// there is no end to that; for any other error, which is a fault of ours, eight attempts are made, and
    /// then it goes to the dead letters.
    #[error(transparent)]
    Transient(#[from] lp_error::Error),
}

impl HandleError {
    /// Whether a part that we need is away: no fault of the event's or of ours.
    pub(crate) fn is_away(&self) -> bool {
        let code = match self {
            Self::Poison(_) => return false,
            Self::Transient(error) => error.code(),
        };
        matches!(
            code,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
        )
    }

    /// With the cause that only logs and dead letters may show.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Transient(error) => match error.internal_text() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
            Self::Poison(reason) => reason.clone(),
        }
    }
}

impl From<PgError> for HandleError {
    fn from(error: PgError) -> Self {
        Self::Transient(error.into())
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        PgError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_away_is_waited_for_without_end() {
        assert!(HandleError::from(sqlx::Error::PoolTimedOut).is_away());
        assert!(HandleError::from(lp_error::Error::unavailable("svc-wallet")).is_away());
        assert!(!HandleError::from(sqlx::Error::RowNotFound).is_away());
        assert!(!HandleError::from(lp_error::Error::not_found("the wallet")).is_away());
        assert!(!HandleError::Poison("no such kind".into()).is_away());
    }
}
