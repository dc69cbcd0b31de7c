//! What is wrong is named, over gRPC and over REST, by both rpcs.

use tonic::{Code, Status};

use crate::support::{Client, Ground, fields, reason};

const GOOD: &str = "2026-06-01";

async fn refused(client: &Client, from_day: &str, to_day: &str) -> (String, Vec<String>) {
    let over_grpc = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{from_day} {to_day}");
        (reason(&status), fields(&status))
    };
    let list = over_grpc(client.list(from_day, to_day).await.unwrap_err());
    let export = over_grpc(client.export(from_day, to_day).await.unwrap_err());
    assert_eq!(list, export, "{from_day} {to_day}");
    for path in ["/v1/daily-figures", "/v1/daily-figures:export"] {
        let query = [("fromDay", from_day), ("toDay", to_day)];
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", client.base), query).unwrap();
        let request = client.http.get(url);
        let (status, problem) = client.send("", request).await;
        let fields = problem["violations"].as_array().unwrap().iter();
        let fields: Vec<_> = fields.map(|v| v["field"].as_str().unwrap().to_owned()).collect();
        let reason = problem["reason"].as_str().unwrap().to_owned();
        assert_eq!(
            (status, (reason, fields)),
            (400, list.clone()),
            "{from_day} {to_day}"
        );
    }
    list
}

fn invalid<const N: usize>(reason: &str, fields: [&str; N]) -> (String, Vec<String>) {
    (reason.to_owned(), fields.map(str::to_owned).to_vec())
}

#[tokio::test]
async fn a_day_that_is_none_is_named() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for bad in [
        "",
        "2026-6-1",
        "20260601",
        "01-06-2026",
        "2026-06-01T00:00:00Z",
        "2026-02-29",
        "2026-13-01",
        "+2026-06-01",
        "-002026-06-01",
        " 2026-06-01",
        "2026-06-01\u{0}",
        "２０２６-06-01",
        "9999-12-31",
        "today",
    ] {
        assert_eq!(
            refused(&client, bad, GOOD).await,
            invalid("INVALID_FIELD", ["fromDay"]),
            "{bad}"
        );
        assert_eq!(
            refused(&client, GOOD, bad).await,
            invalid("INVALID_FIELD", ["toDay"]),
            "{bad}"
        );
        assert_eq!(
            refused(&client, bad, bad).await,
            invalid("INVALID_FIELD", ["fromDay", "toDay"]),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_range_that_is_none_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for (from_day, to_day) in [
        ("2026-06-02", "2026-06-01"),
        ("2026-01-01", "2027-01-02"),
        ("2024-01-01", "2025-01-01"),
        ("0000-01-01", "9998-12-31"),
    ] {
        assert_eq!(
            refused(&client, from_day, to_day).await,
            invalid("INVALID_RANGE", ["toDay"])
        );
    }
    for (from_day, to_day) in [
        (GOOD, GOOD),
        ("2026-01-01", "2027-01-01"),
        ("2024-01-01", "2024-12-31"),
        ("0000-01-01", "0000-12-31"),
        ("9998-01-01", "9998-12-31"),
    ] {
        assert!(client.list(from_day, to_day).await.is_ok(), "{from_day} {to_day}");
        assert!(
            client.export(from_day, to_day).await.is_ok(),
            "{from_day} {to_day}"
        );
    }
    let backwards = client.list("2026-06-02", "2026-06-01").await.unwrap_err();
    assert_eq!(backwards.message(), "toDay: comes before the first day");
    let long = client.list("2026-01-01", "2027-01-02").await.unwrap_err();
    assert_eq!(long.message(), "toDay: makes a range of more than 366 days");
}

#[tokio::test]
async fn rest_knows_no_other_field_and_no_other_merchant() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for unknown in ["merchantId=mer_0199f0c1d2e37a4b8c5d6e7f80912a3b", "timeZone=UTC"] {
        let path = format!("/v1/daily-figures?fromDay={GOOD}&toDay={GOOD}&{unknown}");
        let (status, problem) = client.get(&path).await;
        assert_eq!(
            (status, problem["reason"].as_str()),
            (400, Some("UNKNOWN_FIELD")),
            "{unknown}"
        );
    }
    let path = format!("/v1/daily-figures?fromDay={GOOD}&fromDay={GOOD}&toDay={GOOD}");
    assert_eq!(client.get(&path).await.0, 400);
}
