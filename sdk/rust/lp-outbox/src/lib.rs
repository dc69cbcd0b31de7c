//! The transactional outbox: an event is written in the transaction that causes it, and published after.
//!
//! Owns: the table `outbox` and how rows get into it ([`append`], [`NewEvent`]), and the [`Relay`] that
//! publishes them to Kafka and deletes them. Start with [`append`].
//!
//! A writer appends after it has locked what the event tells of, so that of two rows with one key the one that
//! commits first has the lower id. The relay reads what is visible in the order of ids, publishes it as one
//! Kafka transaction, and then deletes it. It remembers no position: an id that is taken earlier may commit
//! later, and is published then. One relay of a schema works at a time; one that was replaced while it was
//! paused is fenced by Kafka and cannot publish. What is published twice, after a failure between publishing
//! and deleting, has the same ids, by which consumers know it.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - an event is published if and only if its cause commits: `relay::what_commits_is_published`,
//!   `relay::what_rolls_back_is_not_published`;
//! - a row that becomes visible late is not skipped: `relay::a_late_lower_id_is_not_skipped`;
//! - a relay that ends is replaced, and nothing is lost or reordered: `relay::a_killed_leader_is_replaced`,
//!   `relay::a_leader_without_its_session_is_replaced`;
//! - a relay that was fenced publishes nothing, and its rows are kept:
//!   `relay::a_fenced_relay_keeps_its_rows_and_begins_anew`;
//! - while Kafka is away rows wait: `relay::rows_wait_while_kafka_is_away`;
//! - what Kafka would refuse does not get in: `append::what_cannot_be_published_is_refused`.

mod append;
mod batch;
mod relay;

use sqlx::migrate::Migrator;

pub use append::{NewEvent, append};
pub use relay::{Relay, Wake};

/// Migrations of the table that the outbox needs in its service's schema.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");
