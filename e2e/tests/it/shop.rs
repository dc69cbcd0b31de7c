//! A merchant that joined, for scenarios that begin after that.

use e2e::Till;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::fleet::Own;

/// A write for the till's merchant over REST, by an operator of the platform, who may do everything.
pub(crate) async fn write(own: &Own, till: &Till, variable: &str, path: &str, body: Value) -> Value {
    let tokens = e2e::tokens(|name| Ok(own.setting(name)), "operator", None).unwrap();
    let answer = reqwest::Client::new()
        .post(format!("{}{path}", own.setting(variable)))
        .json(&body)
        .header(AUTHORIZATION, tokens.bearer().await.unwrap())
        .header("localplus-merchant", till.merchant().to_string())
        .header("idempotency-key", till.new_name("shop"))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let answer = answer.text().await.unwrap();
    assert_eq!(status, 200, "{path}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Makes the till's merchant an active one with a programme: 1 point for each euro, and 100 points pay `burn_value`
/// cents.
pub(crate) async fn onboard(own: &Own, till: &Till, burn_value: i64) {
    let merchants = "SVC_MERCHANT_HTTP_URL";
    let application = json!({
        "name": "Chez Claire", "currencyCode": "EUR", "currencyExponent": 2, "pointsCode": "PTS",
        "timeZone": "Europe/Paris",
    });
    write(own, till, merchants, "/v1/merchant:apply", application).await;
    for state in ["IN_REVIEW", "APPROVED", "ACTIVE"] {
        let step = json!({"toState": format!("MERCHANT_STATE_{state}"), "reason": "papers-complete"});
        write(own, till, merchants, "/v1/merchant:changeState", step).await;
    }
    let program = json!({
        "earnPoints": "1", "earnPer": "100", "burnPoints": "100", "burnValue": burn_value.to_string(),
    });
    write(own, till, merchants, "/v1/programs", program).await;
}
