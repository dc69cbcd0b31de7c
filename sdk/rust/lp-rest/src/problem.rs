//! Failures as `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lp_contracts::common::v1::ErrorReason;
use lp_error::{Code, Error};
use serde::Serialize;
use tonic_types::StatusExt;

/// The header by which a request is found in the logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A problem document: what every REST answer holds that is not a success.
///
/// It says the same as the gRPC status with `google.rpc` details; make it from one, or from an
/// [`lp_error::Error`], which alone knows the statuses that gRPC has no code for (404 UNKNOWN_PATH, 405, 413,
/// 415).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:localplus:error:<domain>:<REASON>`: a name, not an address, so nobody tries to open it.
    pub r#type: String,
    /// The reason as words. It never changes for one type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The documented reason, `google.rpc.ErrorInfo.reason`; for a status without details (a server that
    /// does not know the rpc, say) the name of its gRPC code.
    pub reason: String,
    /// The domain of the reason.
    pub domain: String,
    /// Facts beside the reason, `google.rpc.ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Every field that is wrong.
    pub violations: Vec<Violation>,
    /// The request's id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Headers that belong to it: `Retry-After`, `Allow`, `WWW-Authenticate`, `X-Request-Id`.
    #[serde(skip)]
    pub headers: HeaderMap,
}

/// One field that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// Its path as JSON names it, for example `entries[1].amount.minorUnits`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Problem {
    /// With the request's id, in the document and in the header.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<&HeaderValue>) -> Self {
        if let Some((id, text)) = id.and_then(|id| Some((id, id.to_str().ok()?))) {
            self.request_id = Some(text.to_owned());
            self.headers.insert(REQUEST_ID, id.clone());
        }
        self
    }

    /// With the methods that the path knows.
    pub(crate) fn with_allow(mut self, methods: &[http::Method]) -> Self {
        let list = methods
            .iter()
            .map(http::Method::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if let Ok(value) = HeaderValue::from_str(&list) {
            self.headers.insert(header::ALLOW, value);
        }
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = error.code().http().as_u16();
        Self {
            status,
            ..Self::from(&tonic::Status::from(error))
        }
    }
}

impl From<&tonic::Status> for Problem {
    fn from(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let (reason, domain, metadata, detail) = match details.error_info() {
            Some(info) => {
                let metadata = info.metadata.clone().into_iter().collect();
                (
                    info.reason.clone(),
                    info.domain.clone(),
                    metadata,
                    status.message().to_owned(),
                )
            }
            None => {
                let detail = undocumented_detail(status);
                (
                    code_name(status.code()),
                    lp_error::DOMAIN.to_owned(),
                    BTreeMap::new(),
                    detail,
                )
            }
        };
        let violations = details
            .bad_request()
            .map(|bad| &*bad.field_violations)
            .unwrap_or_default();
        let mut headers = HeaderMap::new();
        if let Some(after) = details.retry_info().and_then(|retry| retry.retry_delay) {
            // Whole seconds, rounded up: never before the time that the service named.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status.code() == tonic::Code::Unauthenticated {
            // RFC 6750, 3: how one proves who one is.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Self {
            r#type: format!("urn:localplus:error:{domain}:{reason}"),
            title: title(&reason),
            status: lp_error::http_of_grpc(status.code()).as_u16(),
            detail,
            reason,
            domain,
            metadata,
            violations: violations
                .iter()
                .map(|v| Violation {
                    field: v.field.clone(),
                    description: v.description.clone(),
                })
                .collect(),
            request_id: None,
            headers,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        )];
        // A struct of strings always serialises.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, kind, self.headers, body).into_response()
    }
}

/// An error of this layer.
pub(crate) fn refusal(code: Code, reason: ErrorReason, detail: impl Into<String>) -> Error {
    Error::new(code, lp_error::DOMAIN, reason.reason(), detail.into())
}

/// A field that the request does not have.
pub(crate) fn unknown_field(path: &str) -> Error {
    refusal(
        Code::InvalidArgument,
        ErrorReason::UnknownField,
        format!("{path}: there is no such field"),
    )
    .with_field(path, "there is no such field")
}

/// A status without `ErrorInfo` was not written by our own code, so a fault's text may tell what is inside.
fn undocumented_detail(status: &tonic::Status) -> String {
    match status.code() {
        tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::DataLoss => {
            "an internal error; its request id is in the logs".to_owned()
        }
        _ => status.message().to_owned(),
    }
}

/// `NotFound` as `NOT_FOUND`.
fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// `UNKNOWN_FIELD` as `Unknown field`.
fn title(reason: &str) -> String {
    let words = reason.to_ascii_lowercase().replace('_', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}
