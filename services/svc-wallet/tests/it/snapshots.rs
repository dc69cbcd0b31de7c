//! What the ledger tells becomes balances: once each, and only upwards.

use std::time::Duration;

use lp_contracts::{topics::WALLET_BALANCE_UPDATED, wallet::v1};
use lp_kafka::{Event, Leg};
use lp_types::MerchantId;
use prost::Message as _;
use sqlx::PgConnection;

use crate::{
    ledger::{Mode, Position, position},
    records::{POSTED_AT, Publisher, Reader, new_account, posted, posted_twice},
    support::{Client, Ground, Instance, new_merchant, run, until, uuid_of, wanted},
};

/// Epoch, sequence and balance of an account, as they stand in the table.
async fn standing(ground: &Ground, account: &str) -> Option<(i64, i64, i64)> {
    sqlx::query_as("SELECT epoch, sequence, balance FROM balance_snapshots WHERE account_id = $1")
        .bind(uuid_of(account))
        .fetch_optional(&mut ground.owner().await)
        .await
        .unwrap()
}

fn at(epoch: i64, sequence: i64, balance: i64) -> Position {
    Position {
        epoch,
        sequence,
        balance,
    }
}

async fn inbox(session: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM inbox WHERE consumer = 'svc-wallet'")
        .fetch_one(session)
        .await
        .unwrap()
}

/// A wallet, the ledger's pen, and what is published of the wallet.
struct Scene {
    ground: Ground,
    instance: Instance,
    client: Client,
    wallet: v1::Wallet,
    publisher: Publisher,
    updates: Reader,
}

impl Scene {
    async fn new() -> Self {
        let ground = Ground::with_topics().await;
        let instance = ground.start().await;
        let client = instance.merchant();
        let wallet = client.open("c-1").await;
        let publisher = Publisher::start(&ground).await;
        let updates = Reader::start(&ground, WALLET_BALANCE_UPDATED);
        Self {
            ground,
            instance,
            client,
            wallet,
            publisher,
            updates,
        }
    }

    async fn post(&mut self, position: Position) {
        let merchant = self.client.merchant;
        self.publisher
            .post(merchant, &self.wallet.account_id, position)
            .await;
    }

    /// Waits until what was published is done: then a marker's account stands, on the same partition. Gives the
    /// wallet's own records.
    async fn settled(&mut self) -> Vec<v1::BalanceUpdated> {
        let other = self.client.open(&crate::support::new_key()).await;
        self.publisher
            .post(self.client.merchant, &other.account_id, position(1))
            .await;
        let all = self
            .updates
            .until("the marker's record", |event| event.key == other.wallet_id)
            .await;
        let ours = all.iter().filter(|event| event.key == self.wallet.wallet_id);
        ours.map(|event| event.message().unwrap()).collect()
    }

    async fn standing(&self) -> Option<(i64, i64, i64)> {
        standing(&self.ground, &self.wallet.account_id).await
    }
}

fn versions(updates: &[v1::BalanceUpdated]) -> Vec<(i64, i64, i64)> {
    let units = |update: &v1::BalanceUpdated| update.balance.as_ref().unwrap().minor_units;
    updates.iter().map(|u| (u.epoch, u.sequence, units(u))).collect()
}

#[tokio::test]
async fn each_move_gives_one_record_that_says_it() {
    let mut scene = Scene::new().await;
    for sequence in 1..=3 {
        scene.post(position(sequence)).await;
    }
    let updates = scene.settled().await;
    assert_eq!(versions(&updates), [(1, 1, 10), (1, 2, 20), (1, 3, 30)]);
    let wallet = &scene.wallet;
    let last = &updates[2];
    assert_eq!(
        [&last.wallet_id, &last.customer_id, &last.account_id],
        [&wallet.wallet_id, &wallet.customer_id, &wallet.account_id]
    );
    assert_eq!(last.merchant_id, scene.client.merchant.to_string());
    assert_eq!(last.balance.as_ref().unwrap().asset_code, "PTS");
    let posted_at = lp_contracts::time::from_wire(last.posted_at.as_ref().unwrap());
    assert_eq!(posted_at, POSTED_AT.parse().ok());

    let events = scene.updates.all();
    let event: &Event = events
        .iter()
        .rfind(|event| event.key == wallet.wallet_id)
        .unwrap();
    assert_eq!(event.id, format!("{}:1:3:{}", wallet.wallet_id, wallet.wallet_id));
    assert_eq!(event.event_type, "localplus.wallet.v1.BalanceUpdated");
    assert_eq!(
        (event.source.as_str(), event.merchant),
        ("svc-wallet", scene.client.merchant)
    );
    assert_eq!(event.leg, Leg { index: 1, count: 1 });
    assert_eq!(scene.ground.count("outbox").await, 0);
}

