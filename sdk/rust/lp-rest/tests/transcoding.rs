//! Every form of annotation and of field, over a service that answers what it is asked.

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

use http::Method;
use lp_rest::BuildError;
use serde_json::{Value, json};
use support::Api;

/// The fields of `answer` that are not proto3's defaults.
fn set(answer: &Value) -> Value {
    let fields = answer
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| match value {
            Value::String(text) => !matches!(text.as_str(), "" | "0" | "COLOUR_UNSPECIFIED"),
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Array(list) => !list.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Null => true,
        });
    fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[tokio::test]
async fn a_query_sets_every_kind_of_scalar() {
    let query = "id=a%2Fb&number=-3&flag=true&blob=AQI%3D&words=x&words=y+z&numbers=1&numbers=2&inner.textValue=t\
                 &inner.amount=18446744073709551615&colour=COLOUR_RED&at=2026-01-02T03:04:05Z&span=1.5s&maybe=0\
                 &right=4&itself.itself.id=deep&ratio=0.5";
    let answer = Api::echo().get(&format!("/v1/echo?{query}")).await;
    let mut fields = set(&answer.json());
    let itself = fields.as_object_mut().unwrap().remove("itself").unwrap();
    assert_eq!(itself["itself"]["id"], "deep");
    assert_eq!(
        fields,
        json!({
            "id": "a/b", "number": -3, "flag": true, "blob": "AQI=", "words": ["x", "y z"],
            "numbers": ["1", "2"], "inner": {"textValue": "t", "amount": "18446744073709551615"},
            "colour": "COLOUR_RED", "at": "2026-01-02T03:04:05Z", "span": "1.500s", "right": 4, "ratio": 0.5,
        })
    );
    assert_eq!(
        answer.json()["maybe"],
        "0",
        "an optional field that was set to its default is present"
    );
}

#[tokio::test]
async fn answers_hold_every_field_but_absent_ones() {
    assert_eq!(
        Api::echo().get("/v1/echo?inner.amount=0").await.json(),
        json!({
            "id": "", "number": 0, "flag": false, "blob": "", "words": [], "numbers": [], "inners": [],
            "byName": {}, "colour": "COLOUR_UNSPECIFIED", "ratio": 0.0, "inner": {"textValue": "", "amount": "0"},
        })
    );
}

