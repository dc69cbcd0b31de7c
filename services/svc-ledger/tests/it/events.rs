//! Each posted transaction has its event, in the order of its accounts, and nothing else has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::future::join_all;
use lp_contracts::{
    ledger::v1::{self, AccountType},
    topics::LEDGER_TRANSACTIONS,
};
use lp_kafka::{Consumer, Event, HandleError, Handler, Leg};
use lp_pg::UnitOfWork;
use lp_telemetry::Metrics;
use lp_test::TestDatabase;
use lp_types::time::Ambient;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Ground, credit, debit, new_key, points, until};

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Handler for Seen {
    async fn handle(&self, _: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

impl Seen {
    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn of(&self, transaction: &v1::Transaction) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|e| e.id.starts_with(&transaction.transaction_id));
        events.sort_by_key(|e| e.leg.index);
        events
    }
}

/// Consumes the ledger's topic until it is dropped.
struct Reader {
    seen: Seen,
    _ends: DropGuard,
}

impl Reader {
    async fn start(ground: &Ground) -> Self {
        let migrator = lp_pg::schema::combine(&[&lp_kafka::MIGRATOR]);
        let database = TestDatabase::create("reader", &migrator).await.open();
        let seen = Seen::default();
        let consumer = Consumer::new(
            &ground.kafka,
            "reader",
            &[LEDGER_TRANSACTIONS],
            database,
            seen.clone(),
            &Metrics::new(),
            Ambient::system(),
        );
        let cancel = CancellationToken::new();
        tokio::spawn(consumer.run(cancel.clone()));
        Self {
            seen,
            _ends: cancel.drop_guard(),
        }
    }

    async fn wait_for(&self, records: usize, ground: &Ground) -> Vec<Event> {
        until("the outbox is empty", async || ground.count("outbox").await == 0).await;
        until("every record has come", async || {
            self.seen.events().len() >= records
        })
        .await;
        let events = self.seen.events();
        let ids: BTreeSet<_> = events.iter().map(|e| e.id.clone()).collect();
        assert_eq!(
            (ids.len(), events.len()),
            (records, records),
            "each once, and no more"
        );
        events
    }
}

