//! No input gives a 5xx or a panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test"
)]

mod support;

use axum::body::Body;
use http::{Method, Request};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    string::string_regex,
};
use serde_json::{Value, json};
use support::Api;
use tokio::runtime::Runtime;

const ROUTES: &[(Method, &str)] = &[
    (Method::GET, "/v1/echo"),
    (Method::PATCH, "/v1/echo/a/inner/b:whole"),
    (Method::PUT, "/v1/echo/a/part"),
    (Method::POST, "/v1/part/b"),
    (Method::POST, "/v1/inners"),
    (Method::DELETE, "/v1/things/c"),
    (Method::GET, "/docs"),
];
const METHODS: &[Method] = &[
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::PATCH,
    Method::HEAD,
];
const NAMES: &[&str] = &[
    "number",
    "flag",
    "blob",
    "words",
    "numbers",
    "inner",
    "inners",
    "byName",
    "by_name",
    "colour",
    "at",
    "span",
    "maybe",
    "left",
    "right",
    "itself",
    "ratio",
    "textValue",
    "amount",
    "id",
    "nope",
];
const TEXTS: &[&str] = &[
    "COLOUR_RED",
    "2026-01-02T03:04:05Z",
    "9999-12-31T23:59:60.999999999Z",
    "0001-01-01T00:00:00+23:59",
    "0000-01-01T00:00:00Z",
    "-1.5s",
    "315576000000.999999999s",
    "1e999s",
    "99999999999999999999s",
    "NaN",
    "-0",
    "Infinity",
    "AQI=",
    "=",
    "1e3",
];

/// Any scalar.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| Value::from(number.to_string())),
        select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// Any JSON, with names that are often known.
fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 6, |inside| {
        let name = prop_oneof![9 => select(NAMES).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            vec(inside.clone(), 0..4).prop_map(Value::from),
            vec((name, inside), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// JSON of the right form, which mostly comes through to the service and back.
fn fitting_json() -> impl Strategy<Value = Value> {
    let inner = (any::<String>(), any::<u64>())
        .prop_map(|(text, amount)| json!({"textValue": text, "amount": amount}));
    let field = prop_oneof![
        any::<i32>().prop_map(|number| ("number", json!(number))),
        any::<f64>().prop_map(|number| ("ratio", json!(number))),
        vec(any::<String>(), 0..3).prop_map(|words| ("words", json!(words))),
        vec(any::<i64>(), 0..3).prop_map(|numbers| ("numbers", json!(numbers))),
        (any::<String>(), inner.clone())
            .prop_map(|(key, inner)| ("byName", Value::from_iter([(key, inner)]))),
        vec(inner.clone(), 0..3).prop_map(|inners| ("inners", json!(inners))),
        inner.prop_map(|inner| ("inner", inner)),
        select(TEXTS).prop_map(|text| ("at", json!(text))),
        select(TEXTS).prop_map(|text| ("span", json!(text))),
        string_regex("[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,12})?Z")
            .unwrap()
            .prop_map(|text| ("at", json!(text))),
        string_regex("-?[0-9]{1,12}([.][0-9]{1,12})?s")
            .unwrap()
            .prop_map(|text| ("span", json!(text))),
        any::<i32>().prop_map(|number| ("colour", json!(number))),
    ];
    vec(field, 0..3).prop_map(|fields| {
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![fitting_json(), any_json()].prop_map(|value| value.to_string().into_bytes());
    prop_oneof![
        2 => Just(Vec::new()),
        6 => json.clone(),
        1 => vec(any::<u8>(), 0..200),
        1 => (json, any::<Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

/// A method and an address, percent signs in every state included.
fn target() -> impl Strategy<Value = (Method, String)> {
    let wild = string_regex("([a-zA-Z0-9._~:/?&=+@!$'(),;*%-]|%[0-9A-Fa-f]{2}){0,40}").unwrap();
    let query = string_regex(
        "((number|flag|blob|words|numbers|inner\\.amount|colour|at|span|left|itself\\.id|byName|inners)\
         =[a-zA-Z0-9:.%+-]{0,3}&?){0,3}",
    )
    .unwrap();
    prop_oneof![
        3 => select(ROUTES).prop_map(|(method, path)| (method, path.to_owned())),
        3 => (select(ROUTES), query).prop_map(|((method, path), query)| (method, format!("{path}?{query}"))),
        3 => (select(ROUTES), wild).prop_map(|((method, path), rest)| (method, format!("{path}{rest}"))),
        1 => (select(METHODS), select(ROUTES)).prop_map(|(method, (_, path))| (method, path.to_owned())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_answered((method, address) in target(), body in body()) {
        thread_local! {
            static WORLD: (Runtime, Api) = (Runtime::new().unwrap(), Api::echo());
        }
        let request = Request::builder().method(&method).uri(&address).header("content-type", "application/json");
        // What is no address at all is refused by the HTTP server before it comes here.
        let Ok(request) = request.body(Body::from(body)) else { return Ok(()) };
        let answer = WORLD.with(|(runtime, api)| runtime.block_on(api.request(request)));
        prop_assert!(!answer.status.is_server_error(), "{method} {address} {}", String::from_utf8_lossy(&answer.body));
        if answer.status.is_client_error() && method != Method::HEAD {
            prop_assert!(!answer.refusal().1.is_empty());
        }
    }
}
