//! From path, query and body to the bytes of the rpc's request message.

use http::{HeaderMap, header};
use lp_contracts::common::v1::ErrorReason;
use lp_error::{Code, Error};
use percent_encoding::percent_decode_str;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use crate::{
    binding::{Binding, Body},
    field::{FieldPath, find, inner},
    problem::{refusal, unknown_field},
    shape::{Expect, Walk},
};

/// The encoded request message.
///
/// Fields of path and query are read as one message, those of the body as another. Protobuf merges messages
/// whose encodings stand one after the other, and no field may come from two places.
pub(crate) fn message(
    binding: &Binding,
    captures: &[&str],
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut url = Value::Object(serde_json::Map::new());
    for (field, text) in binding.template.fields().zip(captures) {
        set(&mut url, field, percent_decoded(text, || field.json())?)?;
    }
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decoded(name, || name.to_owned())?;
        let field = query_field(binding, &name)?;
        // A form writes a space as `+`.
        set(
            &mut url,
            &field,
            percent_decoded(&value.replace('+', " "), || field.json())?,
        )?;
    }
    let input = binding.rpc.input();
    let mut bytes = decode(&input, url)?.encode_to_vec();
    if let Some(message) = body_message(binding, &input, headers, body)? {
        message.encode(&mut bytes).map_err(Error::internal)?;
    }
    Ok(bytes)
}

/// The field that a query parameter sets.
fn query_field(binding: &Binding, name: &str) -> Result<FieldPath, Error> {
    let field = FieldPath::resolve(&binding.rpc.input(), name).ok_or_else(|| unknown_field(name))?;
    if binding.in_body(&field) {
        Err(unknown_field(name))
    } else {
        Ok(field)
    }
}

fn percent_decoded(text: &str, field: impl FnOnce() -> String) -> Result<String, Error> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Error::invalid_field(field(), "is not percent-encoded UTF-8")),
    }
}

/// Puts `text` at its place in a JSON object. Numbers, enums, bytes and times may all be strings in proto3
/// JSON; a boolean may not.
fn set(object: &mut Value, path: &FieldPath, text: String) -> Result<(), Error> {
    let is_bool = path.0.last().is_some_and(|field| match field.kind() {
        Kind::Bool => true,
        Kind::Message(message) => message.full_name() == "google.protobuf.BoolValue",
        _ => false,
    });
    let value = match text.as_str() {
        "true" if is_bool => Value::Bool(true),
        "false" if is_bool => Value::Bool(false),
        _ => Value::String(text),
    };
    let mut place = object;
    for field in &path.0 {
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        let Some(fields) = place.as_object_mut() else {
            return Err(given_twice(path));
        };
        place = fields.entry(field.json_name()).or_insert(Value::Null);
    }
    match place {
        Value::Array(list) => list.push(value),
        Value::Null if path.is_list() => *place = Value::Array(vec![value]),
        Value::Null => *place = value,
        _ => return Err(given_twice(path)),
    }
    Ok(())
}

fn given_twice(path: &FieldPath) -> Error {
    Error::invalid_field(path.json(), "is given twice, in the path or the query")
}

/// The message that the body holds; `None` for an empty body.
fn body_message(
    binding: &Binding,
    input: &MessageDescriptor,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<DynamicMessage>, Error> {
    // No body is an empty one, so that `POST …:void` needs none where the path says everything.
    if body.is_empty() {
        return Ok(None);
    }
    let (expect, field) = match &binding.body {
        Body::None => return Err(Error::invalid_field("body", "this request takes no body")),
        Body::Whole => (Expect::Message(input.clone()), None),
        Body::Field(field) => (Expect::field(field), Some(field.json_name())),
    };
    check_media_type(headers)?;
    let text = std::str::from_utf8(body).map_err(|e| not_utf8(body, e.valid_up_to()))?;

    let mut refused = None;
    let walk = Walk {
        at: field.unwrap_or_default(),
        expect,
        depth: 0,
        bound: &binding.bound,
        refusal: &mut refused,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    if let Err(error) = walk.deserialize(&mut json).and_then(|()| json.end()) {
        return Err(refused.unwrap_or_else(|| malformed(&error, error.line(), error.column())));
    }
    // The values are read as those of the whole message, so that every path in an error begins at its top.
    let decoded = match field {
        Some(name) => {
            let whole = format!("{{{}:{text}}}", Value::from(name));
            decode(input, &mut serde_json::Deserializer::from_str(&whole))
        }
        None if text.trim_start().starts_with('{') => {
            decode(input, &mut serde_json::Deserializer::from_str(text))
        }
        None => Err(malformed(&"the body must be a JSON object", 1, 1)),
    };
    decoded.map(Some)
}

fn malformed(what: &dyn std::fmt::Display, line: usize, column: usize) -> Error {
    refusal(
        Code::InvalidArgument,
        ErrorReason::MalformedBody,
        format!("the body is not a JSON document: {what}"),
    )
    .with_metadata("line", line)
    .with_metadata("column", column)
}

fn not_utf8(body: &[u8], valid: usize) -> Error {
    let before = body.get(..valid).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    malformed(
        &format!("it is not UTF-8 at line {line} column {column}"),
        line,
        column,
    )
}

/// `application/json`, with `charset=utf-8` or without.
fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if json && utf8 {
        return Ok(());
    }
    Err(refusal(
        Code::UnsupportedMediaType,
        ErrorReason::UnsupportedMediaType,
        "the content type must be application/json",
    ))
}

/// Reads the values.
fn decode<'de, D>(input: &MessageDescriptor, json: D) -> Result<DynamicMessage, Error>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let mut track = Track::new();
    let json = serde_path_to_error::Deserializer::new(json, &mut track);
    DynamicMessage::deserialize(input.clone(), json).map_err(|error| {
        let text = error.to_string();
        // The path says where; line and column would be those of the text around a single field.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        // What was found stays unsaid: it may be a secret in the wrong type.
        let told = text.rsplit_once(", expected ").map_or_else(
            || text.to_owned(),
            |(_found, wanted)| format!("expected {wanted}"),
        );
        Error::invalid_field(json_path(input, &track.path()), told)
    })
}

/// The path with JSON names, whichever name the client wrote.
fn json_path(input: &MessageDescriptor, path: &Path) -> String {
    let mut text = String::new();
    let mut scope = Some(input.clone());
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => {
                text.push_str(&format!("[{index}]"));
                continue;
            }
            Segment::Map { key } => key,
            Segment::Enum { variant } => variant,
            Segment::Unknown => continue,
        };
        if !text.is_empty() {
            text.push('.');
        }
        let field = scope
            .as_ref()
            .filter(|m| !m.is_map_entry())
            .and_then(|message| find(message, name));
        text.push_str(field.as_ref().map_or(name, |field| field.json_name()));
        // Below a map stands a key, and below that the fields of its value.
        scope = match field {
            Some(field) if field.is_map() => field.kind().as_message().cloned(),
            Some(field) => inner(&field.kind()).cloned(),
            None => scope
                .filter(MessageDescriptor::is_map_entry)
                .and_then(|entry| inner(&entry.map_entry_value_field().kind()).cloned()),
        };
    }
    // Only a conflict among the top fields of a oneof has no path.
    if text.is_empty() {
        "request".to_owned()
    } else {
        text
    }
}
