//! From an event to a mail, where nothing fails.

use lp_contracts::{ledger::v1::TransactionKind, notification::v1::NotificationStatus};

use crate::support::{Customer, Ground};

#[tokio::test]
async fn a_mail_is_in_the_customers_language() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (marie, mary, maria) = (
        ground.customer("fr"),
        ground.customer("en"),
        ground.customer("pt"),
    );
    let mut events = vec![
        marie.earns(1_250, 13_400),
        mary.earns(1_250, 13_400),
        maria.earns(1, 2),
    ];
    events.push(marie.burns(300, 13_100));
    ground.publish(events).await;

    let mails = marie.gets(2).await;
    let mail = |subject: &str| mails.iter().find(|mail| mail.subject == subject).unwrap();
    let earned = mail("Vous avez gagné 1\u{202f}250\u{a0}points");
    assert!(
        earned
            .text
            .contains("Solde après cette opération\u{a0}: 13\u{202f}400\u{a0}points"),
        "{}",
        earned.text
    );
    assert!(
        mail("Vous avez utilisé 300\u{a0}points")
            .text
            .contains("13\u{202f}100\u{a0}points")
    );
    let mails = mary.gets(1).await;
    assert_eq!(mails[0].subject, "You earned 1,250\u{a0}points");
    assert!(
        mails[0]
            .text
            .contains("Balance after this transaction: 13,400\u{a0}points"),
        "{}",
        mails[0].text
    );
    // Whose language we do not write gets English.
    assert_eq!(maria.gets(1).await[0].subject, "You earned 1\u{a0}point");

    let sent = instance
        .client(mary.merchant)
        .newest("sent", |n| n.status() == NotificationStatus::Sent)
        .await;
    assert_eq!(
        mails[0].message_id.trim_matches(['<', '>']),
        format!("{}@localplus.example", sent.notification_id)
    );
    assert_eq!((sent.account_id, sent.attempts), (mary.account.to_string(), 1));
    assert_eq!(
        (sent.template.as_str(), sent.last_error.as_str()),
        ("points-earned", "")
    );
    assert!(sent.transaction_id.starts_with("txn_") && sent.created_at.is_some() && sent.sent_at.is_some());
    assert!(instance.measured("notifications_total{outcome=\"sent\",template=\"points-earned\"} 3"));
    assert!(instance.measured("notification_delivery_seconds_count{template=\"points-earned\"} 3"));

    // svc-wallet was asked for the merchant's own customer, by us, and each time anew.
    let asked = ground.wallet.asked();
    assert!(
        asked
            .iter()
            .all(|headers| headers["localplus-actor"] == "svc-notification")
    );
    let requests: std::collections::HashSet<_> = asked
        .iter()
        .map(|h| h["x-request-id"].to_str().unwrap())
        .collect();
    assert_eq!(requests.len(), 4);
    instance.stop().await;
}

#[tokio::test]
async fn a_redelivered_event_is_one_mail() {
    let ground = Ground::new().await;
    let marie = ground.customer("fr");
    let event = marie.earns(5, 5);
    ground.publish(vec![event.clone(), event.clone()]).await;
    let instance = ground.start().await;
    marie.gets(1).await;
    instance.stop().await;

    // Even a consumer that forgot what it did causes nothing new.
    ground.run("DELETE FROM inbox").await;
    let last = marie.burns(1, 4);
    ground.publish(vec![event, last]).await;
    let instance = ground.start().await;
    let mails = marie.gets(2).await;
    instance.stop().await;
    assert_eq!(
        mails
            .iter()
            .filter(|mail| mail.subject.starts_with("Vous avez gagné"))
            .count(),
        1
    );
    assert_eq!((mails.len(), ground.notifications().await), (2, 2));
}

#[tokio::test]
async fn a_purchase_that_spends_and_earns_points_is_one_mail() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (marie, mary) = (ground.customer("fr"), ground.customer("en"));
    let events = vec![marie.exchanges(500, 25, 75), mary.exchanges(500, 1, 51)];
    ground.publish(events).await;
    let mail = &marie.gets(1).await[0];
    assert_eq!(
        mail.subject,
        "Vous avez utilisé 500\u{a0}points et gagné 25\u{a0}points"
    );
    assert!(
        mail.text
            .contains("Solde après cette opération\u{a0}: 75\u{a0}points"),
        "{}",
        mail.text
    );
    assert_eq!(
        mary.gets(1).await[0].subject,
        "You used 500\u{a0}points and earned 1\u{a0}point"
    );
    assert_eq!(ground.notifications().await, 2);
    instance.stop().await;
}

#[tokio::test]
async fn what_is_no_earn_or_burn_of_a_customer_has_no_effect() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let marie = ground.customer("fr");
    let of_nobody = lp_kafka::Record {
        key: marie.merchant.to_string(),
        ..marie.earns(1, 1)
    };
    let general = marie.record(TransactionKind::General, 1, 1);
    let unknown = marie.record(TransactionKind::Unspecified, 1, 1);
    let no_payload = lp_kafka::Record {
        payload: "?".into(),
        ..marie.earns(1, 1)
    };
    let elsewhere = lp_kafka::Record {
        key: ground.customer("fr").account.to_string(),
        ..marie.earns(1, 1)
    };
    ground
        .publish(vec![
            of_nobody,
            general,
            unknown,
            no_payload,
            elsewhere,
            marie.earns(7, 7),
        ])
        .await;
    assert_eq!(marie.gets(1).await[0].subject, "Vous avez gagné 7\u{a0}points");
    assert_eq!(ground.notifications().await, 1);
    instance.stop().await;
}

#[tokio::test]
async fn without_consent_or_address_nothing_is_sent() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let suppressed = async |customer: &Customer| {
        let client = instance.client(customer.merchant);
        let found = client
            .newest("suppressed", |n| n.status() == NotificationStatus::Suppressed)
            .await;
        assert_eq!(found.attempts, 1);
        found.last_error
    };
    let marie = ground.customer("fr");
    ground.wallet.knows(&marie, "fr", false);
    ground.publish(vec![marie.earns(1, 1)]).await;
    assert_eq!(suppressed(&marie).await, "the customer did not agree to messages");
    assert!(marie.mails().await.is_empty());

    for email in ["", "marie at example.com"] {
        let customer = Customer {
            email: email.to_owned(),
            ..ground.customer("fr")
        };
        ground.wallet.knows(&customer, "fr", true);
        ground.publish(vec![customer.burns(1, 1)]).await;
        assert_eq!(
            suppressed(&customer).await,
            "the customer has no usable e-mail address"
        );
    }
    assert!(instance.measured("notifications_total{outcome=\"suppressed\",template=\"points-burned\"} 2"));
    instance.stop().await;
}
