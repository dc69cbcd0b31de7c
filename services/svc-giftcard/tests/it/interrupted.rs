//! Sales and redemptions that stop between two steps, and go on.

use std::time::Duration;

use lp_contracts::{giftcard::v1::CardState, merchant::v1::MerchantState};

use crate::{
    ledger::{Mode, Step},
    support::{Client, Ground, Held, away, bytes, forbidden, new_key, until},
};

/// Does it with little patience, again and again, until it stands.
async fn at_last<T>(client: &Client, call: impl AsyncFn(Client) -> Result<T, tonic::Status>) -> T {
    let mut done = None;
    until("the call goes on", async || {
        done = call(client.within(Duration::from_secs(5))).await.ok();
        done.is_some()
    })
    .await;
    done.unwrap()
}

fn hasty(client: &Client) -> Client {
    client.within(Duration::from_millis(800))
}

/// Does it with little patience until the ledger was asked for `step` and failed: on a busy machine the caller may
/// go before.
async fn stopped<T: std::fmt::Debug>(
    ground: &Ground,
    (step, mode): (Step, Mode),
    client: &Client,
    call: impl AsyncFn(Client) -> Result<T, tonic::Status>,
) {
    ground.ledger.set(step, mode);
    let asked = ground.ledger.asked_for(step);
    until("the call stops at the ledger", async || {
        away(call(hasty(client)).await);
        ground.ledger.asked_for(step) > asked
    })
    .await;
}

#[tokio::test]
async fn a_sale_goes_on_wherever_the_ledger_failed() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(false).await;
    let mut sold = 0;
    for step in [Step::Account, Step::Transaction] {
        for mode in [Mode::Unavailable, Mode::Lossy, Mode::Hang] {
            let card = client
                .issue(&new_key(), &product)
                .await
                .unwrap()
                .card
                .unwrap()
                .card_id;
            let key = new_key();
            let sale = async |client: Client| client.activate(&key, &card, 1_000).await;
            stopped(&ground, (step, mode), &client, sale).await;
            let standing = client.get_card(&card).await.unwrap();
            let (standing, balance) = (standing.card.unwrap(), standing.balance.unwrap());
            assert_eq!(standing.state(), CardState::Activating, "{step:?} {mode:?}");
            assert_eq!((standing.account_id.as_str(), balance.minor_units), ("", 0));
            assert_eq!(standing.face_value, crate::support::eur(1_000));

            ground.ledger.set(step, Mode::Well);
            let done = at_last(&client, sale).await;
            assert_eq!(done.card.unwrap().state(), CardState::Active);
            sold += 1;
            assert_eq!(ground.ledger.written(), [sold, sold], "{step:?} {mode:?}");
            assert_eq!(client.stands(&card).await, (CardState::Active, 1_000));
        }
    }
}

#[tokio::test]
async fn a_sale_survives_the_death_of_its_instance() {
    for step in [Step::Account, Step::Transaction] {
        let ground = Ground::new().await;
        let mortal = ground.start_mortal().await;
        let client = mortal.instance.merchant();
        let held = client.issued(false).await;
        ground.ledger.set(step, Mode::Hang);
        let (dying, card) = (client.clone(), held.id.clone());
        let call = tokio::spawn(async move { dying.activate("k", &card, 5_000).await });
        until("the ledger is asked", async || ground.ledger.asked_for(step) > 0).await;
        mortal.kill();
        call.await.unwrap().unwrap_err();
        ground.ledger.set(step, Mode::Well);

        let instance = ground.start().await;
        let client = instance.client(client.merchant);
        assert_eq!(client.stands(&held.id).await.0, CardState::Activating);
        forbidden(client.redeem(&new_key(), &held, 1).await, "CARD_REFUSED");
        let done = client.activate("k", &held.id, 5_000).await.unwrap();
        assert_eq!(
            bytes(&client.activate("k", &held.id, 5_000).await.unwrap()),
            bytes(&done)
        );
        assert_eq!(ground.ledger.written(), [1, 1], "{step:?}");
        assert_eq!(client.stands(&held.id).await, (CardState::Active, 5_000));
    }
}

/// A card whose sale under the key `first` stopped once the value was in the ledger.
async fn left(ground: &Ground, client: &Client) -> Held {
    let held = client.issued(false).await;
    let sale = async |client: Client| client.activate("first", &held.id, 1_000).await;
    stopped(ground, (Step::Transaction, Mode::Lossy), client, sale).await;
    ground.ledger.set(Step::Transaction, Mode::Well);
    assert_eq!(ground.ledger.written(), [1, 1]);
    held
}