#[tokio::test]
async fn what_comes_again_or_late_changes_nothing() {
    let mut scene = Scene::new().await;
    let (merchant, account) = (scene.client.merchant, scene.wallet.account_id.clone());
    let second = posted(merchant, &account, position(2));
    // Higher first, then the same record, then its position under another id, then the one below.
    let records = [
        second.clone(),
        second.clone(),
        posted(merchant, &account, position(2)),
        posted(merchant, &account, position(1)),
        second,
    ];
    for record in records {
        scene.publisher.publish(vec![record]).await;
    }
    let updates = scene.settled().await;
    assert_eq!(versions(&updates), [(1, 2, 20)]);
    assert_eq!(scene.standing().await, Some((1, 2, 20)));
}

#[tokio::test]
async fn a_gap_is_no_hindrance() {
    let mut scene = Scene::new().await;
    scene.post(position(1)).await;
    scene.post(position(7)).await;
    let updates = scene.settled().await;
    assert_eq!(versions(&updates), [(1, 1, 10), (1, 7, 70)]);
    assert_eq!(scene.standing().await, Some((1, 7, 70)));
}

#[tokio::test]
async fn a_new_epoch_wins_over_any_sequence_and_an_old_one_never_does() {
    let mut scene = Scene::new().await;
    scene.post(at(1, 50, 500)).await;
    scene.post(at(2, 3, 30)).await;
    scene.post(at(1, 51, 510)).await;
    scene.post(at(2, 2, 20)).await;
    let updates = scene.settled().await;
    assert_eq!(versions(&updates), [(1, 50, 500), (2, 3, 30)]);
    assert_eq!(scene.standing().await, Some((2, 3, 30)));
    let balance = scene.client.balance(&scene.wallet.wallet_id).await.unwrap();
    assert_eq!((balance.sequence, balance.balance.unwrap().minor_units), (3, 30));
}

#[tokio::test]
async fn the_last_entry_of_the_account_counts_and_no_others() {
    let mut scene = Scene::new().await;
    let (merchant, account) = (scene.client.merchant, scene.wallet.account_id.clone());
    let record = posted_twice(merchant, &account, position(4), position(5));
    scene.publisher.publish(vec![record]).await;
    assert_eq!(versions(&scene.settled().await), [(1, 5, 50)]);
    // The other account of the transaction has a record of its own, and this one is not it.
    assert_eq!(scene.ground.count("balance_snapshots").await, 2);
}

#[tokio::test]
async fn an_account_is_known_before_its_wallet() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut publisher = Publisher::start(&ground).await;
    let updates = Reader::start(&ground, WALLET_BALANCE_UPDATED);

    // The wallet is being opened: the ledger has the account, and has booked on it, but its answer is lost.
    ground.ledger.set_mode(Mode::Hang);
    let patience = Duration::from_millis(300);
    client
        .within(patience)
        .create("k", wanted("c-1"))
        .await
        .unwrap_err();
    let account = new_account();
    publisher.post(client.merchant, &account, position(4)).await;
    until("the snapshot of an account without a wallet", async || {
        standing(&ground, &account).await == Some((1, 4, 40))
    })
    .await;

    ground.ledger.set_mode(Mode::Well);
    ground.ledger.give_next(&account);
    let wallet = client.create("k", wanted("c-1")).await.unwrap().wallet.unwrap();
    assert_eq!(wallet.account_id, account);
    let balance = client.balance(&wallet.wallet_id).await.unwrap();
    assert_eq!((balance.sequence, balance.balance.unwrap().minor_units), (4, 40));
    assert!(balance.posted_at.is_some());

    // From now on it tells of itself; of what was before, there is no record.
    publisher.post(client.merchant, &account, position(5)).await;
    let all = updates
        .until("a record of the wallet", |event| event.key == wallet.wallet_id)
        .await;
    let told: Vec<v1::BalanceUpdated> = all.iter().map(|event| event.message().unwrap()).collect();
    assert_eq!(versions(&told), [(1, 5, 50)]);
    drop(instance);
}

#[tokio::test]
async fn a_record_keyed_by_the_merchant_has_no_effect() {
    let mut scene = Scene::new().await;
    let merchant = scene.client.merchant;
    let mut record = posted(merchant, &scene.wallet.account_id, position(1));
    record.key = merchant.to_string();
    scene.publisher.publish(vec![record]).await;
    assert!(scene.settled().await.is_empty());
    assert_eq!(scene.standing().await, None);
}

#[tokio::test]
async fn a_foreign_merchants_record_moves_no_wallet_that_is_not_theirs() {
    let mut scene = Scene::new().await;
    let stranger = new_merchant();
    let record = posted(stranger, &scene.wallet.account_id, position(1));
    scene.publisher.publish(vec![record]).await;
    assert!(scene.settled().await.is_empty());
}

