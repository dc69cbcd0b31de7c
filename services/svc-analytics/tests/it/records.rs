//! What svc-ledger and svc-merchant publish.

use lp_contracts::{
    ledger::v1::{AccountType, Direction, PostedEntry, TransactionKind, TransactionPosted},
    merchant::v1::MerchantOnboarded,
    time::to_wire,
    topics::{LEDGER_TRANSACTIONS, MERCHANT_ONBOARDED},
};
use lp_kafka::{Leg, Record};
use lp_types::{AccountId, IdSource as _, MerchantId, SystemIds, TransactionId};
use prost::Message as _;

use crate::support::{Ground, new_merchant, until};

pub use lp_contracts::ledger::v1::{
    AccountType::{Customer, External, GiftCard, Issuance, Redemption, Sales},
    Direction::{Credit, Debit},
};

/// An entry of a new account.
pub fn entry(account: AccountType, side: Direction, units: i64, asset: (&str, i32)) -> PostedEntry {
    PostedEntry {
        account_id: AccountId::from_uuid(SystemIds.uuid()).to_string(),
        account_type: account.into(),
        direction: side.into(),
        minor_units: units,
        asset_code: asset.0.to_owned(),
        asset_exponent: asset.1,
        account_sequence: 1,
        balance_after: units,
    }
}

pub const PTS: (&str, i32) = ("PTS", 0);
pub const EUR: (&str, i32) = ("EUR", 2);

pub fn earn(units: i64) -> Vec<PostedEntry> {
    vec![
        entry(Issuance, Debit, units, PTS),
        entry(Customer, Credit, units, PTS),
    ]
}

pub fn burn(units: i64) -> Vec<PostedEntry> {
    vec![
        entry(Customer, Debit, units, PTS),
        entry(Redemption, Credit, units, PTS),
    ]
}

pub fn sell_card(units: i64) -> Vec<PostedEntry> {
    vec![
        entry(External, Debit, units, EUR),
        entry(GiftCard, Credit, units, EUR),
    ]
}

pub fn redeem_card(units: i64) -> Vec<PostedEntry> {
    vec![
        entry(GiftCard, Debit, units, EUR),
        entry(Sales, Credit, units, EUR),
    ]
}

/// A transaction as it goes into the records: to be changed by tests of what must not be.
pub fn posted(merchant: MerchantId, at: &str, entries: Vec<PostedEntry>) -> TransactionPosted {
    TransactionPosted {
        transaction_id: TransactionId::from_uuid(SystemIds.uuid()).to_string(),
        merchant_id: merchant.to_string(),
        kind: TransactionKind::General.into(),
        posted_at: Some(to_wire(at.parse().unwrap())),
        epoch: 1,
        entries,
    }
}

/// The records of a transaction, as svc-ledger makes them: one for each customer account, or one of the merchant.
pub fn records(merchant: MerchantId, posted: &TransactionPosted) -> Vec<Record> {
    let customers = posted.entries.iter().filter(|e| e.account_type() == Customer);
    let mut keys: Vec<_> = customers.map(|e| e.account_id.clone()).collect();
    if keys.is_empty() {
        keys.push(merchant.to_string());
    }
    let count = u32::try_from(keys.len()).unwrap();
    let record = |(index, key): (u32, String)| Record {
        topic: LEDGER_TRANSACTIONS.to_owned(),
        id: format!("{}:{key}", posted.transaction_id),
        key,
        event_type: "localplus.ledger.v1.TransactionPosted".to_owned(),
        source: "svc-ledger".to_owned(),
        merchant,
        occurred_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        traceparent: None,
        leg: Leg { index, count },
        payload: posted.encode_to_vec().into(),
    };
    (1..).zip(keys).map(record).collect()
}

/// The records of a new transaction.
pub fn transaction(merchant: MerchantId, at: &str, entries: Vec<PostedEntry>) -> Vec<Record> {
    records(merchant, &posted(merchant, at, entries))
}

/// Three customers earn in one transaction: three records.
pub fn earn_thrice(merchant: MerchantId, at: &str) -> Vec<Record> {
    transaction(merchant, at, [earn(1), earn(20), earn(300)].concat())
}

/// What svc-merchant tells when a merchant becomes active.
pub fn onboarded_as(told: &MerchantOnboarded, merchant: MerchantId) -> Record {
    Record {
        topic: MERCHANT_ONBOARDED.to_owned(),
        key: merchant.to_string(),
        id: format!("{}:{merchant}", SystemIds.uuid()),
        event_type: "localplus.merchant.v1.MerchantOnboarded".to_owned(),
        source: "svc-merchant".to_owned(),
        merchant,
        occurred_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        traceparent: None,
        leg: Leg { index: 1, count: 1 },
        payload: told.encode_to_vec().into(),
    }
}

/// What is told of a merchant in a time zone.
pub fn told(merchant: MerchantId, time_zone: &str) -> MerchantOnboarded {
    MerchantOnboarded {
        merchant_id: merchant.to_string(),
        currency_code: "EUR".to_owned(),
        currency_exponent: 2,
        points_code: "PTS".to_owned(),
        time_zone: time_zone.to_owned(),
        activated_at: Some(to_wire("2026-01-01T00:00:00Z".parse().unwrap())),
    }
}

pub fn onboarded(merchant: MerchantId, time_zone: &str) -> Record {
    onboarded_as(&told(merchant, time_zone), merchant)
}

/// Records that have no effect but their inbox rows, last on each topic.
fn markers() -> Vec<Record> {
    let mut second = earn_thrice(new_merchant(), "2026-06-01T12:00:00Z").swap_remove(1);
    second.key = "marker".to_owned();
    let nobody = new_merchant();
    let earlier = MerchantOnboarded {
        activated_at: Some(to_wire("1970-01-01T00:00:00Z".parse().unwrap())),
        ..told(nobody, "UTC")
    };
    vec![second, onboarded_as(&earlier, nobody)]
}

impl Ground {
    /// Publishes, each as the service that owns its topic.
    pub async fn tell(&self, all: Vec<Record>) {
        for from in ["svc-merchant", "svc-ledger"] {
            let of = |record: &&Record| record.source == from;
            let theirs: Vec<_> = all.iter().filter(of).cloned().collect();
            if !theirs.is_empty() {
                self.publish(from, theirs).await;
            }
        }
    }

    /// Publishes, and waits until it is done: then markers behind it are.
    pub async fn told(&self, all: Vec<Record>) {
        self.tell(all).await;
        let markers = markers();
        let ids: Vec<_> = markers.iter().map(|record| record.id.clone()).collect();
        self.tell(markers).await;
        let mut owner = self.owner().await;
        until("the markers are done", async || {
            let done = "SELECT count(*) FROM inbox WHERE event_id = ANY($1)";
            let done: i64 = sqlx::query_scalar(done)
                .bind(&ids)
                .fetch_one(&mut owner)
                .await
                .unwrap();
            done == 2
        })
        .await;
        // So that rows are those of the test alone.
        for statement in [
            "DELETE FROM inbox WHERE event_id = ANY($1)",
            "DELETE FROM merchants WHERE activated_at = to_timestamp(0) AND $1::text[] IS NOT NULL",
        ] {
            sqlx::query(statement)
                .bind(&ids)
                .execute(&mut owner)
                .await
                .unwrap();
        }
    }
}
