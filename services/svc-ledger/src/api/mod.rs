//! gRPC handlers, and conversion between the contract and the domain. REST comes from the contract.

mod accounts;
mod balances;
mod batch;
mod checks;
mod convert;
mod errors;
pub mod grpc;
mod import;
pub mod job;
mod orders;
