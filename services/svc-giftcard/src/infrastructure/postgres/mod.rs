//! The tables. Each file owns the statements of its own.

pub mod cards;
pub mod products;
pub mod redemptions;

/// A row that the code's types cannot hold: a fault of ours.
fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> lp_pg::PgError {
    sqlx::Error::Decode(Box::new(error)).into()
}
