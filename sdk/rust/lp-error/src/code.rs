//! The closed list of codes.

/// What kind of failure it was. Closed: a new kind is a decision for the whole fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request can never succeed as it stands.
    InvalidArgument,
    /// The body is too large.
    BodyTooLarge,
    /// The body is not of a known media type.
    UnsupportedMediaType,
    /// Nobody is calling.
    Unauthenticated,
    /// The caller may not.
    PermissionDenied,
    /// No such thing for this caller.
    NotFound,
    /// No such path.
    UnknownPath,
    /// Not with this method.
    MethodNotAllowed,
    /// It is there already.
    AlreadyExists,
    /// The state of things forbids it.
    FailedPrecondition,
    /// It contradicts an earlier request.
    Aborted,
    /// At capacity.
    ResourceExhausted,
    /// A part we need cannot be reached.
    Unavailable,
    /// Too late.
    DeadlineExceeded,
    /// Our fault.
    Internal,
}

/// How loudly a failure is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// The caller's business.
    Info,
    /// Ours, and expected to pass.
    Warn,
    /// Ours.
    Error,
}

impl Code {
    /// Every code, for tests and documents.
    pub const ALL: [Self; 15] = [
        Self::InvalidArgument,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::AlreadyExists,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The gRPC code.
    pub fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidArgument | Self::UnsupportedMediaType => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::UnknownPath | Self::MethodNotAllowed => tonic::Code::Unimplemented,
            Self::AlreadyExists => tonic::Code::AlreadyExists,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::Aborted => tonic::Code::Aborted,
            Self::ResourceExhausted | Self::BodyTooLarge => tonic::Code::ResourceExhausted,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::DeadlineExceeded => tonic::Code::DeadlineExceeded,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The HTTP status.
    pub fn http(self) -> http::StatusCode {
        match self {
            Self::BodyTooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnknownPath => http::StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => http::StatusCode::METHOD_NOT_ALLOWED,
            other => http_of_grpc(other.grpc()),
        }
    }

    /// How loudly it is logged.
    pub fn log_level(self) -> LogLevel {
        match self {
            Self::Internal => LogLevel::Error,
            Self::Unavailable | Self::ResourceExhausted | Self::DeadlineExceeded => LogLevel::Warn,
            _ => LogLevel::Info,
        }
    }
}

/// The HTTP status of a gRPC code, as `google/rpc/code.proto` maps them.
pub fn http_of_grpc(code: tonic::Code) -> http::StatusCode {
    use http::StatusCode as S;
    match code {
        tonic::Code::Ok => S::OK,
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition | tonic::Code::OutOfRange => {
            S::BAD_REQUEST
        }
        tonic::Code::Unauthenticated => S::UNAUTHORIZED,
        tonic::Code::PermissionDenied => S::FORBIDDEN,
        tonic::Code::NotFound => S::NOT_FOUND,
        tonic::Code::AlreadyExists | tonic::Code::Aborted => S::CONFLICT,
        tonic::Code::ResourceExhausted => S::TOO_MANY_REQUESTS,
        tonic::Code::Cancelled => S::from_u16(499).unwrap_or(S::BAD_REQUEST),
        tonic::Code::Unimplemented => S::NOT_IMPLEMENTED,
        tonic::Code::Unavailable => S::SERVICE_UNAVAILABLE,
        tonic::Code::DeadlineExceeded => S::GATEWAY_TIMEOUT,
        tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::DataLoss => S::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_an_error_on_both_wires() {
        for code in Code::ALL {
            assert_ne!(code.grpc(), tonic::Code::Ok, "{code:?}");
            assert!(
                code.http().is_client_error() || code.http().is_server_error(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn only_our_own_faults_are_logged_as_errors() {
        let errors: Vec<_> = Code::ALL
            .into_iter()
            .filter(|c| c.log_level() == LogLevel::Error)
            .collect();
        assert_eq!(errors, [Code::Internal]);
    }
}
