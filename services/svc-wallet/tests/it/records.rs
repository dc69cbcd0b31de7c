//! Kafka's side of a test: what the ledger publishes, and every record that a topic holds.

use std::sync::{Arc, Mutex};

use lp_contracts::{
    ledger::v1::{AccountType, Direction, PostedEntry, TransactionKind, TransactionPosted},
    topics::LEDGER_TRANSACTIONS,
};
use lp_kafka::{Consumer, Event, HandleError, Handler, Leg, Record, TransactionalProducer};
use lp_pg::UnitOfWork;
use lp_telemetry::Metrics;
use lp_types::{AccountId, IdSource as _, MerchantId, SystemIds, TransactionId, time::Ambient};
use prost::Message as _;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    ledger::Position,
    support::{Ground, until},
};

/// When everything here was posted.
pub const POSTED_AT: &str = "2026-11-21T10:00:00.123456Z";

/// Publishes as svc-ledger does.
pub struct Publisher(TransactionalProducer);

impl Publisher {
    pub async fn start(ground: &Ground) -> Self {
        let producer = TransactionalProducer::start(&ground.kafka, "svc-ledger-relay");
        Self(producer.await.unwrap())
    }

    pub async fn publish(&mut self, records: Vec<Record>) {
        self.0.publish(records).await.unwrap();
    }

    /// One transaction of one entry of the account.
    pub async fn post(&mut self, merchant: MerchantId, account: &str, position: Position) {
        self.publish(vec![posted(merchant, account, position)]).await;
    }
}

/// The account of a customer whose wallet nobody knows.
pub fn new_account() -> String {
    AccountId::from_uuid(SystemIds.uuid()).to_string()
}

fn entry(account: &str, position: Position) -> PostedEntry {
    PostedEntry {
        account_id: account.to_owned(),
        account_type: AccountType::Customer.into(),
        direction: Direction::Credit.into(),
        minor_units: 10,
        asset_code: "PTS".to_owned(),
        asset_exponent: 0,
        account_sequence: position.sequence,
        balance_after: position.balance,
    }
}

/// The record of a transaction that brought the account where it says.
pub fn posted(merchant: MerchantId, account: &str, position: Position) -> Record {
    posted_entries(merchant, account, position.epoch, vec![entry(account, position)])
}

/// The same with several entries of the account, and one of another account that must not be taken for it.
pub fn posted_twice(merchant: MerchantId, account: &str, earlier: Position, later: Position) -> Record {
    let foreign = Position {
        sequence: 900,
        balance: 9_999,
        ..later
    };
    let entries = vec![
        entry(account, later),
        entry(&new_account(), foreign),
        entry(account, earlier),
    ];
    posted_entries(merchant, account, later.epoch, entries)
}

fn posted_entries(merchant: MerchantId, key: &str, epoch: i64, entries: Vec<PostedEntry>) -> Record {
    let transaction = TransactionId::from_uuid(SystemIds.uuid());
    let posted_at = POSTED_AT.parse().unwrap();
    let payload = TransactionPosted {
        transaction_id: transaction.to_string(),
        merchant_id: merchant.to_string(),
        kind: TransactionKind::Earn.into(),
        posted_at: Some(lp_contracts::time::to_wire(posted_at)),
        epoch,
        entries,
    };
    Record {
        topic: LEDGER_TRANSACTIONS.to_owned(),
        key: key.to_owned(),
        id: format!("{transaction}:{key}"),
        event_type: "localplus.ledger.v1.TransactionPosted".to_owned(),
        source: "svc-ledger".to_owned(),
        merchant,
        occurred_at: posted_at,
        traceparent: None,
        leg: Leg { index: 1, count: 1 },
        payload: payload.encode_to_vec().into(),
    }
}

/// Every record of one topic, as it stands there.
pub struct Reader {
    seen: Seen,
    _stop: DropGuard,
}

impl Reader {
    pub fn start(ground: &Ground, topic: &str) -> Self {
        let seen = Seen::default();
        let database = ground.database.open();
        let consumer = Consumer::new(
            &ground.kafka,
            "test-reader",
            &[topic],
            database,
            seen.clone(),
            &Metrics::new(),
            Ambient::system(),
        );
        let cancel = CancellationToken::new();
        tokio::spawn(consumer.run(cancel.clone()));
        Self {
            seen,
            _stop: cancel.drop_guard(),
        }
    }

    pub fn all(&self) -> Vec<Event> {
        self.seen.0.lock().unwrap().clone()
    }

    /// Waits for a record, and gives all up to then.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        until(what, async || self.all().iter().any(&wanted)).await;
        self.all()
    }
}

#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Handler for Seen {
    async fn handle(&self, _: &mut UnitOfWork, _: &Event) -> Result<(), HandleError> {
        Ok(())
    }

    /// Here, since it is called for a record that has the id of another one too.
    async fn committed(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}
