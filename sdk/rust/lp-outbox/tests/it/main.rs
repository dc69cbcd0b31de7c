//! On real Kafka and PostgreSQL: `cargo xtask test`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod append;
mod relay;
#[path = "../../../lp-kafka/tests/it/support.rs"]
#[expect(dead_code, reason = "shared with lp-kafka, which uses all of it")]
mod support;

use lp_outbox::NewEvent;

fn event(id: &str, keys: &[&str]) -> NewEvent {
    NewEvent {
        topic: support::TOPIC,
        event_id: id.into(),
        event_type: "localplus.things.v1.ThingHappened",
        merchant: support::merchant(),
        keys: keys.iter().map(|&key| key.into()).collect(),
        payload: id.into(),
        traceparent: None,
        occurred_at: "2026-11-21T10:00:00.123456Z".parse().unwrap(),
    }
}
