//! Reading notifications: whose, which, and how bad input is refused.

use lp_contracts::{
    common::v1::PageRequest,
    notification::v1::{ListNotificationsRequest, NotificationStatus},
};
use lp_types::{IdSource as _, MerchantId, SystemIds};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Customer, Ground, Instance, list_of, until};

/// Five notifications of a merchant: three of one customer, two of another; the first is suppressed.
async fn five(ground: &Ground, instance: &Instance) -> (Customer, Customer) {
    let marie = ground.customer("fr");
    let jean = Customer {
        merchant: marie.merchant,
        ..ground.customer("fr")
    };
    ground.wallet.knows(&jean, "fr", true);
    ground.wallet.knows(&marie, "fr", false);
    ground.publish(vec![marie.earns(1, 1)]).await;
    let client = instance.client(marie.merchant);
    client
        .newest("suppressed", |n| n.status() == NotificationStatus::Suppressed)
        .await;
    ground.wallet.knows(&marie, "fr", true);
    ground
        .publish(vec![
            jean.earns(2, 2),
            marie.earns(3, 3),
            jean.burns(4, 4),
            marie.burns(5, 5),
        ])
        .await;
    until("all are sent", async || {
        let sent = client.list(list_of("", NotificationStatus::Sent)).await.unwrap();
        sent.notifications.len() == 4
    })
    .await;
    (marie, jean)
}

#[tokio::test]
async fn lists_are_filtered_and_paged_newest_first() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (marie, _jean) = five(&ground, &instance).await;
    let client = instance.client(marie.merchant);
    let all = client
        .list(ListNotificationsRequest::default())
        .await
        .unwrap()
        .notifications;
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|newer, older| newer.notification_id > older.notification_id));

    let count = async |account: &str, status| {
        client
            .list(list_of(account, status))
            .await
            .unwrap()
            .notifications
            .len()
    };
    let account = marie.account.to_string();
    assert_eq!(count(&account, NotificationStatus::Unspecified).await, 3);
    assert_eq!(count(&account, NotificationStatus::Sent).await, 2);
    assert_eq!(count(&account, NotificationStatus::Suppressed).await, 1);
    assert_eq!(count("", NotificationStatus::Failed).await, 0);

    let mut paged = Vec::new();
    let mut page_token = String::new();
    for expected in [2, 2, 1] {
        let page = Some(PageRequest {
            page_size: 2,
            page_token,
        });
        let answer = client
            .list(ListNotificationsRequest {
                page,
                ..Default::default()
            })
            .await
            .unwrap();
        assert_eq!(answer.notifications.len(), expected);
        paged.extend(answer.notifications);
        page_token = answer.page.unwrap().next_page_token;
    }
    assert_eq!((paged, page_token.as_str()), (all.clone(), ""));

    // The same over REST.
    let (status, body) = client
        .get(&format!("/v1/notifications?accountId={account}&page.pageSize=1"))
        .await;
    assert_eq!(
        (status, body["notifications"][0]["notificationId"].as_str()),
        (200, Some(&*all[0].notification_id))
    );
    let (status, body) = client
        .get(&format!("/v1/notifications/{}", all[4].notification_id))
        .await;
    assert_eq!(
        (status, body["notification"]["status"].as_str()),
        (200, Some("NOTIFICATION_STATUS_SUPPRESSED"))
    );
    instance.stop().await;
}

#[tokio::test]
async fn another_merchant_sees_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (marie, _) = five(&ground, &instance).await;
    let own = instance.client(marie.merchant).newest("there", |_| true).await;
    assert!(
        instance
            .client(marie.merchant)
            .notification(&own.notification_id)
            .await
            .is_ok()
    );

    let other = instance.client(MerchantId::from_uuid(SystemIds.uuid()));
    let refused = other.notification(&own.notification_id).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    for filter in ["", own.account_id.as_str()] {
        let seen = other
            .list(list_of(filter, NotificationStatus::Unspecified))
            .await
            .unwrap();
        assert!(seen.notifications.is_empty());
    }
    let (status, body) = other
        .get(&format!("/v1/notifications/{}", own.notification_id))
        .await;
    assert_eq!((status, body["reason"].as_str()), (404, Some("NOT_FOUND")));
    let (status, body) = other.get("/v1/notifications").await;
    assert_eq!(
        (status, body["notifications"].as_array().map_or(0, Vec::len)),
        (200, 0)
    );
    instance.stop().await;
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (marie, _) = five(&ground, &instance).await;
    let client = instance.client(marie.merchant);
    let page = |page_size, page_token: &str| {
        Some(PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        })
    };
    let first = ListNotificationsRequest {
        page: page(1, ""),
        ..Default::default()
    };
    let token = client.list(first).await.unwrap().page.unwrap().next_page_token;

    let lists = [
        (
            ListNotificationsRequest {
                page: page(-1, ""),
                ..Default::default()
            },
            "page.pageSize",
        ),
        (
            ListNotificationsRequest {
                page: page(501, ""),
                ..Default::default()
            },
            "page.pageSize",
        ),
        (
            ListNotificationsRequest {
                page: page(1, "nonsense"),
                ..Default::default()
            },
            "page.pageToken",
        ),
        // A token of another list.
        (
            ListNotificationsRequest {
                page: page(1, &token),
                ..list_of(&marie.account.to_string(), NotificationStatus::Unspecified)
            },
            "page.pageToken",
        ),
        (list_of("acc_1", NotificationStatus::Unspecified), "accountId"),
        (
            list_of(&marie.merchant.to_string(), NotificationStatus::Unspecified),
            "accountId",
        ),
        (
            ListNotificationsRequest {
                status: 99,
                ..Default::default()
            },
            "status",
        ),
    ];
    for (wanted, field) in lists {
        let refused = client.list(wanted.clone()).await.expect_err(field);
        assert_eq!(
            (reason(&refused).as_str(), fields(&refused)),
            ("INVALID_FIELD", vec![field.to_owned()]),
            "{wanted:?}"
        );
    }
    for id in ["", "ntf_1", &marie.account.to_string()] {
        let refused = client.notification(id).await.unwrap_err();
        assert_eq!(
            (reason(&refused).as_str(), fields(&refused)),
            ("INVALID_FIELD", vec!["notificationId".to_owned()])
        );
    }
    for (path, reason, field) in [
        ("/v1/notifications/ntf_1", "INVALID_FIELD", "notificationId"),
        (
            "/v1/notifications?page.pageSize=501",
            "INVALID_FIELD",
            "page.pageSize",
        ),
        ("/v1/notifications?accountId=acc_1", "INVALID_FIELD", "accountId"),
        ("/v1/notifications?status=DONE", "INVALID_FIELD", "status"),
        ("/v1/notifications?colour=red", "UNKNOWN_FIELD", "colour"),
    ] {
        let (status, body) = client.get(path).await;
        assert_eq!(
            (status, body["reason"].as_str()),
            (400, Some(reason)),
            "{path}: {body}"
        );
        assert!(body.to_string().contains(field), "{path}: {body}");
    }
    instance.stop().await;
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(|| format!("undocumented: {status:?}"), |info| info.reason.clone())
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request().map(|bad| bad.field_violations.clone());
    bad.unwrap_or_default().into_iter().map(|v| v.field).collect()
}
