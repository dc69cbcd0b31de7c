//! PostgreSQL as services use it.
//!
//! Owns: the pool and the [`UnitOfWork`] ([`database`]), what a failure means ([`error`]), migrations under
//! a lock and the check that the schema is new enough ([`schema`]), the roles of a tenant ([`tenant`]), and
//! permanent idempotency keys ([`idempotency`]). Start with [`database`], then [`idempotency`], which has
//! the one shape of every write.
//!
//! Statements here are not checked at compile time, as this crate has no schema of its own: its tables live
//! in every service's. The tests of this crate and of the services run each of them.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - a key gives its first answer for ever, also concurrently: `idempotency::*`;
//! - a role reaches no schema but its own: `tenant::*`;
//! - `serve` refuses an old or altered schema and accepts a newer one: `schema::*`.

pub mod database;
pub mod error;
pub mod idempotency;
pub mod schema;
pub mod tenant;

pub use database::{Connection, Database, UnitOfWork};
pub use error::{Failure, PgError, Result};
