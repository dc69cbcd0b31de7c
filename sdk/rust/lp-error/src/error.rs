//! The error, and how it stands on the wire.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc, time::Duration};

use tonic_types::{ErrorDetails, StatusExt};

use crate::Code;

/// The `google.rpc.ErrorInfo.domain` of reasons that any service may give.
pub const DOMAIN: &str = "localplus";

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field as JSON names it, for example `entries[1].amount.minorUnits`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A failure. `message`, `fields` and `metadata` reach the client; `internal` reaches only the log.
/// Boxed, since it travels in every `Result`.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: Cow<'static, str>,
    fields: Vec<FieldViolation>,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
    internal: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with a documented `reason` of `domain`, and a sentence for the client.
    pub fn new(
        code: Code,
        domain: &'static str,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            code,
            domain,
            reason,
            message: message.into(),
            fields: Vec::new(),
            metadata: HashMap::new(),
            retry_after: None,
            internal: None,
        }))
    }

    /// One or more fields are wrong: INVALID_FIELD.
    pub fn invalid_fields(fields: Vec<FieldViolation>) -> Self {
        let message = fields
            .iter()
            .map(|v| format!("{}: {}", v.field, v.description))
            .collect::<Vec<_>>()
            .join("; ");
        let mut error = Self::new(Code::InvalidArgument, DOMAIN, "INVALID_FIELD", message);
        error.0.fields = fields;
        error
    }

    /// One field is wrong: INVALID_FIELD.
    pub fn invalid_field(field: impl Into<String>, description: impl fmt::Display) -> Self {
        Self::invalid_fields(vec![FieldViolation {
            field: field.into(),
            description: description.to_string(),
        }])
    }

    /// There is no such thing for this caller: NOT_FOUND.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(
            Code::NotFound,
            DOMAIN,
            "NOT_FOUND",
            format!("{what} was not found"),
        )
    }

    /// At capacity, refused at once: OVERLOADED.
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::new(
            Code::ResourceExhausted,
            DOMAIN,
            "OVERLOADED",
            "the service is at its capacity; try again",
        )
        .with_retry_after(retry_after)
    }

    /// A part we need cannot be reached: DEPENDENCY_UNAVAILABLE.
    pub fn unavailable(what: &'static str) -> Self {
        Self::new(
            Code::Unavailable,
            DOMAIN,
            "DEPENDENCY_UNAVAILABLE",
            format!("{what} cannot be reached; try again with the same idempotency key"),
        )
    }

    /// The deadline passed: DEADLINE_EXCEEDED.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            DOMAIN,
            "DEADLINE_EXCEEDED",
            "the deadline passed; try again with the same idempotency key",
        )
    }

    /// A fault of ours; the client learns nothing but that.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            DOMAIN,
            "INTERNAL",
            "an internal error; its request id is in the logs",
        )
        .with_internal(cause)
    }

    /// With the field that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.0.fields.push(FieldViolation {
            field: field.into(),
            description: description.into(),
        });
        self
    }

    /// As an error of something larger, of which `part` is a part: its fields are fields of the part.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if self.0.fields.is_empty() {
            let message = self.0.message.clone().into_owned();
            return self.with_field(part, message);
        }
        for violation in &mut self.0.fields {
            violation.field = format!("{part}.{}", violation.field);
        }
        if self.0.reason == "INVALID_FIELD" {
            return Self::invalid_fields(self.0.fields);
        }
        self
    }

    /// With a fact for the client, in `google.rpc.ErrorInfo.metadata`.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.metadata.insert(key.into(), value.to_string());
        self
    }

    /// With the time after which to try again, in `google.rpc.RetryInfo`.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// With a cause for the log. It never reaches the client.
    #[must_use]
    pub fn with_internal(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.internal = Some(Arc::from(cause.into()));
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Its documented reason.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// The sentence for the client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields that are wrong.
    pub fn fields(&self) -> &[FieldViolation] {
        &self.0.fields
    }

    /// The facts for the client.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// When to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The cause for the log, with its own causes.
    pub fn internal_text(&self) -> Option<String> {
        let mut cause: Option<&dyn std::error::Error> = Some(self.0.internal.as_deref()?);
        let mut text = String::new();
        while let Some(error) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Some(text)
    }
}

/// Names the field in which a value was wrong.
pub trait InField<T> {
    /// The value, or INVALID_FIELD with `field` and what is wrong.
    ///
    /// # Errors
    /// When there is no value.
    fn in_field(self, field: &str) -> Result<T>;
}

impl<T, E: fmt::Display> InField<T> for std::result::Result<T, E> {
    fn in_field(self, field: &str) -> Result<T> {
        self.map_err(|error| Error::invalid_field(field, error))
    }
}

impl<T> InField<T> for Option<T> {
    fn in_field(self, field: &str) -> Result<T> {
        self.ok_or_else(|| Error::invalid_field(field, "is missing"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("reason", &self.0.reason)
            .field("message", &self.0.message)
            .field("fields", &self.0.fields)
            .field("internal", &self.internal_text())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {}

impl From<Error> for tonic::Status {
    /// With `google.rpc` details. The error itself travels as the status' source, so that the request log
    /// finds its internal text; a source never goes over the wire.
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.0.reason, error.0.domain, error.0.metadata.clone());
        if !error.0.fields.is_empty() {
            let violations = error.0.fields.iter();
            details.set_bad_request(
                violations
                    .map(|v| tonic_types::FieldViolation::new(v.field.clone(), v.description.clone()))
                    .collect::<Vec<_>>(),
            );
        }
        if let Some(after) = error.0.retry_after {
            details.set_retry_info(Some(after));
        }
        let mut status = Self::with_error_details(error.0.code.grpc(), error.0.message.clone(), details);
        status.set_source(Arc::new(error));
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_text_stays_inside() {
        let error = Error::internal(std::io::Error::other("password=hunter2"));
        assert_eq!(error.internal_text().as_deref(), Some("password=hunter2"));
        let status = tonic::Status::from(error);
        let wire = status.clone().into_http::<tonic::body::Body>();
        assert!(!format!("{:?}", wire.headers()).contains("hunter2"));
        assert!(!status.message().contains("hunter2"));
    }

    #[test]
    fn details_name_reason_field_and_retry() {
        let error = Error::invalid_field("amount.minorUnits", "must be greater than zero")
            .with_retry_after(Duration::from_secs(2))
            .with_metadata("limit", 7);
        let details = tonic::Status::from(error).get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_FIELD", DOMAIN)
        );
        assert_eq!(info.metadata.get("limit").map(String::as_str), Some("7"));
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "amount.minorUnits"
        );
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(2))
        );
    }
}
