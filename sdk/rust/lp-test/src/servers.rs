//! The servers of this run, from the environment.

use lp_config::{Kafka, SecretUrl, Valkey};
use uuid::Uuid;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("no test servers: {name} is not set; run `cargo xtask test`, or `cargo xtask servers` and its exports")
    })
}

/// PostgreSQL, as a role that may create databases and roles.
pub fn postgres_admin() -> SecretUrl {
    variable("LP_TEST_POSTGRES_URL")
        .parse()
        .expect("LP_TEST_POSTGRES_URL is a URL")
}

/// Kafka, with a prefix of topics and groups for this test alone.
pub fn kafka() -> Kafka {
    Kafka {
        kafka_brokers: variable("LP_TEST_KAFKA_BROKERS"),
        kafka_prefix: format!("{}.", unique("t")),
        kafka_replication: 1,
    }
}

/// Valkey, with a prefix of keys for this test alone.
pub fn valkey() -> Valkey {
    Valkey {
        valkey_url: variable("LP_TEST_VALKEY_URL")
            .parse()
            .expect("LP_TEST_VALKEY_URL is a URL"),
        valkey_prefix: format!("{}:", unique("t")),
    }
}

/// The mail catcher's SMTP URL.
pub fn smtp_url() -> SecretUrl {
    variable("LP_TEST_SMTP_URL")
        .parse()
        .expect("LP_TEST_SMTP_URL is a URL")
}

/// The mail catcher's REST API.
pub fn mail_api_url() -> String {
    variable("LP_TEST_MAIL_API_URL")
}

/// A name that no other test has.
#[allow(clippy::disallowed_methods, reason = "tests need names that never meet again")]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}
