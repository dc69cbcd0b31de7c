//! Writing events.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_pg::Result;
use lp_types::MerchantId;
use sqlx::PgConnection;

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The topic, without the fleet's prefix.
    pub topic: &'static str,
    /// What it is known by, for example the id of what it tells of. Records have the id `{event_id}:{key}`.
    pub event_id: String,
    /// The payload's message, fully qualified.
    pub event_type: &'static str,
    /// Whose it is.
    pub merchant: MerchantId,
    /// One record is published for each, 1 to n: order holds per key.
    pub keys: Vec<String>,
    /// The message, as protobuf; 900,000 bytes at most.
    pub payload: Vec<u8>,
    /// The trace that caused it: `lp_telemetry::current_traceparent()`.
    pub traceparent: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// Appends `events`, in their order. To be called in the transaction that causes them, after it has locked
/// what they tell of; wake the relay after the commit.
///
/// ```no_run
/// # async fn example(
/// #     database: lp_pg::Database, event: lp_outbox::NewEvent, wake: lp_outbox::Wake,
/// # ) -> lp_pg::Result<()> {
/// let mut work = database.begin().await?;
/// // lock, load, decide, write …
/// lp_outbox::append(&mut work, &[event]).await?;
/// work.commit().await?;
/// wake.wake();
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When PostgreSQL fails, or an event has no key or too large a payload ([`lp_pg::Failure::BadData`]).
pub async fn append(connection: &mut PgConnection, events: &[NewEvent]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    // unnest takes no arrays of arrays: all keys go as one array, and each row takes its slice, counted from 1.
    let keys: Vec<&str> = events
        .iter()
        .flat_map(|e| e.keys.iter().map(String::as_str))
        .collect();
    let mut ends = Vec::with_capacity(events.len());
    let mut end = 0_i32;
    for event in events {
        end = end.saturating_add(i32::try_from(event.keys.len()).unwrap_or(i32::MAX));
        ends.push(end);
    }
    sqlx::query(
        "INSERT INTO outbox (topic, event_id, event_type, merchant_id, keys, payload, traceparent, occurred_at)
         SELECT topic, event_id, event_type, merchant_id,
                ($5::text[])[lag(keys_end, 1, 0) OVER (ORDER BY position) + 1:keys_end],
                payload, traceparent, occurred_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $6::int[], $7::bytea[], $8::text[],
                     $9::timestamptz[])
              WITH ORDINALITY AS e (topic, event_id, event_type, merchant_id, keys_end, payload, traceparent,
                                    occurred_at, position)
         ORDER BY position",
    )
    .bind(events.iter().map(|e| e.topic).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event_type).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.merchant.uuid()).collect::<Vec<_>>())
    .bind(keys)
    .bind(ends)
    .bind(events.iter().map(|e| e.payload.as_slice()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.occurred_at.to_sqlx()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