#[tokio::test]
async fn another_key_finishes_a_sale_for_its_own_amount_and_is_the_one_that_made_it() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = left(&ground, &client).await;
    // Its value is in the ledger: no other amount may take its place.
    forbidden(client.activate("more", &held.id, 5_000).await, "WRONG_STATE");
    assert_eq!(client.stands(&held.id).await.0, CardState::Activating);

    let done = at_last(&client, async |client| {
        client.activate("second", &held.id, 1_000).await
    })
    .await;
    assert_eq!(done.card.unwrap().face_value, crate::support::eur(1_000));
    // One sale, one key that was told so.
    for _ in 0..2 {
        forbidden(client.activate("first", &held.id, 1_000).await, "WRONG_STATE");
    }
    assert_eq!(ground.ledger.written(), [1, 1]);
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 1_000));
}

#[tokio::test]
async fn a_sale_that_began_is_finished_also_for_a_merchant_who_was_suspended_meanwhile() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = left(&ground, &client).await;
    ground
        .merchants
        .set_state(client.merchant, MerchantState::Suspended);
    at_last(&client, async |client| {
        client.activate("first", &held.id, 1_000).await
    })
    .await;
    assert_eq!(ground.ledger.written(), [1, 1]);
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 1_000));
}

#[tokio::test]
async fn a_redemption_goes_on_wherever_it_stopped() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 5_000).await;
    let mut spent = 0;
    for mode in [Mode::Unavailable, Mode::Lossy, Mode::Hang] {
        let key = new_key();
        let spending = async |client: Client| client.redeem(&key, &held, 100).await;
        stopped(&ground, (Step::Transaction, mode), &client, spending).await;
        ground.ledger.set(Step::Transaction, Mode::Well);
        // Not even a suspension stops what may have been spent.
        ground
            .merchants
            .set_state(client.merchant, MerchantState::Suspended);
        let done = at_last(&client, spending).await;
        ground.merchants.set_state(client.merchant, MerchantState::Active);
        spent += 1;
        assert_eq!(done.balance, crate::support::eur(5_000 - 100 * spent), "{mode:?}");
        assert_eq!(ground.ledger.balance(&held.account), 5_000 - 100 * spent);
        assert_eq!(ground.count("redemptions").await, spent);
    }
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM redemptions WHERE state <> 2")
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn a_refusal_whose_answer_was_lost_is_a_refusal() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 1_000).await;
    let spending = async |client: Client| client.redeem("k", &held, 1_001).await;
    stopped(&ground, (Step::Transaction, Mode::Lossy), &client, spending).await;
    ground.ledger.set(Step::Transaction, Mode::Well);
    until("it is refused", async || {
        let outcome = client.redeem("k", &held, 1_001).await;
        outcome.is_err_and(|status| crate::support::reason(&status) == "INSUFFICIENT_FUNDS")
    })
    .await;
    assert_eq!(ground.ledger.balance(&held.account), 1_000);
}

#[tokio::test]
async fn a_redemption_survives_the_death_of_its_instance() {
    let ground = Ground::new().await;
    let mortal = ground.start_mortal().await;
    let client = mortal.instance.merchant();
    let held = client.sold(false, 5_000).await;
    ground.ledger.set(Step::Transaction, Mode::Hang);
    let asked = ground.ledger.asked_for(Step::Transaction);
    let (dying, card) = (client.clone(), held.clone());
    let call = tokio::spawn(async move { dying.redeem("k", &card, 700).await });
    until("the ledger is asked", async || {
        ground.ledger.asked_for(Step::Transaction) > asked
    })
    .await;
    mortal.kill();
    call.await.unwrap().unwrap_err();
    ground.ledger.set(Step::Transaction, Mode::Well);

    let instance = ground.start().await;
    let client = instance.client(client.merchant);
    let done = client.redeem("k", &held, 700).await.unwrap();
    assert_eq!(done.balance, crate::support::eur(4_300));
    assert_eq!(
        bytes(&client.redeem("k", &held, 700).await.unwrap()),
        bytes(&done)
    );
    assert_eq!(
        (
            ground.ledger.balance(&held.account),
            ground.count("redemptions").await
        ),
        (4_300, 1)
    );
}

#[tokio::test]
async fn while_a_service_is_away_the_call_is_refused_and_goes_on_later() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (held, new) = (client.sold(false, 5_000).await, client.issued(false).await);
    ground.merchants.set_away(true);
    away(hasty(&client).activate("a", &new.id, 1_000).await);
    away(hasty(&client).redeem("r", &held, 100).await);
    assert_eq!(client.stands(&new.id).await, (CardState::Issued, 0));
    assert_eq!(ground.count("redemptions").await, 0);
    ground.merchants.set_away(false);
    at_last(&client, async |client| client.activate("a", &new.id, 1_000).await).await;
    at_last(&client, async |client| client.redeem("r", &held, 100).await).await;

    ground.ledger.set(Step::Balance, Mode::Unavailable);
    away(hasty(&client).get_card(&held.id).await);
    away(hasty(&client).authorize(&held.code, "").await);
    ground.ledger.set(Step::Balance, Mode::Well);
    at_last(&client, async |client| client.get_card(&held.id).await).await;
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 4_900));
}
