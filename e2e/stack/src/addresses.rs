//! Where the servers of a stack answer.

use serde::{Deserialize, Serialize};

/// The addresses of a running stack.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Addresses {
    /// Superuser URL of PostgreSQL, database `postgres`.
    pub postgres_admin_url: String,
    /// `host:port` of the Kafka broker.
    pub kafka_brokers: String,
    /// `redis://host:port` of Valkey.
    pub valkey_url: String,
    /// `smtp://host:port` of the SMTP catcher.
    pub smtp_url: String,
    /// Base URL of the catcher's page and REST API (`/email` lists what arrived).
    pub mail_api_url: String,
}

impl Addresses {
    /// The variables under which tests find the servers.
    #[must_use]
    pub fn test_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LP_TEST_POSTGRES_URL", self.postgres_admin_url.clone()),
            ("LP_TEST_KAFKA_BROKERS", self.kafka_brokers.clone()),
            ("LP_TEST_VALKEY_URL", self.valkey_url.clone()),
            ("LP_TEST_SMTP_URL", self.smtp_url.clone()),
            ("LP_TEST_MAIL_API_URL", self.mail_api_url.clone()),
        ]
    }
}
