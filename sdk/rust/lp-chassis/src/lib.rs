//! What every service stands on: its command line, its two servers, health and drain, and the layer that
//! each request passes, whether it came as gRPC or as REST.
//!
//! Owns: [`Service`] and [`main`] ([`cli`]), [`App`] and how it is served and drained ([`serve`]), the
//! request layer ([`layer`]), how merchants share what room there is ([`shares`]), what a handler needs to know of a request ([`call`]), pages of lists
//! ([`page`]). Start with [`Service`], then [`serve`].
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - no rpc is reached but by a caller who may call it, over gRPC and REST alike: `caller::*`;
//! - beyond capacity a request is refused at once, and no merchant takes all of it: `overload::*`, [`shares`];
//! - a deadline ends the request: `deadline::*`;
//! - SIGTERM lets requests under way finish, then the tasks: `drain::*`.

pub mod call;
mod chassis;
pub mod cli;
pub mod layer;
mod line;
pub mod page;
pub mod serve;
pub mod shares;

pub use call::Call;
pub use chassis::Chassis;
pub use cli::{Job, Service, main};
pub use serve::App;
