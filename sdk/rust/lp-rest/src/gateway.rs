//! One request from its arrival to its answer.

use std::error::Error as _;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use lp_contracts::common::v1::ErrorReason;
use lp_error::{Code, Error};

use crate::{
    call::{Grpc, call},
    path::{Match, Routes},
    problem::{Problem, REQUEST_ID, refusal},
    request,
};

/// What answers every path that is not a page.
pub(crate) struct Gateway {
    pub(crate) routes: Routes,
    pub(crate) grpc: Grpc,
    pub(crate) body_limit: usize,
}

impl Gateway {
    pub(crate) async fn serve(&self, request: Request) -> Response {
        self.answer(request)
            .await
            .unwrap_or_else(IntoResponse::into_response)
    }

    async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let refused = |problem: Problem| {
            // Requests that reach the service are logged there; these do not.
            let id = parts.headers.get(REQUEST_ID);
            let request_id = id.and_then(|id| id.to_str().ok());
            tracing::info!(method = %parts.method, problem.status, problem.reason, request_id, "refused");
            problem.with_request_id(id)
        };
        let (binding, captures) = match self.routes.find(&parts.method, parts.uri.path()) {
            Match::Found(binding, captures) => (binding, captures),
            Match::OtherMethods(methods) => return Err(refused(method_not_allowed().with_allow(&methods))),
            Match::Unknown => return Err(refused(unknown_path())),
        };
        let body = read(body, self.body_limit)
            .await
            .map_err(|error| refused(error.into()))?;
        let message = request::message(binding, &captures, parts.uri.query(), &parts.headers, &body)
            .map_err(|error| refused(error.into()))?;
        call(self.grpc.clone(), binding, &parts.headers, message).await
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    to_bytes(body, limit).await.map_err(|error| {
        if error
            .source()
            .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>)
        {
            let detail = format!("the body is larger than {limit} bytes");
            refusal(Code::BodyTooLarge, ErrorReason::BodyTooLarge, detail).with_metadata("limit", limit)
        } else {
            refusal(
                Code::InvalidArgument,
                ErrorReason::MalformedBody,
                "the body ended before its time",
            )
        }
    })
}

fn unknown_path() -> Problem {
    refusal(
        Code::UnknownPath,
        ErrorReason::UnknownPath,
        "there is nothing at this path",
    )
    .into()
}

/// A known path with another method; the caller adds the methods that there are.
pub(crate) fn method_not_allowed() -> Problem {
    let detail = "this path does not know this method";
    refusal(Code::MethodNotAllowed, ErrorReason::MethodNotAllowed, detail).into()
}
