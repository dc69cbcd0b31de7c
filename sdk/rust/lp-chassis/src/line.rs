//! The one log line of a request.

use std::time::Duration;

use http::Response;
use lp_error::{Error, LogLevel};
use lp_telemetry::RequestCost;
use lp_types::{CallerContext, RequestId};
use tonic::{Status, body::Body};

/// One line a request; returns its gRPC code's name.
pub(crate) fn tell(
    rpc: &str,
    response: &Response<Body>,
    (id, caller): (RequestId, Option<&CallerContext>),
    took: Duration,
    cost: RequestCost,
) -> &'static str {
    // tonic leaves the status of a failed unary call in the extensions, and ours is its source.
    let status = response.extensions().get::<Status>();
    let error = status
        .and_then(|s| std::error::Error::source(s))
        .and_then(|s| s.downcast_ref::<Error>());
    let code = name(status.map_or(tonic::Code::Ok, Status::code));
    let level = match (status, error) {
        (None, _) => LogLevel::Info,
        (Some(_), Some(error)) => error.code().log_level(),
        (Some(_), None) => LogLevel::Warn,
    };
    let merchant = caller.map(|c| tracing::field::display(c.merchant));
    let actor = caller.map(|c| c.actor.as_str());
    let request_id = tracing::field::display(id);
    let outcome = error.map_or(code, Error::reason);
    let (ms, database_ms) = (millis(took), millis(cost.database));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                rpc,
                code,
                outcome,
                merchant,
                actor,
                request_id,
                duration_ms = ms,
                database_ms,
                queries = cost.queries,
                cause = error.and_then(Error::internal_text),
                "request"
            )
        };
    }
    match level {
        LogLevel::Info => line!(info),
        LogLevel::Warn => line!(warn),
        LogLevel::Error => line!(error),
    }
    code
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A code as gRPC names it.
pub(crate) fn name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
