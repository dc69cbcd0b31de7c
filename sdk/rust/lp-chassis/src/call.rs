//! What a handler needs to know of a request.

use std::{borrow::Cow, time::Instant};

use jiff::Timestamp;
use lp_error::{Code, Error, InField, Result};
use lp_pg::idempotency::{Claim, Fingerprint};
use lp_types::{CallerContext, IdempotencyKey};
use prost::Message;
use sha2::{Digest, Sha256};

/// The metadata (REST: header) that names an intended write.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Who calls, and until when an answer is of use. The request layer puts it into the request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub caller: CallerContext,
    /// Until when an answer is of use.
    pub deadline: Instant,
}

impl Call {
    /// The call that `request` belongs to.
    ///
    /// # Errors
    /// UNAUTHENTICATED when nobody calls.
    pub fn of<M>(request: &tonic::Request<M>) -> Result<Self> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| unauthenticated("no caller"))
    }
}

/// The refusal of a request that nobody seems to make.
pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(
        Code::Unauthenticated,
        lp_error::DOMAIN,
        "UNAUTHENTICATED",
        message,
    )
}

/// The claim of a write: its caller, its key, and the fingerprint of what was asked.
///
/// # Errors
/// IDEMPOTENCY_KEY_INVALID when the key is missing or malformed.
pub fn claim<M: Message>(request: &tonic::Request<M>, rpc: &'static str, at: Timestamp) -> Result<Claim> {
    let invalid = |what: &str| {
        Error::new(
            Code::InvalidArgument,
            lp_error::DOMAIN,
            "IDEMPOTENCY_KEY_INVALID",
            format!("{IDEMPOTENCY_KEY} {what}"),
        )
        .with_field(IDEMPOTENCY_KEY, what.to_owned())
    };
    let mut keys = request.metadata().get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next().ok_or_else(|| invalid("is missing"))?;
    if keys.next().is_some() {
        return Err(invalid("stands there more than once"));
    }
    let key = key
        .to_str()
        .map_err(|_| invalid("must be 1 to 128 visible ASCII characters"))?;
    let key = IdempotencyKey::try_from(key.to_owned()).map_err(|e| invalid(&e.to_string()))?;
    Ok(Claim {
        caller: Call::of(request)?.caller,
        rpc,
        key,
        fingerprint: fingerprint(request.get_ref()),
        at,
    })
}

/// What tells one request from another: SHA-256 of the message as prost writes it, so that gRPC and REST, which meet
/// here, have one fingerprint.
pub fn fingerprint<M: Message>(message: &M) -> Fingerprint {
    Sha256::digest(message.encode_to_vec()).into()
}

/// A text field that may be empty: `None` then.
///
/// # Errors
/// INVALID_FIELD when it is neither empty nor a `T`.
pub fn optional<T: TryFrom<String, Error: std::fmt::Display>>(
    text: String,
    field: &str,
) -> Result<Option<T>> {
    if text.is_empty() {
        Ok(None)
    } else {
        T::try_from(text).in_field(field).map(Some)
    }
}
