//! Kafka as services use it. The only crate that knows rdkafka.
//!
//! Owns: what a record looks like ([`Record`], [`Event`]: CloudEvents 1.0 in binary mode), the topics on the
//! cluster ([`topics`]), publishing all or nothing ([`TransactionalProducer`], for the outbox relay), and
//! consuming with one effect per event ([`Consumer`], [`Handler`], and the table `inbox`). Start with
//! [`Handler`], then [`Consumer`].
//!
//! A consumer works on partitions in parallel and on the events of one partition in order. The effect of an
//! event and its inbox row are one database transaction, and offsets follow the database, never lead it:
//! that makes redelivery harmless, and so crashes, rebalances and replays. What cannot be handled goes to
//! the topic's dead letters, `{topic}.dlt`; what cannot be handled now waits and holds up its partition only.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - an event has one effect, however often it comes: `consumer::a_redelivered_event_has_one_effect`;
//! - effect and inbox row stand or fall together: `consumer::a_failed_attempt_leaves_nothing`;
//! - poison holds nothing up and is not lost: `failures::poison_goes_to_the_dead_letters_and_the_rest_goes_on`;
//! - what is away is waited for: `failures::what_is_away_is_waited_for`;
//! - a stop loses nothing and repeats nothing: `consumer::a_stop_commits_offsets`;
//! - a rebalance loses nothing and keeps the order of each key:
//!   `consumer::partitions_move_between_members_without_loss`, `consumer::a_killed_consumer_is_replaced`;
//! - nor do lost connections: `consumer::lost_connections_lose_nothing`;
//! - a producer that was replaced cannot publish: `producer::a_replaced_producer_is_fenced`;
//! - what is encoded decodes to the same: `record::tests`.

mod client;
mod consumer;
mod dead_letters;
mod handler;
mod inbox;
mod lane;
mod membership;
mod producer;
mod record;
pub mod topics;

pub use client::KafkaError;
pub use consumer::Consumer;
pub use handler::{HandleError, Handler};
pub use inbox::MIGRATOR;
pub use producer::TransactionalProducer;
pub use record::{Event, Leg, Record};
