//! The OpenAPI document is whole; the page loads nothing from elsewhere.

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

use http::StatusCode;
use serde_json::{Value, json};
use support::Api;

async fn document(api: &Api) -> Value {
    let answer = api.get("/openapi.json").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    answer.json()
}

/// Every object of a document, with the way to it.
fn visit(value: &Value, at: &str, look: &mut impl FnMut(&str, &Value)) {
    look(at, value);
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| visit(value, &format!("{at}/{name}"), look)),
        Value::Array(list) => list
            .iter()
            .for_each(|value| visit(value, &format!("{at}/-"), look)),
        _ => {}
    }
}

fn check(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    visit(document, "", &mut |at, value| {
        assert!(!value.is_null(), "null at {at}");
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} at {at}");
        }
        if let Some(kind) = value.get("type").filter(|_| !at.ends_with("/properties")) {
            let known: &[&str] = match at.starts_with("/components/securitySchemes/") {
                true => &["apiKey", "http"],
                false => &["object", "array", "string", "integer", "number", "boolean"],
            };
            assert!(known.contains(&kind.as_str().unwrap()), "{kind} at {at}");
        }
    });
    let mut ids = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let captures: Vec<_> = path
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
            .collect();
        for (method, operation) in methods.as_object().unwrap() {
            assert!(["get", "put", "post", "delete", "patch"].contains(&method.as_str()));
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
            let parameters = operation["parameters"].as_array().unwrap();
            let mut names: Vec<_> = parameters
                .iter()
                .map(|p| (p["in"].to_string(), p["name"].to_string()))
                .collect();
            names.sort();
            names.dedup();
            assert_eq!(
                names.len(),
                parameters.len(),
                "{path} {method}: a parameter stands twice"
            );
            let in_path = parameters.iter().filter(|p| p["in"] == "path");
            let declared: Vec<_> = in_path
                .inspect(|p| assert_eq!(p["required"], true))
                .map(|p| &p["name"])
                .collect();
            assert_eq!(declared, captures, "{path} {method}");
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            for status in ["200", "default"] {
                assert!(operation["responses"][status]["content"].is_object());
            }
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operationId stands twice");
}

#[tokio::test]
async fn the_document_is_whole_and_always_the_same() {
    for api in [Api::ledger, Api::echo] {
        let first = document(&api()).await;
        check(&first);
        assert_eq!(
            api().get("/openapi.json").await.body,
            api().get("/openapi.json").await.body
        );
    }
}

#[tokio::test]
async fn the_document_says_what_the_contract_says() {
    let document = document(&Api::ledger()).await;
    assert_eq!(
        document["info"],
        json!({"title": "a service", "version": "1.2.3"})
    );

    let earn = &document["paths"]["/v1/transactions:earn"]["post"];
    assert_eq!(earn["operationId"], "LedgerService_Earn");
    assert_eq!(earn["tags"], json!(["LedgerService"]));
    let summary = "Gives points to a customer: debits the asset's issuance account, credits the customer's";
    assert_eq!(earn["summary"], summary);
    assert!(
        earn["description"]
            .as_str()
            .unwrap()
            .ends_with("Errors: as CreateTransaction, and NOT_A_POINTS_ACCOUNT.")
    );
    assert_eq!(earn["x-scopes"], json!(["ledger.transactions.write"]));
    assert_eq!(earn["parameters"][0]["name"], "Idempotency-Key");
    assert_eq!(earn["parameters"][0]["required"], true);
    let schema = &earn["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/localplus.ledger.v1.EarnRequest");
    assert_eq!(
        earn["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"],
        "#/components/schemas/Problem"
    );

    let list = &document["paths"]["/v1/accounts/{accountId}/entries"]["get"]["parameters"];
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["accountId", "page.pageSize", "page.pageToken"]);

    let schemas = &document["components"]["schemas"];
    let money = &schemas["localplus.common.v1.Money"]["properties"]["minorUnits"];
    assert_eq!(
        (&money["type"], &money["format"]),
        (&json!("string"), &json!("int64"))
    );
    assert!(
        money["description"]
            .as_str()
            .unwrap()
            .starts_with("Integer minor units (cents, points).")
    );
    let posted = &schemas["localplus.ledger.v1.Entry"]["properties"]["postedAt"];
    assert_eq!(posted["format"], "date-time");
    let direction = &schemas["localplus.ledger.v1.Direction"];
    assert_eq!(
        direction["enum"],
        json!(["DIRECTION_UNSPECIFIED", "DIRECTION_DEBIT", "DIRECTION_CREDIT"])
    );
    assert!(
        direction["description"]
            .as_str()
            .unwrap()
            .contains("\n- `DIRECTION_DEBIT`: Left side.")
    );
}