#[tokio::test]
async fn path_and_body_are_merged_down_to_the_fields_of_a_message() {
    let api = Api::echo();
    let uri = "/v1/echo/a%20b/inner/c:d:whole";
    let answer = api
        .json(
            Method::PATCH,
            uri,
            r#"{"inner": {"amount": 7}, "byName": {"k": {"amount": "1"}}}"#,
        )
        .await;
    assert_eq!(
        set(&answer.json()),
        json!({
            "id": "a b",
            "inner": {"textValue": "c:d", "amount": "7"},
            "byName": {"k": {"textValue": "", "amount": "1"}},
        })
    );
    for (body, field) in [
        (r#"{"id": "b"}"#, "id"),
        (r#"{"inner": {"text_value": null}}"#, "inner.textValue"),
        (r#"{"byName": {"k": {}, "k": {}}}"#, "byName.k"),
        (r#"{"byName": {"key": {"amount": "x"}}}"#, "byName.key.amount"),
        (r#"{"left": "a", "right": 1}"#, "request"),
    ] {
        let answer = api.json(Method::PATCH, uri, body).await;
        assert_eq!(
            answer.refusal(),
            (400, "INVALID_FIELD".into(), field.into()),
            "{}",
            answer.json()
        );
    }
    let answer = api
        .json(Method::PATCH, uri, r#"{"byName": {"k": {"nope": 1}}}"#)
        .await;
    assert_eq!(
        answer.refusal(),
        (400, "UNKNOWN_FIELD".into(), "byName.k.nope".into())
    );
    assert_eq!(api.calls(), 1);
}

#[tokio::test]
async fn a_body_may_be_one_field() {
    let api = Api::echo();
    let expected = json!({"id": "a", "number": 3, "inner": {"textValue": "t", "amount": "0"}});
    let one = api
        .json(Method::PUT, "/v1/echo/a/part?number=3", r#"{"textValue": "t"}"#)
        .await;
    let two = api.post("/v1/part/a?number=3", r#"{"text_value": "t"}"#).await;
    assert_eq!((set(&one.json()), set(&two.json())), (expected.clone(), expected));

    let list = api.post("/v1/inners?id=a", r#"[{"amount": 1}, {}]"#).await;
    let inners = json!([{"textValue": "", "amount": "1"}, {"textValue": "", "amount": "0"}]);
    assert_eq!(set(&list.json()), json!({"id": "a", "inners": inners}));

    for (uri, body, reason, field) in [
        ("/v1/part/a", r#"{"nope": 1}"#, "UNKNOWN_FIELD", "inner.nope"),
        ("/v1/part/a", r#"{"amount": -1}"#, "INVALID_FIELD", "inner.amount"),
        ("/v1/part/a", "5", "INVALID_FIELD", "inner"),
        ("/v1/part/a", r#"{}, "number": 5"#, "MALFORMED_BODY", ""),
        (
            "/v1/inners",
            r#"[{}, {"amount": "x"}]"#,
            "INVALID_FIELD",
            "inners[1].amount",
        ),
        ("/v1/part/a?inner.amount=1", "{}", "UNKNOWN_FIELD", "inner.amount"),
    ] {
        let answer = api.post(uri, body).await;
        assert_eq!(
            answer.refusal(),
            (400, reason.into(), field.into()),
            "{uri} {body}: {}",
            answer.json()
        );
    }
}

#[tokio::test]
async fn a_request_may_not_be_nested_without_end() {
    let api = Api::echo();
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"itself":"#.repeat(depth), "}".repeat(depth));
    let patch = async |depth| {
        api.json(Method::PATCH, "/v1/echo/a/inner/b:whole", nested(depth))
            .await
    };
    assert!(patch(64).await.status.is_success());
    for depth in [65, 100, 120, 10_000] {
        let field = ["itself"; 65].join(".");
        assert_eq!(patch(depth).await.refusal(), (400, "INVALID_FIELD".into(), field));
    }

    let get = async |depth| {
        api.get(&format!("/v1/echo?{}id=a", "itself.".repeat(depth)))
            .await
    };
    assert!(get(63).await.status.is_success());
    for depth in [64, 9_000] {
        assert_eq!(get(depth).await.refusal().1, "UNKNOWN_FIELD");
    }
}

#[tokio::test]
async fn the_special_goes_before_the_general() {
    let api = Api::echo();
    let delete = async |uri| set(&api.send(Method::DELETE, uri, &[], "").await.json());
    assert_eq!(delete("/v1/things/special").await, json!({}));
    assert_eq!(delete("/v1/things/other").await, json!({"id": "other"}));
    assert_eq!(delete("/v1/things/5:clear").await, json!({"number": 5}));
    assert_eq!(delete("/v1/things/5:other").await, json!({"id": "5:other"}));
    assert_eq!(
        set(&api.get("/v1/things/special").await.json()),
        json!({"id": "special"})
    );
}

#[tokio::test]
async fn a_file_goes_out_as_it_is() {
    let api = Api::echo();
    // Bytes that are no UTF-8: nothing has read them.
    let answer = api
        .get("/v1/file?contentType=text/csv;%20charset%3Dutf-8&data=YSxiDQr/AA==")
        .await;
    assert_eq!(
        (answer.header("content-type"), answer.body.as_ref()),
        ("text/csv; charset=utf-8", b"a,b\r\n\xff\0".as_slice())
    );
    let empty = api.get("/v1/file").await;
    assert_eq!(
        (
            empty.status.as_u16(),
            empty.header("content-type"),
            empty.body.len()
        ),
        (200, "application/octet-stream", 0)
    );
    // A service that would write a second header with it is refused, and nothing of it goes out.
    let split = api
        .get("/v1/file?contentType=text/csv%0D%0Ax-inner:%201&data=YQ==")
        .await;
    assert_eq!(split.refusal(), (500, "INTERNAL".into(), String::new()));
}

#[tokio::test]
async fn streams_and_rpcs_without_annotation_are_not_served() {
    let api = Api::echo();
    for path in ["/v1/stream", "/echo.v1.EchoService/Hidden"] {
        assert_eq!(api.get(path).await.refusal().1, "UNKNOWN_PATH");
    }
}

#[test]
fn a_contract_that_cannot_be_served_is_refused() {
    let fault = |service| Api::of_echo(&[service]).err().unwrap();
    assert!(
        matches!(fault("echo.v1.Nothing"), BuildError::UnknownService(name) if name == "echo.v1.Nothing")
    );
    assert!(
        matches!(fault("echo.v1.WrongField"), BuildError::Annotation { rpc, .. } if rpc == "echo.v1.WrongField.Get")
    );
    assert!(matches!(fault("echo.v1.Conflict"), BuildError::Conflict { key, .. } if key == "GET /v1/{}"));
}
