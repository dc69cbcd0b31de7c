//! What a service is built of.

use lp_auth::TokenSource;
use lp_config::{Client, Common, Kafka};
use lp_kafka::{Consumer, Handler};
use lp_outbox::Relay;
use lp_pg::Database;
use lp_telemetry::Metrics;
use lp_types::time::Ambient;

/// What the chassis gives a service to build itself with.
#[derive(Debug, Clone)]
pub struct Chassis {
    /// The service's own schema.
    pub database: Database,
    /// Where its parts register what they measure.
    pub metrics: Metrics,
    /// The clock and the source of ids.
    pub ambient: Ambient,
    service: &'static str,
    kafka: Kafka,
}

impl Chassis {
    /// Of `service`, for example `svc-ledger`.
    ///
    /// # Errors
    /// When the database's URL is none.
    pub fn open(
        service: &'static str,
        common: &Common,
        metrics: Metrics,
        ambient: Ambient,
    ) -> lp_pg::Result<Self> {
        Ok(Self {
            database: Database::open(&common.database, service)?,
            metrics,
            ambient,
            service,
            kafka: common.kafka.clone(),
        })
    }

    /// What consumes `topics` for the service; its replicas share the work.
    pub fn consumer<H: Handler>(&self, topics: &[&str], handler: H) -> Consumer<H> {
        let database = self.database.clone();
        Consumer::new(
            &self.kafka,
            self.service,
            topics,
            database,
            handler,
            &self.metrics,
            self.ambient.clone(),
        )
    }

    /// What publishes the service's outbox.
    pub fn relay(&self) -> Relay {
        Relay::new(
            self.database.clone(),
            self.kafka.clone(),
            self.service,
            &self.metrics,
        )
    }

    /// The service's own token, for calls to other services.
    ///
    /// # Errors
    /// INTERNAL when the process cannot speak HTTPS.
    pub fn tokens(&self, client: Client) -> lp_error::Result<TokenSource> {
        TokenSource::new(client, self.ambient.clone())
    }
}
