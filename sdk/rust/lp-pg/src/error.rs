//! What a failure of PostgreSQL means. The one place where SQLSTATEs are read.

/// A failure of PostgreSQL, as repositories return it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PgError(#[from] sqlx::Error);

/// The result of a repository.
pub type Result<T, E = PgError> = std::result::Result<T, E>;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server cannot be reached, or ended the session: nothing is known of what was under way.
    Unreachable,
    /// Another transaction was in the way (class 40, or a lock wait that ended): the same again may work.
    Contention,
    /// The data broke a rule of the schema (classes 22 and 23): the same again will not work.
    BadData,
    /// Anything else: a fault of ours.
    Fault,
}

impl PgError {
    /// What to do about it.
    pub fn failure(&self) -> Failure {
        match &self.0 {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Failure::Unreachable,
            sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
                // 08 connection exception; 57P0x shutdown, crash, cannot connect now, idle session ended;
                // 53300 too many connections; 25P03 idle in transaction ended; 25006 a read-only standby.
                code if code.starts_with("08") || code.starts_with("57P") => Failure::Unreachable,
                "53300" | "25P03" | "25006" => Failure::Unreachable,
                code if code.starts_with("40") => Failure::Contention,
                "55P03" | "57014" => Failure::Contention,
                code if code.starts_with("22") || code.starts_with("23") => Failure::BadData,
                _ => Failure::Fault,
            },
            _ => Failure::Fault,
        }
    }

    /// The name of the constraint that the data broke.
    pub fn constraint(&self) -> Option<&str> {
        match &self.0 {
            sqlx::Error::Database(error) => error.constraint(),
            _ => None,
        }
    }

    /// The SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match &self.0 {
            sqlx::Error::Database(error) => error.code().map(std::borrow::Cow::into_owned),
            _ => None,
        }
    }
}

impl From<PgError> for lp_error::Error {
    fn from(error: PgError) -> Self {
        match error.failure() {
            Failure::Unreachable | Failure::Contention => {
                Self::unavailable("the database").with_internal(error)
            }
            Failure::BadData | Failure::Fault => Self::internal(error),
        }
    }
}
