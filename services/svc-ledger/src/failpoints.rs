//! Places where a test build fails on purpose: the moments of a batch at which a crash or a lost connection says most.
//!
//! With the feature `failpoints`, `FAILPOINTS` says what happens where and how often, for example
//! `poster-before-commit=2%return(abort);poster-after-commit=5%return(lost)`: `abort` ends the process as SIGKILL
//! would, `lost` is the loss of the connection, `stall` a stop of this lane alone that outlasts what the database allows a
//! transaction. Without the feature nothing of it is compiled.

/// Takes the settings from the environment, for as long as the process runs.
#[cfg(feature = "failpoints")]
pub(crate) fn start() {
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn start() {}

/// What happens at a point, and how the batch goes on.
#[cfg(feature = "failpoints")]
pub(crate) async fn hit(name: &str) -> lp_pg::Result<()> {
    let action = fail::eval(name, |action| action).flatten();
    match action.as_deref() {
        None => Ok(()),
        Some("abort") => std::process::abort(),
        Some("stall") => {
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
            Ok(())
        }
        Some(_lost) => {
            let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            Err(lp_pg::PgError::from(sqlx::Error::Io(lost)))
        }
    }
}

/// Such a place, in a function that may fail as PostgreSQL does.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        crate::failpoints::hit($name).await?;
    };
}
pub(crate) use failpoint;
