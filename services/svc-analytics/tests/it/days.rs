//! Which day a transaction is of.

use lp_contracts::{
    analytics::v1::ListDailyFiguresResponse, merchant::v1::MerchantOnboarded, time::to_wire,
    topics::MERCHANT_ONBOARDED,
};

use crate::{
    records::{earn, onboarded, onboarded_as, told, transaction},
    support::{Ground, ended, new_merchant},
};

/// Day and points of each answer's day.
fn points(found: &ListDailyFiguresResponse) -> Vec<(&str, i64, i64)> {
    let days = found.days.iter();
    days.map(|day| (day.day.as_str(), day.transactions, day.assets[0].points_given))
        .collect()
}

#[tokio::test]
async fn a_merchant_that_is_onboarded_late_has_its_own_days_at_once() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let late = "2026-06-01T22:30:00Z";
    ground.told(transaction(client.merchant, late, earn(1))).await;
    let before = client.year().await;
    assert_eq!(
        (points(&before), before.time_zone.as_str()),
        (vec![("2026-06-01", 1, 1)], "UTC")
    );

    ground
        .told(vec![onboarded(client.merchant, "Europe/Paris")])
        .await;
    let after = client.year().await;
    assert_eq!(points(&after), [("2026-06-02", 1, 1)]);
    assert_eq!(
        (after.time_zone.as_str(), after.as_of),
        ("Europe/Paris", before.as_of)
    );

    ground.told(transaction(client.merchant, late, earn(2))).await;
    assert_eq!(points(&client.year().await), [("2026-06-02", 2, 3)]);
    assert!(
        client
            .list("2026-06-01", "2026-06-01")
            .await
            .unwrap()
            .days
            .is_empty()
    );
    assert_eq!(
        points(&client.list("2026-06-02", "2026-06-02").await.unwrap()).len(),
        1
    );
}

#[tokio::test]
async fn a_day_ends_where_the_merchant_is() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    // The last microsecond of a day, and the first of the next, of 23, 25 and other hours.
    let cases = [
        (
            "Asia/Kathmandu",
            "2026-05-01T18:14:59.999999Z",
            "2026-05-01T18:15:00Z",
            "2026-05-01",
            "2026-05-02",
        ),
        (
            "Pacific/Chatham",
            "2026-04-04T10:14:59.999999Z",
            "2026-04-04T10:15:00Z",
            "2026-04-04",
            "2026-04-05",
        ),
        (
            "Pacific/Chatham",
            "2026-04-05T11:14:59.999999Z",
            "2026-04-05T11:15:00Z",
            "2026-04-05",
            "2026-04-06",
        ),
        (
            "Europe/Paris",
            "2026-03-28T22:59:59.999999Z",
            "2026-03-28T23:00:00Z",
            "2026-03-28",
            "2026-03-29",
        ),
        (
            "Europe/Paris",
            "2026-03-29T21:59:59.999999Z",
            "2026-03-29T22:00:00Z",
            "2026-03-29",
            "2026-03-30",
        ),
        (
            "Europe/Paris",
            "2026-10-24T21:59:59.999999Z",
            "2026-10-24T22:00:00Z",
            "2026-10-24",
            "2026-10-25",
        ),
        (
            "Europe/Paris",
            "2026-10-25T22:59:59.999999Z",
            "2026-10-25T23:00:00Z",
            "2026-10-25",
            "2026-10-26",
        ),
        (
            "America/Los_Angeles",
            "2026-01-01T07:59:59.999999Z",
            "2026-01-01T08:00:00Z",
            "2025-12-31",
            "2026-01-01",
        ),
        (
            "UTC",
            "2026-05-01T23:59:59.999999Z",
            "2026-05-02T00:00:00Z",
            "2026-05-01",
            "2026-05-02",
        ),
    ];
    let merchants = cases.map(|_| new_merchant());
    let mut all = Vec::new();
    for (merchant, (zone, last, first, ..)) in merchants.into_iter().zip(cases) {
        all.push(onboarded(merchant, zone));
        all.extend(transaction(merchant, last, earn(1)));
        all.extend(transaction(merchant, first, earn(20)));
    }
    ground.told(all).await;
    for (merchant, (zone, _, _, day, next)) in merchants.into_iter().zip(cases) {
        let found = instance
            .client(merchant)
            .list("2025-12-01", "2026-11-30")
            .await
            .unwrap();
        assert_eq!(points(&found), [(day, 1, 1), (next, 1, 20)], "{zone}");
        assert_eq!(found.time_zone, zone);
        let one = instance.client(merchant).list(next, next).await.unwrap();
        assert_eq!(points(&one), [(next, 1, 20)], "{zone}");
    }
}

#[tokio::test]
async fn a_day_of_25_hours_has_all_of_them() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut all = vec![onboarded(client.merchant, "Europe/Paris")];
    // A transaction in each quarter hour of three days.
    let start: jiff::Timestamp = "2026-10-24T00:00:00Z".parse().unwrap();
    for quarter_hour in 0..3 * 96 {
        let at = start + jiff::SignedDuration::from_mins(15 * quarter_hour);
        all.extend(transaction(client.merchant, &at.to_string(), earn(1)));
    }
    ground.told(all).await;
    let found = client.year().await;
    assert_eq!(
        points(&found),
        [
            ("2026-10-24", 88, 88),
            ("2026-10-25", 100, 100),
            ("2026-10-26", 96, 96),
            ("2026-10-27", 4, 4),
        ]
    );
}

#[tokio::test]
async fn a_merchant_is_kept_as_it_was_told_last() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let activated = |zone, at: &str| MerchantOnboarded {
        activated_at: Some(to_wire(at.parse().unwrap())),
        ..told(client.merchant, zone)
    };
    let now = activated("Asia/Tokyo", "2026-02-02T00:00:00Z");
    let all = [
        activated("Europe/Paris", "2026-01-01T00:00:00Z"),
        now.clone(),
        activated("Europe/Rome", "2026-01-15T00:00:00Z"),
    ];
    ground
        .told(
            all.iter()
                .map(|told| onboarded_as(told, client.merchant))
                .collect(),
        )
        .await;
    assert_eq!(client.year().await.time_zone, "Asia/Tokyo");
    let kept: (String, i16) = sqlx::query_as("SELECT currency_code, currency_exponent FROM merchants")
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();
    assert_eq!(kept, ("EUR".to_owned(), 2));
}

#[tokio::test]
async fn a_merchant_of_whom_nonsense_is_told_is_as_before() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    type Change = fn(&mut MerchantOnboarded);
    let changes: [Change; 7] = [
        |told| told.time_zone = "Europe/Lutetia".to_owned(),
        |told| told.time_zone = String::new(),
        |told| told.merchant_id = new_merchant().to_string(),
        |told| told.currency_code = "eur".to_owned(),
        |told| told.currency_exponent = 256,
        |told| told.activated_at = None,
        |told| told.activated_at.as_mut().unwrap().seconds = i64::MAX,
    ];
    let all = changes.iter().map(|change| {
        let mut told = told(client.merchant, "Europe/Paris");
        change(&mut told);
        onboarded_as(&told, client.merchant)
    });
    ground.told(all.collect()).await;
    assert_eq!(ground.count("merchants").await, 0);
    assert_eq!(client.year().await.time_zone, "UTC");
    assert_eq!(ended(&instance, "dead_letter", MERCHANT_ONBOARDED), changes.len());
}
