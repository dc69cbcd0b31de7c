//! Services that this one calls.

pub mod giftcard;
pub mod ledger;
pub mod wallet;

use std::time::Instant;

use lp_client::Outgoing;
use lp_error::Error;
use lp_types::{CallerContext, IdempotencyKey};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// For whom another service is asked, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// For whom.
    pub caller: &'a CallerContext,
    /// Until when an answer is of use.
    pub deadline: Instant,
}

impl<'a> Asking<'a> {
    fn outgoing(self, key: Option<&'a IdempotencyKey>) -> Outgoing<'a> {
        Outgoing {
            caller: self.caller,
            deadline: self.deadline,
            key,
        }
    }
}

/// The documented reason of a refusal; empty where there is none.
fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// What the failure of `service` means for our own caller.
fn failed(service: &'static str, status: Status) -> Error {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::Unknown => {
            Error::unavailable(service).with_internal(status)
        }
        Code::DeadlineExceeded => Error::deadline_exceeded().with_internal(status),
        _ => Error::internal(status),
    }
}
