//! Publishing all or nothing, by one producer of a name at a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lp_config::Kafka;
use rdkafka::{
    ClientContext,
    error::KafkaError as ClientError,
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use crate::{
    Record,
    client::{KafkaError, drop_in_thread, failed, producer_settings},
    record,
};

/// Longest wait for one step of a transaction. The broker ends a transaction after twice that.
const STEP: Duration = Duration::from_secs(10);

/// A producer that publishes in transactions: consumers see all records of one or none.
///
/// Starting one fences every earlier one of the same name: whatever it still does fails. It must be used from
/// a tokio runtime.
pub struct TransactionalProducer {
    client: Option<Arc<ThreadedProducer<Deliveries>>>,
    prefix: String,
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// Starts the producer `name`. What an earlier one of that name left unfinished is undone.
    ///
    /// # Errors
    /// When Kafka cannot be reached within 10 seconds, or a setting is refused.
    pub async fn start(config: &Kafka, name: &str) -> Result<Self, KafkaError> {
        let name = format!("{}{name}", config.kafka_prefix);
        let client: ThreadedProducer<Deliveries> = producer_settings(config, &name)
            .set("transactional.id", &name)
            .set("transaction.timeout.ms", (2 * STEP.as_millis()).to_string())
            .create_with_context(Deliveries::default())
            .map_err(failed("the transactional producer"))?;
        let producer = Self {
            client: Some(Arc::new(client)),
            prefix: config.kafka_prefix.clone(),
        };
        producer
            .blocking(|client| {
                client
                    .init_transactions(STEP)
                    .map_err(failed("taking over the transactions"))
            })
            .await?;
        Ok(producer)
    }

    /// Publishes `records` as one transaction, in their order.
    ///
    /// # Errors
    /// When it was fenced, Kafka cannot be reached, or a record is refused. Then this producer is spent: drop
    /// it and start another. None of the records is visible, unless the answer to the commit itself was lost.
    pub async fn publish(&mut self, records: Vec<Record>) -> Result<(), KafkaError> {
        let prefix = self.prefix.clone();
        self.blocking(move |client| {
            let outcome = transaction(client, &prefix, &records);
            if outcome.is_err() {
                // So that readers behind it need not wait for its timeout. The next producer does it if this
                // one cannot.
                let _ = client.abort_transaction(STEP);
            }
            outcome
        })
        .await
    }

    async fn blocking<F>(&self, work: F) -> Result<(), KafkaError>
    where
        F: FnOnce(&ThreadedProducer<Deliveries>) -> Result<(), KafkaError> + Send + 'static,
    {
        let Some(client) = self.client.clone() else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || work(&client))
            .await
            .map_err(failed("a transaction"))?
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        drop_in_thread(self.client.take());
    }
}

fn transaction(
    client: &ThreadedProducer<Deliveries>,
    prefix: &str,
    records: &[Record],
) -> Result<(), KafkaError> {
    client
        .begin_transaction()
        .map_err(failed("beginning a transaction"))?;
    for record in records {
        let topic = format!("{prefix}{}", record.topic);
        let message = BaseRecord::to(&topic)
            .key(record.key.as_str())
            .payload(record.payload.as_ref())
            .headers(record::headers(record));
        client
            .send(message)
            .map_err(|(error, _)| KafkaError::new(format!("publishing {} to {topic}", record.id), error))?;
    }
    // The commit flushes too, but in steps of 100 ms. Each message has its own timeout, so this ends.
    while client.in_flight_count() > 0 {
        std::thread::sleep(Duration::from_micros(200));
    }
    if let Some(error) = client.context().take_failure() {
        // What befell the records follows from what befell the producer.
        let fatal = client.client().fatal_error().map(|(_, reason)| reason);
        return Err(KafkaError::new(
            "publishing",
            fatal.unwrap_or_else(|| error.to_string()),
        ));
    }
    client
        .commit_transaction(STEP)
        .map_err(failed("committing a transaction"))
}

/// Remembers the first record that was not delivered.
#[derive(Default)]
struct Deliveries(Mutex<Option<ClientError>>);

impl Deliveries {
    fn take_failure(&self) -> Option<ClientError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| error.clone());
        }
    }
}
