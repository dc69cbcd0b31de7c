//! Rows on their way out, and the records that they become.

use jiff::Timestamp;
use lp_kafka::{Leg, Record};
use lp_pg::Result;
use lp_types::MerchantId;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use tracing::Span;

/// What one Kafka transaction publishes at most; one row is published however large it is.
const ROWS: i64 = 500;
const BYTES: i64 = 4 * 1024 * 1024;

/// What of the outbox is published next.
pub(crate) struct Batch {
    pub(crate) ids: Vec<i64>,
    pub(crate) records: Vec<Record>,
    /// One for each row, open until it is published.
    pub(crate) spans: Vec<Span>,
}

/// Reads the oldest rows that are visible. A row with a lower id may become visible later; it is of other keys
/// then, and is the oldest next time.
pub(crate) async fn read(connection: &mut PgConnection, source: &str) -> Result<Batch> {
    let rows = sqlx::query(
        "SELECT id, topic, event_id, event_type, merchant_id, keys, payload, traceparent, occurred_at
         FROM (SELECT *, coalesce(sum(bytes) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
                         AS bytes_before
               FROM (SELECT *, octet_length(payload)::bigint * cardinality(keys) AS bytes
                     FROM outbox ORDER BY id LIMIT $1) AS oldest) AS measured
         WHERE bytes_before < $2
         ORDER BY id",
    )
    .bind(ROWS)
    .bind(BYTES)
    .fetch_all(connection)
    .await?;
    let mut batch = Batch {
        ids: Vec::new(),
        records: Vec::new(),
        spans: Vec::new(),
    };
    for row in rows {
        batch.add(&row, source)?;
    }
    Ok(batch)
}

/// Deletes rows that were published.
pub(crate) async fn delete(connection: &mut PgConnection, ids: &[i64]) -> Result<()> {
    sqlx::query("DELETE FROM outbox WHERE id = ANY ($1)")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

/// How many rows there are, counted up to 10,000, and the age of the oldest in seconds.
pub(crate) async fn backlog(connection: &mut PgConnection) -> Result<(i64, i64)> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 10000) AS counted),
                coalesce((SELECT extract(epoch FROM clock_timestamp() - occurred_at)::bigint
                          FROM outbox ORDER BY id LIMIT 1), 0)",
    )
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

impl Batch {
    fn add(&mut self, row: &PgRow, source: &str) -> Result<()> {
        let topic: String = row.try_get("topic")?;
        let event_id: String = row.try_get("event_id")?;
        let event_type: String = row.try_get("event_type")?;
        let keys: Vec<String> = row.try_get("keys")?;
        let payload = bytes::Bytes::from(row.try_get::<Vec<u8>, _>("payload")?);
        let occurred_at: Timestamp = row.try_get::<jiff_sqlx::Timestamp, _>("occurred_at")?.to_jiff();
        let merchant = MerchantId::from_uuid(row.try_get("merchant_id")?);
        let cause: Option<String> = row.try_get("traceparent")?;

        let span = tracing::info_span!("publish", otel.kind = "producer", topic, id = event_id);
        if let Some(cause) = &cause {
            lp_telemetry::set_parent(&span, cause);
        }
        let traceparent = span.in_scope(lp_telemetry::current_traceparent).or(cause);
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        for (key, index) in keys.into_iter().zip(1..) {
            self.records.push(Record {
                topic: topic.clone(),
                id: format!("{event_id}:{key}"),
                key,
                event_type: event_type.clone(),
                source: source.to_owned(),
                merchant,
                occurred_at,
                traceparent: traceparent.clone(),
                leg: Leg { index, count },
                payload: payload.clone(),
            });
        }
        self.ids.push(row.try_get("id")?);
        self.spans.push(span);
        Ok(())
    }
}
