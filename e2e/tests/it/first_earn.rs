//! The first earn, with and without crashes on its way.

use lp_test::{mail, servers};

use crate::fleet;

async fn balance_reaches(till: &e2e::Till, wallet: &str, points: i64) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(40);
    loop {
        let balance = till
            .balance(wallet, "")
            .await
            .unwrap()
            .balance
            .unwrap()
            .minor_units;
        if balance == points {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "the balance is {balance}, not {points}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earn_becomes_a_balance_and_one_e_mail_although_every_service_is_killed_on_the_way() {
    let mut own = fleet::start(&[]);
    let till = own.till();
    let email = format!("{}@example.com", servers::unique("e2e"));
    till.create_points("PTS").await.unwrap();
    let wallet = till.open_wallet("PTS", &email, "en").await.unwrap();

    // With nobody to hear of it.
    own.fleet.kill("wallet").unwrap();
    own.fleet.kill("notification").unwrap();
    let earned = till.earn(&wallet.account_id, 120, "PTS").await.unwrap();
    // Perhaps before its event left the outbox.
    own.fleet.kill("ledger").unwrap();
    for service in ["ledger", "wallet", "notification"] {
        own.fleet.revive(service).unwrap();
    }

    let token = earned.balance.unwrap().consistency_token;
    let seen = till.balance(&wallet.wallet_id, &token).await.unwrap();
    assert_eq!(seen.balance.unwrap().minor_units, 120);
    balance_reaches(&till, &wallet.wallet_id, 120).await;
    let mails = mail::wait_for(&servers::mail_api_url(), &email, 1).await;
    assert!(mails[0].subject.contains("120"), "{}", mails[0].subject);

    // The second e-mail comes after whatever else was to come.
    till.burn(&wallet.account_id, 50, "PTS").await.unwrap();
    balance_reaches(&till, &wallet.wallet_id, 70).await;
    let mails = mail::wait_for(&servers::mail_api_url(), &email, 2).await;
    let distinct: std::collections::HashSet<_> = mails.iter().map(|m| &m.message_id).collect();
    assert_eq!(distinct.len(), 2, "{mails:?}");
}
