//! One error type between use cases and the wire.
//!
//! Owns: the closed list of [`Code`]s with their gRPC code, HTTP status and log level; [`Error`], whose
//! public part reaches the client and whose internal part reaches only the log; the conversion to a
//! `tonic::Status` with `google.rpc` details. Start with [`Error`].
//!
//! Invariants and the tests that hold them:
//! - internal text never stands in a status: `error::tests::internal_text_stays_inside`;
//! - each code has one gRPC code and one HTTP status: `code::tests`.

mod code;
mod error;

pub use code::{Code, LogLevel, http_of_grpc};
pub use error::{DOMAIN, Error, FieldViolation, InField, Result};
