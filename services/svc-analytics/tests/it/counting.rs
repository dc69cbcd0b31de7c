//! Each transaction counts once, and as the contract says.

use lp_contracts::{
    analytics::v1::{AssetFigures, DailyFigures},
    topics::LEDGER_TRANSACTIONS,
};
use lp_kafka::{Event, HandleError, Handler as _, Leg, Record, topics::Topic};
use lp_types::MerchantId;
use prost::Message as _;
use svc_analytics::{TOPICS, infrastructure::consumers::Rollup};

use crate::{
    records::{
        Credit, Customer, Debit, EUR, External, GiftCard, Issuance, PTS, burn, earn, earn_thrice, entry,
        posted, records, redeem_card, sell_card, transaction,
    },
    support::{Ground, ended, run, until},
};

const NOON: &str = "2026-06-01T12:00:00Z";

fn day(date: &str, transactions: i64, assets: Vec<AssetFigures>) -> DailyFigures {
    DailyFigures {
        day: date.to_owned(),
        transactions,
        assets,
    }
}

fn eur() -> AssetFigures {
    AssetFigures {
        asset_code: "EUR".to_owned(),
        exponent: 2,
        ..AssetFigures::default()
    }
}

fn pts() -> AssetFigures {
    AssetFigures {
        asset_code: "PTS".to_owned(),
        ..AssetFigures::default()
    }
}

#[tokio::test]
async fn every_figure_is_what_the_contract_says() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let all = [
        (NOON, earn(120)),
        (NOON, earn(3)),
        ("2026-06-01T18:20:00Z", burn(50)),
        (NOON, sell_card(5_000)),
        // Loaded twice and spent in part, in one transaction.
        (NOON, [sell_card(100), sell_card(200), redeem_card(30)].concat()),
        ("2026-06-02T00:00:00Z", redeem_card(700)),
        // A sale for cash: nothing of it has a figure, but it is a transaction.
        (
            "2026-06-04T09:00:00.000001Z",
            vec![
                entry(External, Debit, 900, EUR),
                entry(External, Credit, 900, EUR),
            ],
        ),
        // The wrong sides.
        (
            NOON,
            vec![entry(Issuance, Credit, 9, PTS), entry(Customer, Debit, 9, PTS)],
        ),
    ];
    let all = all.map(|(at, entries)| transaction(client.merchant, at, entries));
    ground.told(all.concat()).await;

    let found = client.year().await;
    let first = vec![
        AssetFigures {
            cards_sold: 3,
            cards_sold_amount: 5_300,
            cards_redeemed: 1,
            cards_redeemed_amount: 30,
            ..eur()
        },
        AssetFigures {
            points_given: 123,
            points_spent: 50,
            ..pts()
        },
    ];
    let second = AssetFigures {
        cards_redeemed: 1,
        cards_redeemed_amount: 700,
        ..eur()
    };
    assert_eq!(
        found.days,
        [
            day("2026-06-01", 6, first),
            day("2026-06-02", 1, vec![second]),
            day("2026-06-04", 1, vec![eur()]),
        ]
    );
    assert_eq!(found.time_zone, "UTC");
    let as_of = lp_contracts::time::from_wire(&found.as_of.unwrap());
    assert_eq!(as_of, "2026-06-04T09:00:00.000001Z".parse().ok());
    // A range that it is not in makes the newest no older.
    let earlier = client.list("2026-06-02", "2026-06-02").await.unwrap();
    assert_eq!((earlier.days.len(), earlier.as_of), (1, found.as_of));
}

#[tokio::test]
async fn nothing_is_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let found = instance.merchant().year().await;
    assert_eq!(
        (found.days, found.time_zone.as_str(), found.as_of),
        (vec![], "UTC", None)
    );
}

#[tokio::test]
async fn the_newest_is_not_the_last_that_came() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let times = [
        "2026-06-01T12:05:00Z",
        "2026-06-01T12:14:59.999999Z",
        "2026-06-01T12:00:00Z",
        "2026-05-31T12:00:00Z",
    ];
    let all = times.map(|at| transaction(client.merchant, at, earn(1)));
    ground.told(all.concat()).await;
    let as_of = client.year().await.as_of.unwrap();
    assert_eq!(
        lp_contracts::time::from_wire(&as_of),
        "2026-06-01T12:14:59.999999Z".parse().ok()
    );
    assert_eq!(client.counted().await, 4);
}

#[tokio::test]
async fn legs_count_once_in_any_order_and_however_often() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let clients = [instance.merchant(), instance.merchant(), instance.merchant()];
    let mut all = Vec::new();
    for (client, order) in clients.iter().zip([[0, 1, 2], [2, 1, 0], [1, 0, 2]]) {
        let legs = earn_thrice(client.merchant, NOON);
        assert_eq!(legs.len(), 3);
        all.extend(order.map(|leg| legs[leg].clone()));
        // And again, as a producer that lost its acknowledgement does.
        all.extend(order.map(|leg| legs[leg].clone()));
    }
    ground.told(all).await;
    for client in clients {
        let given = AssetFigures {
            points_given: 321,
            ..pts()
        };
        assert_eq!(client.year().await.days, [day("2026-06-01", 1, vec![given])]);
    }
    assert_eq!(ground.count("inbox").await, 9);
}

