//! The first activation opens the merchant's accounts once, whatever fails meanwhile; the next ones open nothing.

use std::time::Duration;

use futures::future::join;
use lp_contracts::{
    ledger::v1::{AccountType, AssetKind},
    merchant::v1::{
        self,
        MerchantState::{Active, Approved, Closed, InReview, Suspended},
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    books::Books,
    gate::Way,
    support::{Client, Ground, Instance, application, bytes, new_key, reason, until, uuid_of},
};

/// A merchant that is approved, its operator, and its books.
async fn approved(ground: &Ground, instance: &Instance) -> (Client, Client, Books) {
    let client = instance.merchant();
    client.apply(&new_key(), application()).await.unwrap();
    let operator = instance.operator(client.merchant);
    operator.change(&new_key(), InReview).await.unwrap();
    operator.change(&new_key(), Approved).await.unwrap();
    let books = ground.ledger_of(client.merchant);
    (client, operator, books)
}

/// The accounts are what the contract says, and there are no others.
async fn complete(ground: &Ground, merchant: &v1::Merchant, books: &Books) {
    assert_eq!(merchant.state(), Active);
    let accounts = merchant.accounts.as_ref().unwrap();
    for (id, kind, asset) in [
        (&accounts.external_account_id, AccountType::External, "EUR"),
        (&accounts.sales_account_id, AccountType::Sales, "EUR"),
        (&accounts.loyalty_cost_account_id, AccountType::LoyaltyCost, "EUR"),
        (&accounts.issuance_account_id, AccountType::Issuance, "PTS"),
        (&accounts.redemption_account_id, AccountType::Redemption, "PTS"),
    ] {
        let account = books.account(id).await;
        assert_eq!((account.r#type(), account.asset_code.as_str()), (kind, asset));
    }
    let of_merchant = format!("WHERE merchant_id = '{}'", uuid_of(&merchant.merchant_id));
    let of = |table: &str| format!("{table} {of_merchant}");
    let (assets, accounts) = (of("assets"), of("accounts"));
    assert_eq!(
        ground.ledger.counts([assets.as_str(), accounts.as_str()]).await,
        [2, 5]
    );
    let (outbox, events) = (of("outbox"), of("merchant_events"));
    assert_eq!(ground.counts([outbox.as_str(), events.as_str()]).await, [1, 4]);
}

#[tokio::test]
async fn the_first_activation_opens_assets_and_accounts() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, operator, books) = approved(&ground, &instance).await;
    let activated = operator.change("k", Active).await.unwrap();
    complete(&ground, &activated, &books).await;
    assert_eq!(client.merchant().await.unwrap(), activated);
    let accounts = activated.accounts.clone().unwrap();
    for (id, reference) in [
        (&accounts.external_account_id, "external"),
        (&accounts.sales_account_id, "sales"),
        (&accounts.loyalty_cost_account_id, "loyalty-cost"),
    ] {
        assert_eq!(books.account(id).await.reference, reference);
    }

    // The next ones open nothing and tell nothing, not even while the ledger is away.
    ground.to_ledger.set(Way::Shut);
    operator.change(&new_key(), Suspended).await.unwrap();
    let again = operator.change(&new_key(), Active).await.unwrap();
    assert_eq!(again, activated);
    assert_eq!(ground.count("outbox").await, 1);
    assert_eq!(
        bytes(&operator.change("k", Active).await.unwrap()),
        bytes(&activated)
    );
}

/// The first `n` of the ledger's effects, as an activation that died there left them.
async fn begun(books: &Books, n: usize) {
    let merchant = books.caller.merchant;
    let key = |step: &str| format!("{merchant}:{step}");
    if n > 0 {
        books
            .create_asset(&key("asset:EUR"), "EUR", AssetKind::Currency, 2)
            .await;
    }
    if n > 1 {
        books
            .create_asset(&key("asset:PTS"), "PTS", AssetKind::Points, 0)
            .await;
    }
    let accounts = [
        ("external", AccountType::External),
        ("sales", AccountType::Sales),
        ("loyalty-cost", AccountType::LoyaltyCost),
    ];
    for (name, kind) in accounts.into_iter().take(n.saturating_sub(2)) {
        let key = key(&format!("account:{name}"));
        books.create_account(&key, "EUR", kind, name).await;
    }
}

#[tokio::test]
async fn it_goes_on_from_every_step_of_the_ledger() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    for n in 0..=5 {
        let (_, operator, books) = approved(&ground, &instance).await;
        begun(&books, n).await;
        let activated = operator.change(&new_key(), Active).await.unwrap();
        complete(&ground, &activated, &books).await;
    }
}

