//! Asking another service on behalf of our own caller, and what its refusal means for that caller.

use std::time::Instant;

use lp_error::Error;
use lp_types::{CallerContext, IdempotencyKey};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::Outgoing;

/// For whom another service is asked, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// For whom.
    pub caller: &'a CallerContext,
    /// Until when an answer is of use.
    pub deadline: Instant,
}

impl<'a> Asking<'a> {
    /// A call; with `key` where it writes.
    pub fn outgoing(self, key: Option<&'a IdempotencyKey>) -> Outgoing<'a> {
        Outgoing {
            caller: self.caller,
            deadline: self.deadline,
            key,
        }
    }
}

/// The documented reason of a refusal; empty where there is none.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// What the failure of `service`, for example `svc-ledger`, means for our own caller, where it is no answer that we
/// expect: it is away, too late, or a fault of ours.
pub fn failed(service: &'static str, status: Status) -> Error {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::Unknown => {
            Error::unavailable(service).with_internal(status)
        }
        Code::DeadlineExceeded => Error::deadline_exceeded().with_internal(status),
        _ => Error::internal(status),
    }
}