#[tokio::test]
async fn every_operation_takes_a_token_and_from_the_platform_whom_it_is_for() {
    let document = document(&Api::ledger()).await;
    assert_eq!(
        document["security"],
        json!([{"token": []}, {"token": [], "x-for": []}])
    );
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["token"]["type"], &schemes["token"]["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(
        (&schemes["x-for"]["in"], &schemes["x-for"]["name"]),
        (&json!("header"), &json!("x-for"))
    );
}

#[tokio::test]
async fn the_document_knows_every_form_of_annotation() {
    let document = document(&Api::echo()).await;
    let whole = &document["paths"]["/v1/echo/{id}/inner/{inner.textValue}:whole"]["patch"];
    let body = &whole["requestBody"]["content"]["application/json"]["schema"]["properties"];
    assert!(body.get("id").is_none() && body.get("inner").is_some());
    let part = &document["paths"]["/v1/part/{id}"]["post"];
    assert_eq!(part["operationId"], "EchoService_Part_2");
    let schema = &part["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/echo.v1.Inner");
    let query = &document["paths"]["/v1/echo"]["get"];
    assert_eq!(query["summary"], "Everything in the query");
    assert!(document["paths"].get("/v1/stream").is_none());
    let file = &document["paths"]["/v1/file"]["get"]["responses"]["200"]["content"];
    assert_eq!(
        *file,
        json!({"*/*": {"schema": {"type": "string", "format": "binary"}}})
    );
    // Nor is its message, which no client ever sees, among the schemas.
    assert!(
        document["components"]["schemas"]
            .get("google.api.HttpBody")
            .is_none()
    );
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let api = Api::ledger();
    let page = api.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; script-src 'self'")
    );
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let start = api.get("/docs/start.js").await;
    let script = String::from_utf8(start.body.to_vec()).unwrap();
    assert!(script.contains("validatorUrl: null") && script.contains("\"openapi.json\""));
    for text in [&html, &script] {
        assert!(
            !text.contains("http://") && !text.contains("https://") && !text.contains("\"//"),
            "{text}"
        );
    }
    // The page stands at /docs, so that its relative addresses begin at the root.
    let sources: Vec<_> = ["src=\"", "href=\""]
        .iter()
        .flat_map(|attribute| {
            html.split(attribute)
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap())
        })
        .filter(|source| !source.starts_with("data:"))
        .collect();
    assert_eq!(
        sources,
        [
            "docs/swagger-ui-bundle.js",
            "docs/start.js",
            "docs/swagger-ui.css"
        ]
    );
    for (source, kind) in sources
        .into_iter()
        .zip(["text/javascript", "text/javascript", "text/css"])
    {
        let answer = api.get(&format!("/{source}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{source}");
        assert!(answer.header("content-type").starts_with(kind), "{source}");
    }
    let css = api.get("/docs/swagger-ui.css").await;
    let css = String::from_utf8(css.body.to_vec()).unwrap();
    assert!(!css.contains("@import") && !css.contains("url(http") && !css.contains("url(//"));
}