#[tokio::test]
async fn a_service_that_dies_meanwhile_leaves_it_to_the_same_key_or_another() {
    for key in ["k", "another"] {
        let ground = Ground::new().await;
        let mortal = ground.start_mortal().await;
        let (_, operator, books) = approved(&ground, &mortal.instance).await;
        ground.to_ledger.set(Way::Mute);
        let call = tokio::spawn(async move { operator.change("k", Active).await });
        until("the ledger has created the currency", async || {
            ground.ledger.count("assets").await == 1
        })
        .await;
        mortal.kill();
        call.await.unwrap().unwrap_err();
        ground.to_ledger.set(Way::Open);

        let instance = ground.start().await;
        let client = instance.client(books.caller.merchant);
        let left = client.merchant().await.unwrap();
        assert_eq!((left.state(), left.accounts), (Approved, None));
        let operator = instance.operator(client.merchant);
        let activated = operator.change(key, Active).await.unwrap();
        complete(&ground, &activated, &books).await;
        // The first one's key has its own answer, then and for ever.
        if key != "k" {
            let late = operator.change("k", Active).await.unwrap_err();
            assert_eq!(reason(&late), "WRONG_STATE");
        }
        complete(&ground, &activated, &books).await;
    }
}

#[tokio::test]
async fn while_the_ledger_is_away_it_is_refused_and_goes_on_later() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, operator, books) = approved(&ground, &instance).await;
    ground.to_ledger.set(Way::Shut);
    let refused = operator.change("k", Active).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    ground.to_ledger.set(Way::Mute);
    let hasty = operator.within(Duration::from_millis(500));
    // Above the pause for which a service that failed is left alone: the next call is sent.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let late = hasty.change("k", Active).await.unwrap_err();
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late:?}"
    );
    assert_eq!(client.merchant().await.unwrap().state(), Approved);
    ground.to_ledger.set(Way::Open);
    let activated = operator.change("k", Active).await.unwrap();
    complete(&ground, &activated, &books).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_at_once_activate_once() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let (client, operator, books) = approved(&ground, &one).await;
    let second = other.operator(client.merchant);
    let (first, second) = join(operator.change("one", Active), second.change("other", Active)).await;
    let (activated, refused) = match (first, second) {
        (Ok(activated), Err(refused)) | (Err(refused), Ok(activated)) => (activated, refused),
        both => panic!("{both:?}"),
    };
    assert_eq!(reason(&refused), "WRONG_STATE");
    complete(&ground, &activated, &books).await;
}

#[tokio::test]
async fn a_merchant_that_is_closed_meanwhile_stays_closed() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, operator, _) = approved(&ground, &instance).await;
    ground.to_ledger.set(Way::Mute);
    let (slow, operator) = (operator.clone(), operator);
    let call = tokio::spawn(async move { slow.change("k", Active).await });
    until("the ledger was asked", async || {
        ground.ledger.count("assets").await == 1
    })
    .await;
    operator.change(&new_key(), Closed).await.unwrap();
    ground.to_ledger.set(Way::Open);
    assert_eq!(reason(&call.await.unwrap().unwrap_err()), "WRONG_STATE");
    let merchant = client.merchant().await.unwrap();
    assert_eq!((merchant.state(), merchant.accounts), (Closed, None));
    assert_eq!(ground.count("outbox").await, 0);
}

#[tokio::test]
async fn assets_that_are_there_are_used_if_they_are_the_same() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (_, operator, books) = approved(&ground, &instance).await;
    books.create_asset("mine", "EUR", AssetKind::Currency, 2).await;
    let points = books.create_asset("mine-too", "PTS", AssetKind::Points, 0).await;
    let activated = operator.change("k", Active).await.unwrap();
    complete(&ground, &activated, &books).await;
    let accounts = activated.accounts.unwrap();
    assert_eq!(accounts.issuance_account_id, points.issuance_account_id);
    assert_eq!(accounts.redemption_account_id, points.redemption_account_id);
}

#[tokio::test]
async fn assets_that_are_others_are_refused_for_ever() {
    let wrong = [
        ("EUR", AssetKind::Currency, 3),
        ("EUR", AssetKind::Points, 2),
        ("PTS", AssetKind::Points, 1),
        ("PTS", AssetKind::Currency, 0),
    ];
    let ground = Ground::new().await;
    let instance = ground.start().await;
    for (code, kind, exponent) in wrong {
        let (client, operator, books) = approved(&ground, &instance).await;
        books.create_asset("mine", code, kind, exponent).await;
        for key in ["k", "k", "other"] {
            let refused = operator.change(key, Active).await.unwrap_err();
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::FailedPrecondition, "ASSET_UNUSABLE")
            );
            assert_eq!(refused.get_details_error_info().unwrap().metadata["asset"], code);
        }
        let merchant = client.merchant().await.unwrap();
        assert_eq!((merchant.state(), merchant.accounts), (Approved, None));
    }
    assert_eq!(ground.count("outbox").await, 0);
}

#[tokio::test]
async fn an_account_whose_reference_is_taken_has_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (_, operator, books) = approved(&ground, &instance).await;
    books.create_asset("mine", "EUR", AssetKind::Currency, 2).await;
    let theirs = books
        .create_account("own", "EUR", AccountType::Customer, "sales")
        .await;
    let activated = operator.change("k", Active).await.unwrap();
    let accounts = activated.accounts.unwrap();
    assert_ne!(accounts.sales_account_id, theirs);
    let sales = books.account(&accounts.sales_account_id).await;
    assert_eq!(
        (sales.r#type(), sales.reference.as_str()),
        (AccountType::Sales, "")
    );
    let external = books.account(&accounts.external_account_id).await;
    assert_eq!(external.reference, "external");
}
