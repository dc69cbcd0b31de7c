//! Parts that are away, and couriers that die.

use std::sync::Arc;

use jiff::SignedDuration;
use lp_contracts::notification::v1::NotificationStatus;
use lp_test::time::ManualClock;
use svc_notification::{
    application::deliver::LEASE,
    domain::notification::{Language, Status},
    infrastructure::postgres::notifications::{self, Settlement},
};

use crate::support::{Customer, Ground, gate::Way, now, until};

#[tokio::test]
async fn a_mail_server_that_is_down_is_waited_for() {
    let ground = Ground::new().await;
    ground.mail_gate.set(Way::Shut);
    let instance = ground.start().await;
    let marie = ground.customer("fr");
    ground.publish(vec![marie.earns(1, 1)]).await;
    let client = instance.client(marie.merchant);
    let waiting = client
        .newest("two attempts", |n| n.attempts == 2 && !n.last_error.is_empty())
        .await;
    assert_eq!(waiting.status(), NotificationStatus::Pending);
    assert_eq!(waiting.last_error, "the mail server cannot be reached");
    assert!(instance.measured("notifications_total{outcome=\"retried\",template=\"points-earned\"}"));

    ground.mail_gate.set(Way::Open);
    let sent = client
        .newest("sent", |n| n.status() == NotificationStatus::Sent)
        .await;
    // The second attempt may have been under way when the gate opened.
    assert!(sent.attempts >= 2 && sent.last_error.is_empty(), "{sent:?}");
    instance.stop().await;
    assert_eq!(marie.mails().await.len(), 1);
}

#[tokio::test]
async fn a_wallet_that_is_down_is_waited_for() {
    let ground = Ground::new().await;
    ground.wallet_gate.set(Way::Shut);
    let instance = ground.start().await;
    let marie = ground.customer("fr");
    ground.publish(vec![marie.earns(1, 1)]).await;
    let client = instance.client(marie.merchant);
    let waiting = client.newest("an attempt", |n| !n.last_error.is_empty()).await;
    assert!(
        waiting.last_error.starts_with("svc-wallet answered "),
        "{waiting:?}"
    );

    ground.wallet_gate.set(Way::Open);
    client
        .newest("sent", |n| n.status() == NotificationStatus::Sent)
        .await;
    instance.stop().await;
    assert_eq!(marie.mails().await.len(), 1);
}

