//! Rows of `redemptions`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{
    CallerContext, IdempotencyKey, MerchantId, TransactionId,
    ids::{CardId, RedemptionId},
};
use sqlx::PgConnection;

const POSTING: i16 = 1;
const POSTED: i16 = 2;
const REFUSED: i16 = 3;

/// The redemption that was begun under the merchant's key.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_key(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: &IdempotencyKey,
) -> lp_pg::Result<Option<RedemptionId>> {
    let found = sqlx::query_scalar!(
        "SELECT redemption_id FROM redemptions WHERE merchant_id = $1 AND idempotency_key = $2",
        merchant.uuid(),
        key.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(RedemptionId::from_uuid))
}

/// Inserts a redemption whose entries are on the way to the ledger.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    key: &IdempotencyKey,
    id: RedemptionId,
    card: CardId,
    now: Timestamp,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO redemptions (redemption_id, merchant_id, card_id, idempotency_key, state, actor, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.uuid(),
        caller.merchant.uuid(),
        card.uuid(),
        key.as_str(),
        POSTING,
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a redemption: posted as `transaction`, or refused where there is none.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: RedemptionId,
    transaction: Option<TransactionId>,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE redemptions SET state = $3, transaction_id = $4
         WHERE merchant_id = $1 AND redemption_id = $2 AND state = $5",
        merchant.uuid(),
        id.uuid(),
        if transaction.is_some() { POSTED } else { REFUSED },
        transaction.map(TransactionId::uuid),
        POSTING,
    )
    .execute(connection)
    .await?;
    Ok(())
}
