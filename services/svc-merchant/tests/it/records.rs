//! The topic `merchant.onboarded.v1`, as it stands in Kafka.

use std::sync::{Arc, Mutex};

use lp_contracts::{
    merchant::v1::{MerchantOnboarded, MerchantState},
    time::from_wire,
    topics::MERCHANT_ONBOARDED,
};
use lp_kafka::{Consumer, Event, HandleError, Handler, Leg};
use lp_pg::UnitOfWork;
use lp_telemetry::Metrics;
use lp_types::time::Ambient;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Ground, new_key, until};

/// Every record of the topic.
struct Reader {
    seen: Seen,
    _stop: DropGuard,
}

impl Reader {
    /// Its place is kept in svc-wallet's database: svc-merchant itself consumes nothing.
    fn start(ground: &Ground) -> Self {
        let seen = Seen::default();
        let consumer = Consumer::new(
            &ground.kafka,
            "test-reader",
            &[MERCHANT_ONBOARDED],
            ground.wallets.database.open(),
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

    fn all(&self) -> Vec<Event> {
        self.seen.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Handler for Seen {
    async fn handle(&self, _: &mut UnitOfWork, _: &Event) -> Result<(), HandleError> {
        Ok(())
    }

    async fn committed(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[tokio::test]
async fn the_first_activation_is_told_once_and_exactly() {
    let ground = Ground::with_events().await;
    let instance = ground.start().await;
    let reader = Reader::start(&ground);
    let shop = ground.shop(&instance).await;
    // Neither the way back nor the way there again is told.
    for to in [MerchantState::Suspended, MerchantState::Active] {
        shop.operator.change(&new_key(), to).await.unwrap();
    }
    // The next merchant's record comes after whatever the first one's steps have brought.
    let other = ground.shop(&instance).await;
    until("both are told", async || reader.all().len() >= 2).await;
    until("the outbox is empty", async || ground.count("outbox").await == 0).await;

    for shop in [&shop, &other] {
        let id = shop.client.merchant.to_string();
        let records: Vec<_> = reader.all().into_iter().filter(|event| event.key == id).collect();
        let [record] = records.as_slice() else {
            panic!("{records:?}");
        };
        assert_eq!(record.id, format!("onboarded:{id}"));
        assert_eq!(record.event_type, "localplus.merchant.v1.MerchantOnboarded");
        assert_eq!(record.source, "svc-merchant");
        assert_eq!(record.merchant, shop.client.merchant);
        assert_eq!(record.leg, Leg { index: 1, count: 1 });
        let message: MerchantOnboarded = record.message().unwrap();
        let activated_at = message.activated_at.unwrap();
        assert_eq!(from_wire(&activated_at), Some(record.occurred_at));
        let told = shop.client.events(Default::default()).await.unwrap().events;
        let activation = told.iter().rev().find(|e| e.to_state() == MerchantState::Active);
        assert_eq!(activation.unwrap().occurred_at, Some(activated_at));
        let expected = MerchantOnboarded {
            merchant_id: id,
            currency_code: "EUR".to_owned(),
            currency_exponent: 2,
            points_code: "PTS".to_owned(),
            time_zone: "Europe/Paris".to_owned(),
            activated_at: Some(activated_at),
        };
        assert_eq!(message, expected);
    }
    assert_eq!(reader.all().len(), 2);
}