#[tokio::test]
async fn a_killed_courier_is_replaced_when_its_lease_has_run_out() {
    let clock = Arc::new(ManualClock::at(now()));
    let ground = Ground::with_clock(clock.clone()).await;
    // The worst moment: the server took the message, and we died before we knew.
    ground.mail_gate.set(Way::Mute);
    let mortal = ground.start_mortal().await;
    let marie = ground.customer("fr");
    ground.publish(vec![marie.earns(1, 1)]).await;
    marie.gets(1).await;
    mortal.kill();

    ground.mail_gate.set(Way::Open);
    let instance = ground.start().await;
    let client = instance.client(marie.merchant);
    clock.advance(LEASE - SignedDuration::from_secs(1));
    // Longer than the courier's poll.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let leased = client.newest("there", |_| true).await;
    assert_eq!(
        (leased.status(), leased.attempts),
        (NotificationStatus::Pending, 1)
    );

    clock.advance(SignedDuration::from_secs(1));
    let sent = client
        .newest("sent", |n| n.status() == NotificationStatus::Sent)
        .await;
    assert_eq!(sent.attempts, 2);
    let mails = marie.gets(2).await;
    assert_eq!(
        mails[0].message_id, mails[1].message_id,
        "mail systems must see one message"
    );
    instance.stop().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up() {
    let clock = Arc::new(ManualClock::at(now()));
    let ground = Ground::with_clock(clock.clone()).await;
    let instance = ground.start().await;
    let given_up = async |customer: Customer| {
        ground.publish(vec![customer.earns(1, 1)]).await;
        let client = instance.client(customer.merchant);
        for attempts in 1.. {
            until("an attempt has ended", async || {
                ground.attempts_ended(customer.merchant).await == attempts
            })
            .await;
            let notification = client.newest("there", |_| true).await;
            if notification.status() == NotificationStatus::Failed {
                return (notification.attempts, notification.last_error);
            }
            clock.advance(SignedDuration::from_hours(1));
        }
        unreachable!()
    };
    // svc-wallet may lag, but not for long.
    let stranger = ground.customer("fr");
    ground.wallet.forgets(&stranger);
    let (attempts, reason) = given_up(stranger).await;
    assert_eq!(
        (attempts, reason.as_str()),
        (5, "svc-wallet knows nobody who holds the account")
    );

    ground.mail_gate.set(Way::Shut);
    let (attempts, reason) = given_up(ground.customer("fr")).await;
    assert_eq!(
        (attempts, reason.as_str()),
        (10, "the mail server cannot be reached")
    );
    assert!(instance.measured("notifications_total{outcome=\"failed\",template=\"points-earned\"} 2"));
    instance.stop().await;
}

#[tokio::test]
async fn a_message_that_takes_its_courier_along_each_time_is_given_up() {
    let ground = Ground::new().await;
    ground.mail_gate.set(Way::Shut);
    let instance = ground.start().await;
    let marie = ground.customer("fr");
    ground.publish(vec![marie.earns(1, 1)]).await;
    instance
        .client(marie.merchant)
        .newest("there", |n| n.attempts > 0)
        .await;
    instance.stop().await;

    ground.mail_gate.set(Way::Open);
    ground
        .run("UPDATE notifications SET attempts = 10, leased_until = now(), next_attempt_at = now()")
        .await;
    let instance = ground.start().await;
    let client = instance.client(marie.merchant);
    let failed = client
        .newest("failed", |n| n.status() == NotificationStatus::Failed)
        .await;
    assert_eq!(failed.last_error, "the last attempt did not end");
    instance.stop().await;
    assert!(marie.mails().await.is_empty());
}

#[tokio::test]
async fn couriers_share_the_work() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let marie = ground.customer("en");
    ground
        .publish((1..=60).map(|n| marie.earns(n, n)).collect())
        .await;
    let mut subjects: Vec<_> = marie
        .gets(60)
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    one.stop().await;
    other.stop().await;
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!((subjects.len(), marie.mails().await.len()), (60, 60));
}

#[tokio::test]
async fn a_lease_that_was_lost_settles_nothing_but_what_was_sent() {
    let clock = Arc::new(ManualClock::at(now()));
    let ground = Ground::with_clock(clock.clone()).await;
    ground.wallet_gate.set(Way::Mute);
    let mortal = ground.start_mortal().await;
    let marie = ground.customer("fr");
    ground.publish(vec![marie.earns(1, 1)]).await;
    until("an attempt began", async || !ground.wallet.asked().is_empty()).await;
    mortal.kill();

    let mut session = ground.database.runtime_session().await;
    let (first_end, second_end) = (now() + LEASE * 2, now() + LEASE * 4);
    let slow = notifications::claim(&mut session, first_end, second_end, 10)
        .await
        .unwrap()
        .remove(0);
    assert!(
        notifications::claim(&mut session, first_end, second_end, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let quick = notifications::claim(&mut session, second_end, second_end + LEASE, 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((slow.attempts, quick.attempts), (2, 3));
    let mut status_after = async |due, settlement| {
        notifications::settle(&mut session, due, &settlement)
            .await
            .unwrap();
        let found = notifications::find(&mut session, marie.merchant, slow.id)
            .await
            .unwrap()
            .unwrap();
        (found.status, found.last_error)
    };
    let given_up = || Settlement::Failed("no".to_owned());
    assert_eq!(status_after(&slow, given_up()).await, (Status::Pending, None));
    let sent = Settlement::Sent {
        language: Language::French,
        at: now(),
    };
    assert_eq!(status_after(&slow, sent).await, (Status::Sent, None));
    assert_eq!(status_after(&quick, given_up()).await, (Status::Sent, None));
}