#[tokio::test]
async fn a_transaction_is_told_to_each_customers_account_and_a_refusal_to_nobody() {
    let ground = Ground::with_events().await;
    let reader = Reader::start(&ground).await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let asset = client.points("PTS").await;
    let (one, other) = (client.customer("PTS").await, client.customer("PTS").await);
    let world = client.account("PTS", AccountType::External).await;
    let issuance = asset.issuance_account_id;

    let earned = client.earn("1", &one, 100).await.unwrap().transaction.unwrap();
    client.earn("1", &one, 100).await.unwrap();
    client.burn("2", &one, 1_000).await.unwrap_err();
    client.earn("3", &world, 1).await.unwrap_err();
    let transfer = vec![
        debit(&one, points(30)),
        credit(&other, points(10)),
        credit(&issuance, points(5)),
        credit(&other, points(15)),
    ];
    let transferred = client.transact("4", transfer).await.unwrap().transaction.unwrap();
    let internal = vec![debit(&world, points(7)), credit(&issuance, points(7))];
    let internal = client.transact("5", internal).await.unwrap().transaction.unwrap();
    reader.wait_for(4, &ground).await;

    let merchant = client.merchant.to_string();
    for (transaction, kind, keys) in [
        (&earned, v1::TransactionKind::Earn, vec![&one]),
        (&transferred, v1::TransactionKind::General, vec![&one, &other]),
        (&internal, v1::TransactionKind::General, vec![&merchant]),
    ] {
        let events = reader.seen.of(transaction);
        assert_eq!(events.iter().map(|e| &e.key).collect::<Vec<_>>(), keys);
        for (event, index) in events.iter().zip(1..) {
            let count = u32::try_from(keys.len()).unwrap();
            assert_eq!(event.id, format!("{}:{}", transaction.transaction_id, event.key));
            assert_eq!(event.leg, Leg { index, count });
            assert_eq!(event.source, "svc-ledger");
            assert_eq!(event.event_type, "localplus.ledger.v1.TransactionPosted");
            assert_eq!(event.merchant, client.merchant);
            let payload: v1::TransactionPosted = event.message().unwrap();
            assert_eq!(payload.transaction_id, transaction.transaction_id);
            assert_eq!(payload.merchant_id, merchant);
            assert_eq!((payload.kind(), payload.epoch), (kind, 1));
            assert_eq!(payload.posted_at, transaction.posted_at);
            // The whole transaction, as its caller was answered.
            let told = payload.entries.iter().map(|e| {
                (
                    e.account_id.clone(),
                    e.direction,
                    e.minor_units,
                    e.asset_code.clone(),
                    e.account_sequence,
                    e.balance_after,
                )
            });
            let answered = transaction.entries.iter().map(|e| {
                let amount = e.amount.clone().unwrap();
                (
                    e.account_id.clone(),
                    e.direction,
                    amount.minor_units,
                    amount.asset_code,
                    e.account_sequence,
                    e.balance_after,
                )
            });
            assert!(told.eq(answered), "{payload:?} {transaction:?}");
            assert!(payload.entries.iter().all(|e| e.asset_exponent == 0));
        }
    }
    let types: Vec<_> = {
        let events = reader.seen.of(&transferred);
        let payload: v1::TransactionPosted = events[0].message().unwrap();
        payload
            .entries
            .iter()
            .map(v1::PostedEntry::account_type)
            .collect()
    };
    let customer = AccountType::Customer;
    assert_eq!(types, [customer, customer, AccountType::Issuance, customer]);
    instance.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_one_account_come_in_the_order_of_its_sequence() {
    let ground = Ground::with_events().await;
    let reader = Reader::start(&ground).await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = other.client(client.merchant);
    client.points("PTS").await;
    let accounts = join_all((0..4).map(|_| client.customer("PTS"))).await;
    let calls = (0..200_usize).map(|n| {
        let client = if n % 2 == 0 { client.clone() } else { there.clone() };
        let (from, to) = (accounts[n % 4].clone(), accounts[(n / 4) % 4].clone());
        async move {
            if n % 3 == 0 && from != to {
                let entries = vec![debit(&from, points(1)), credit(&to, points(1))];
                usize::from(client.transact(&new_key(), entries).await.is_ok()) * 2
            } else {
                client.earn(&new_key(), &to, 3).await.map(|_| 1).unwrap()
            }
        }
    });
    let records: usize = join_all(calls).await.into_iter().sum();
    let mut expected = BTreeMap::new();
    for account in &accounts {
        expected.insert(account.clone(), client.balance(account).await.sequence);
    }
    let mut last = BTreeMap::new();
    for event in reader.wait_for(records, &ground).await {
        let payload: v1::TransactionPosted = event.message().unwrap();
        let own = payload
            .entries
            .iter()
            .find(|e| e.account_id == event.key)
            .unwrap();
        let before = last.insert(event.key.clone(), own.account_sequence).unwrap_or(0);
        assert_eq!(own.account_sequence, before + 1, "{}", event.key);
    }
    assert_eq!(last, expected);
}

#[tokio::test]
async fn while_kafka_is_away_the_ledger_posts_and_events_wait() {
    let ground = Ground::with_events().await;
    // Nobody listens there.
    let nowhere = |common: &mut lp_config::Common| common.kafka.kafka_brokers = "127.0.0.1:1".to_owned();
    let instance = ground.start_with(nowhere).await;
    let client = instance.merchant();
    let account = client.customer_with(5).await;
    client.burn(&new_key(), &account, 1).await.unwrap();
    assert_eq!(ground.count("outbox").await, 2);
    instance.stop().await;

    let reader = Reader::start(&ground).await;
    let instance = ground.start().await;
    let events = reader.wait_for(2, &ground).await;
    assert!(events.iter().all(|e| e.key == account));
    instance.stop().await;
}
