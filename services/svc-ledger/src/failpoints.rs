//! Places where a test build fails on purpose: the moments of a batch at which a crash or a lost connection says most.
//!
//! With the feature `failpoints`, `FAILPOINTS` says what happens where and how often, for example
//! `poster-before-commit=2%return(abort);poster-after-commit=5%return(lost)`: `abort` ends the process as SIGKILL
//! would, `lost` is the loss of the connection, `sleep(1100)` in place of `return(…)` is a stall that outlasts what the
//! database allows a transaction. Without the feature nothing of it is compiled.

/// Takes the settings from the environment, for as long as the process runs.
#[cfg(feature = "failpoints")]
pub(crate) fn start() {
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn start() {}

/// What happens where a point is hit.
#[cfg(feature = "failpoints")]
pub(crate) fn hit(action: Option<&str>) -> lp_pg::PgError {
    if action == Some("abort") {
        std::process::abort();
    }
    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    lp_pg::PgError::from(sqlx::Error::Io(lost))
}

/// Such a place, in a function that may fail as PostgreSQL does.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |action: Option<String>| {
            Err(crate::failpoints::hit(action.as_deref()))
        });
    };
}
pub(crate) use failpoint;
