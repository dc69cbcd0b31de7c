//! Rows of `merchant_events`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{Actor, CallerContext, MerchantId, Reference};
use sqlx::PgConnection;

use super::{Code as _, corrupt};
use crate::domain::state::State;

/// A step in a merchant's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerchantEvent {
    /// Its number: 1, 2, 3 …
    pub sequence: i64,
    /// The state before; none for the application.
    pub from: Option<State>,
    /// The state after.
    pub to: State,
    /// Who did it.
    pub actor: Actor,
    /// Why.
    pub reason: Reference,
    /// When.
    pub occurred_at: Timestamp,
}

struct Row {
    sequence: i64,
    from_state: Option<i16>,
    to_state: i16,
    actor: String,
    reason: String,
    occurred_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_event(self) -> lp_pg::Result<MerchantEvent> {
        Ok(MerchantEvent {
            sequence: self.sequence,
            from: self.from_state.map(State::from_number).transpose()?,
            to: State::from_number(self.to_state)?,
            actor: self.actor.try_into().map_err(corrupt)?,
            reason: self.reason.try_into().map_err(corrupt)?,
            occurred_at: self.occurred_at.to_jiff(),
        })
    }
}

/// Adds the caller's step. The merchant's row is locked, or new.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn append(
    connection: &mut PgConnection,
    caller: &CallerContext,
    from: Option<State>,
    to: State,
    reason: &Reference,
    now: Timestamp,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO merchant_events (merchant_id, sequence, from_state, to_state, reason, actor, request_id,
                                      occurred_at)
         SELECT $1, coalesce(max(sequence), 0) + 1, $2, $3, $4, $5, $6, $7
         FROM merchant_events WHERE merchant_id = $1",
        caller.merchant.uuid(),
        from.map(State::number),
        to.number(),
        reason.as_str(),
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The merchant's steps before number `before`, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    before: Option<i64>,
    limit: i64,
) -> lp_pg::Result<Vec<MerchantEvent>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT sequence, from_state, to_state, actor, reason, occurred_at FROM merchant_events
         WHERE merchant_id = $1 AND ($2::bigint IS NULL OR sequence < $2)
         ORDER BY sequence DESC LIMIT $3",
        merchant.uuid(),
        before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_event).collect()
}
