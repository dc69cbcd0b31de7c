//! The call of the in-process gRPC service, and its answer as JSON; or as it is, where it is a file.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use lp_contracts::http_body::HttpBody;
use lp_error::Error;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tower::util::BoxCloneSyncService;

use crate::{
    binding::Binding,
    problem::{Problem, REQUEST_ID},
};

/// The gRPC service of this process, its type erased.
pub(crate) type Grpc =
    BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<tonic::body::Body>, Status>;

/// Request headers that become gRPC metadata, beside those that begin with [`PASSED_PREFIX`].
const PASSED: [&str; 7] = [
    "authorization",
    "grpc-timeout",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-request-id",
];
const PASSED_PREFIX: &str = "localplus-";

/// Answer headers that become HTTP headers.
const RETURNED: [HeaderName; 2] = [REQUEST_ID, header::RETRY_AFTER];

/// Fields without presence stand in every answer, so that a client sees `"minorUnits": "0"` and need not know
/// proto3's defaults; an absent message or `optional` field is left out, since its absence says something.
const ANSWER: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// Calls the rpc of `binding` with an encoded request.
pub(crate) async fn call(
    grpc: Grpc,
    binding: &Binding,
    headers: &HeaderMap,
    message: Vec<u8>,
) -> Result<Response, Problem> {
    // The peer is this process, whose answers need no limit.
    let mut client = tonic::client::Grpc::new(grpc).max_decoding_message_size(usize::MAX);
    client.ready().await.map_err(|status| Problem::from(&status))?;
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(passed(headers));
    match client.unary(request, binding.grpc_path.clone(), Raw).await {
        Ok(answer) => {
            let (metadata, bytes, _) = answer.into_parts();
            let metadata = metadata.into_headers();
            let (kind, body) = body(binding, bytes).map_err(|error| {
                tracing::error!(
                    rpc = binding.rpc.full_name(),
                    error = error.internal_text(),
                    "unreadable answer"
                );
                Problem::from(error).with_request_id(metadata.get(REQUEST_ID))
            })?;
            let kind = (header::CONTENT_TYPE, kind);
            Ok((returned(&metadata), [kind], Body::from(body)).into_response())
        }
        Err(status) => {
            let metadata = status.metadata().clone().into_headers();
            let mut problem = Problem::from(&status).with_request_id(metadata.get(REQUEST_ID));
            // What the status' details say goes before a header of the same name.
            let mut headers = returned(&metadata);
            headers.extend(std::mem::take(&mut problem.headers));
            problem.headers = headers;
            Err(problem)
        }
    }
}

/// The answer's content type and bytes.
fn body(binding: &Binding, bytes: Bytes) -> Result<(HeaderValue, Vec<u8>), Error> {
    if is_file(&binding.rpc) {
        return file(bytes);
    }
    let json = json(binding, bytes)?;
    Ok((HeaderValue::from_static("application/json"), json))
}

/// Whether `rpc` answers with `google.api.HttpBody`, which goes out as it is and not as JSON.
pub(crate) fn is_file(rpc: &MethodDescriptor) -> bool {
    rpc.output().full_name() == "google.api.HttpBody"
}

/// The bytes of a `google.api.HttpBody` under its own content type; its extensions mean nothing here.
fn file(bytes: Bytes) -> Result<(HeaderValue, Vec<u8>), Error> {
    let file = HttpBody::decode(bytes).map_err(Error::internal)?;
    let kind = match file.content_type.as_str() {
        // RFC 9110, 8.3: bytes of which nothing is known.
        "" => HeaderValue::from_static("application/octet-stream"),
        kind => HeaderValue::from_str(kind).map_err(Error::internal)?,
    };
    Ok((kind, file.data))
}

fn json(binding: &Binding, bytes: Bytes) -> Result<Vec<u8>, Error> {
    let answer = DynamicMessage::decode(binding.rpc.output(), bytes).map_err(Error::internal)?;
    let mut json = serde_json::Serializer::new(Vec::new());
    answer
        .serialize_with_options(&mut json, &ANSWER)
        .map_err(Error::internal)?;
    Ok(json.into_inner())
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let chosen =
        |name: &HeaderName| PASSED.contains(&name.as_str()) || name.as_str().starts_with(PASSED_PREFIX);
    headers
        .iter()
        .filter(|(name, _)| chosen(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn returned(metadata: &HeaderMap) -> HeaderMap {
    RETURNED
        .into_iter()
        .filter_map(|name| Some((name.clone(), metadata.get(&name)?.clone())))
        .collect()
}

/// A codec that leaves messages as bytes: they were encoded, and will be decoded, by descriptor.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