fn poisoned(merchant: MerchantId, account: &str) -> Vec<lp_kafka::Record> {
    let mut nonsense = posted(merchant, account, position(8));
    nonsense.payload = b"\xff\xff\xff".as_slice().into();
    // A transaction that does not touch the account that its key names.
    let mut foreign = posted(merchant, &new_account(), position(8));
    foreign.key = account.to_owned();
    let decoded = |record: &lp_kafka::Record| {
        lp_contracts::ledger::v1::TransactionPosted::decode(record.payload.clone()).unwrap()
    };
    let mut timeless = posted(merchant, account, position(8));
    let mut message = decoded(&timeless);
    message.posted_at = None;
    timeless.payload = message.encode_to_vec().into();
    let mut no_asset = posted(merchant, account, position(8));
    let mut message = decoded(&no_asset);
    message.entries[0].asset_code = "not an asset".to_owned();
    no_asset.payload = message.encode_to_vec().into();
    vec![nonsense, foreign, timeless, no_asset]
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_letters_and_the_rest_goes_on() {
    let mut scene = Scene::new().await;
    let account = scene.wallet.account_id.clone();
    let poisoned = poisoned(scene.client.merchant, &account);
    let ids: Vec<_> = poisoned.iter().map(|record| record.id.clone()).collect();
    let payloads: Vec<_> = poisoned.iter().map(|record| record.payload.clone()).collect();
    scene.post(position(1)).await;
    scene.publisher.publish(poisoned).await;
    scene.post(position(2)).await;
    assert_eq!(versions(&scene.settled().await), [(1, 1, 10), (1, 2, 20)]);
    assert_eq!(scene.standing().await, Some((1, 2, 20)));

    let letters = Reader::start(&scene.ground, "ledger.transactions.v1.dlt");
    let last = ids.last().unwrap();
    let letters = letters.until("the dead letters", |event| event.id == *last).await;
    assert_eq!(
        letters.iter().map(|event| event.id.clone()).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(
        letters
            .iter()
            .map(|event| event.payload.clone())
            .collect::<Vec<_>>(),
        payloads
    );
    assert!(
        scene
            .instance
            .client(scene.client.merchant)
            .balance(&scene.wallet.wallet_id)
            .await
            .is_ok()
    );
}

/// Makes the outbox refuse until the gate is opened, and counts its refusals.
const CLOSED_GATE: &str = "
    CREATE TABLE gate (open bool NOT NULL);
    INSERT INTO gate VALUES (false);
    CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet AS $$
    BEGIN
      IF NOT (SELECT open FROM gate) THEN
        PERFORM nextval('refusals');
        RAISE EXCEPTION 'the gate is closed' USING ERRCODE = '40001';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse();";

#[tokio::test]
async fn snapshot_record_and_inbox_come_together_or_not_at_all() {
    let mut scene = Scene::new().await;
    let mut owner = scene.ground.owner().await;
    run(&mut owner, CLOSED_GATE).await;
    scene.post(position(1)).await;
    until("the outbox has refused", async || {
        sqlx::query_scalar("SELECT is_called FROM refusals")
            .fetch_one(&mut owner)
            .await
            .unwrap()
    })
    .await;
    assert_eq!(scene.standing().await, None, "a snapshot without its record");
    assert_eq!(inbox(&mut owner).await, 0, "an inbox row without its effect");

    run(&mut owner, "UPDATE gate SET open = true").await;
    until("the effect", async || scene.standing().await == Some((1, 1, 10))).await;
    assert_eq!(inbox(&mut owner).await, 1);
    assert_eq!(versions(&scene.settled().await), [(1, 1, 10)]);
    assert_eq!(inbox(&mut owner).await, 2);
}

#[tokio::test]
async fn what_was_done_before_a_restart_is_not_done_again() {
    let mut scene = Scene::new().await;
    let record = posted(scene.client.merchant, &scene.wallet.account_id, position(1));
    scene.publisher.publish(vec![record.clone()]).await;
    assert_eq!(versions(&scene.settled().await), [(1, 1, 10)]);
    scene.instance.stop().await;

    // Redelivered, with an inbox that alone remembers it: the snapshot has been lost.
    let mut owner = scene.ground.owner().await;
    run(&mut owner, "TRUNCATE balance_snapshots").await;
    let instance = scene.ground.start().await;
    scene.instance = instance;
    scene.client = scene.instance.client(scene.client.merchant);
    scene.publisher.publish(vec![record]).await;
    assert_eq!(versions(&scene.settled().await), [(1, 1, 10)]);
    assert_eq!(scene.standing().await, None);
}