#[tokio::test]
async fn an_account_of_an_unknown_type_is_no_fault() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut entries = earn(10);
    entries.push(entry(External, Debit, 4, EUR));
    entries[2].account_type = 4_711;
    ground.told(transaction(client.merchant, NOON, entries)).await;
    let given = AssetFigures {
        points_given: 10,
        ..pts()
    };
    assert_eq!(
        client.year().await.days,
        [day("2026-06-01", 1, vec![eur(), given])]
    );
}

/// Records that cannot be understood, each for a reason of its own.
fn poisoned(merchant: MerchantId) -> Vec<(Record, &'static str)> {
    type Change = fn(&mut lp_contracts::ledger::v1::TransactionPosted);
    let changes: [(Change, &str); 10] = [
        (
            |t| t.merchant_id = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b".to_owned(),
            "the payload is of another merchant",
        ),
        (|t| t.posted_at = None, "no posted_at"),
        (
            |t| t.posted_at.as_mut().unwrap().nanos = -1_000_000_000,
            "no posted_at",
        ),
        (|t| t.entries.clear(), "no entries"),
        (|t| t.entries[0].direction = 0, "an entry without a side"),
        (|t| t.entries[0].direction = 3, "an entry without a side"),
        (
            |t| t.entries[1].minor_units = 0,
            "an amount must be greater than zero",
        ),
        (
            |t| t.entries[1].minor_units = i64::MIN,
            "an amount must be greater than zero",
        ),
        (
            |t| t.entries[0].asset_code = "=1+1".to_owned(),
            "an asset code must be 2 to 16 characters",
        ),
        (|t| t.entries[0].asset_exponent = -1, "an exponent out of range"),
    ];
    let mut poisoned = Vec::new();
    for (change, why) in changes {
        let mut transaction = posted(merchant, NOON, earn(1));
        let mut record = records(merchant, &transaction).swap_remove(0);
        change(&mut transaction);
        record.payload = transaction.encode_to_vec().into();
        poisoned.push((record, why));
    }
    let mut nonsense = transaction(merchant, NOON, earn(1)).swap_remove(0);
    nonsense.payload = b"\xff\xff\xff".as_slice().into();
    poisoned.push((nonsense, "the payload: "));
    for (index, count) in [(0, 1), (2, 1)] {
        let mut no_leg = transaction(merchant, NOON, earn(1)).swap_remove(0);
        no_leg.leg = Leg { index, count };
        poisoned.push((no_leg, "no record of as many as it says"));
    }
    let too_much = vec![earn(1_000_000_000_000_000); 47].concat();
    let too_much = transaction(merchant, NOON, too_much).swap_remove(0);
    poisoned.push((too_much, "its figures are more than a quarter hour may have"));
    poisoned
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_letters_and_the_rest_goes_on() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let poisoned = poisoned(client.merchant);
    for (record, why) in &poisoned {
        let event = Event {
            record: record.clone(),
            partition: 0,
            offset: 0,
        };
        let mut work = ground.database.open().begin().await.unwrap();
        match Rollup.handle(&mut work, &event).await {
            Err(HandleError::Poison(reason)) => {
                assert!(reason.contains(why), "{reason}, not {why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    let mut all = transaction(client.merchant, NOON, earn(1));
    all.extend(poisoned.iter().map(|(record, _)| record.clone()));
    all.extend(transaction(client.merchant, NOON, earn(2)));
    ground.told(all).await;
    let given = AssetFigures {
        points_given: 3,
        ..pts()
    };
    assert_eq!(client.year().await.days, [day("2026-06-01", 2, vec![given])]);
    assert_eq!(ground.count("inbox").await, 2);
    assert_eq!(
        ended(&instance, "dead_letter", LEDGER_TRANSACTIONS),
        poisoned.len()
    );

    let letters = crate::replay::Reader::start(&ground, &format!("{LEDGER_TRANSACTIONS}.dlt"));
    let letters = letters.first(poisoned.len()).await;
    let ids: Vec<_> = letters.iter().map(|letter| letter.id.clone()).collect();
    let wanted: Vec<_> = poisoned.iter().map(|(record, _)| record.id.clone()).collect();
    assert_eq!(ids, wanted);
}

#[tokio::test]
async fn a_quarter_hour_that_would_have_too_much_is_left_as_it_was() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    // 46 of the greatest amounts are within the limit, the 47th is not.
    let much = |count: usize| {
        transaction(
            client.merchant,
            NOON,
            vec![earn(1_000_000_000_000_000); count].concat(),
        )
    };
    let all = [much(46), much(1), transaction(client.merchant, NOON, earn(1))].concat();
    ground.told(all).await;
    let given = AssetFigures {
        points_given: 46_000_000_000_000_001,
        ..pts()
    };
    assert_eq!(client.year().await.days, [day("2026-06-01", 2, vec![given])]);
    assert_eq!(ended(&instance, "dead_letter", LEDGER_TRANSACTIONS), 1);
    // It is no fault of ours, at which to try again.
    assert!(!instance.measured("consumer_retries_total{"));
}

/// Makes the last statement of an effect refuse until the gate is opened, and counts its refusals.
const CLOSED_GATE: &str = "
    CREATE TABLE gate (open bool NOT NULL);
    INSERT INTO gate VALUES (false);
    CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = analytics AS $$
    BEGIN
      IF NOT (SELECT open FROM gate) THEN
        PERFORM nextval('refusals');
        RAISE EXCEPTION 'the gate is closed' USING ERRCODE = '40001';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse AFTER INSERT ON asset_figures FOR EACH ROW EXECUTE FUNCTION refuse();";

#[tokio::test]
async fn figures_and_inbox_come_together_or_not_at_all() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut owner = ground.owner().await;
    run(&mut owner, CLOSED_GATE).await;
    ground.tell(transaction(client.merchant, NOON, earn(7))).await;
    until("an effect was refused twice", async || {
        let refused: i64 = sqlx::query_scalar("SELECT last_value FROM refusals")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        refused >= 2
    })
    .await;
    assert_eq!(
        ground.counts(["quarter_hours", "asset_figures", "inbox"]).await,
        [0; 3]
    );

    run(&mut owner, "UPDATE gate SET open = true").await;
    until("it counts", async || client.counted().await == 1).await;
    assert_eq!(
        ground.counts(["quarter_hours", "asset_figures", "inbox"]).await,
        [1; 3]
    );
}

/// Holds an effect up behind its last statement, before its commit.
const WAITING_ROOM: &str = "
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = analytics AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock(4711);
      RETURN NEW;
    END $$;
    CREATE TRIGGER wait AFTER INSERT OR UPDATE ON asset_figures FOR EACH ROW EXECUTE FUNCTION wait();";

#[tokio::test]
async fn a_crash_between_effect_and_commit_counts_once() {
    let ground = Ground::with_topics().await;
    let mut owner = ground.owner().await;
    run(&mut owner, WAITING_ROOM).await;
    let mortal: lp_test_service::Mortal<crate::support::Client> = ground.start_mortal(ground.config()).await;
    let merchant = mortal.instance.merchant().merchant;
    let before = transaction(merchant, NOON, earn(5));
    ground.told(before.clone()).await;

    let hold = ground.hold("SELECT pg_advisory_xact_lock(4711)").await;
    ground.tell(transaction(merchant, NOON, earn(7))).await;
    ground.somebody_waits().await;
    mortal.kill();
    hold.release().await;

    // What was done and what was not come again.
    let instance = ground.start().await;
    let client = instance.client(merchant);
    ground.told(before).await;
    let given = AssetFigures {
        points_given: 12,
        ..pts()
    };
    assert_eq!(client.year().await.days, [day("2026-06-01", 2, vec![given])]);
    assert_eq!(ground.count("inbox").await, 2);
}

#[tokio::test]
async fn what_was_counted_before_a_restart_is_not_counted_again() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let merchant = instance.merchant().merchant;
    let sold = vec![entry(External, Debit, 10, EUR), entry(GiftCard, Credit, 10, EUR)];
    let sold = transaction(merchant, NOON, sold);
    ground.told(sold.clone()).await;
    instance.stop().await;
    let instance = ground.start().await;
    ground
        .told([sold, transaction(merchant, NOON, earn(1))].concat())
        .await;
    assert_eq!(instance.client(merchant).counted().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_and_partitions_count_one_quarter_hour_together() {
    let ground = Ground::new().await;
    let real = |name| Topic {
        name,
        partitions: 6,
        retention_days: 1,
    };
    let topics = TOPICS.map(real);
    lp_kafka::topics::ensure(&ground.kafka, &topics).await.unwrap();
    let instances = [ground.start().await, ground.start().await];
    let client = instances[0].merchant();
    // Every one of them raises the same rows, in this order of assets or in that.
    let (mut all, mut units) = (Vec::new(), 0);
    for n in 1..=150 {
        let mut entries = [sell_card(n), earn(n)].concat();
        if n % 2 == 0 {
            entries.reverse();
        }
        all.extend(transaction(client.merchant, NOON, entries));
        units += n;
    }
    all.extend(all.clone());
    ground.publish("svc-ledger", all).await;
    until("all are counted", async || client.counted().await == 150).await;
    until("and all that came again is done", async || {
        let all = instances.iter().map(|one| {
            ended(one, "applied", LEDGER_TRANSACTIONS) + ended(one, "duplicate", LEDGER_TRANSACTIONS)
        });
        all.sum::<usize>() >= 300
    })
    .await;
    let figures = client.year().await.days.swap_remove(0);
    let (sold, given) = (&figures.assets[0], &figures.assets[1]);
    assert_eq!(
        (
            figures.transactions,
            sold.cards_sold,
            sold.cards_sold_amount,
            given.points_given
        ),
        (150, 150, units, units)
    );
}
