//! What the check of the ledger reads. Each statement is short, and sees one moment.

use ledger_domain::{Account, AccountState, AccountType, Direction, Limits, Line, Standing};
use lp_types::{AccountId, AssetCode, HoldId, MerchantId, MinorUnits};
use sqlx::PgConnection;
use uuid::Uuid;

use super::codes::{Code, corrupt};

/// An account, and how many holds stand on it.
#[derive(Debug, Clone)]
pub struct Read {
    /// The account.
    pub standing: Standing,
    /// Its holds, open or not: so many at most as were asked for.
    pub holds: i64,
}

/// The merchant's accounts after `after`, by id. Of each account's holds `count_holds` at most are counted.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn accounts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    after: Option<AccountId>,
    limit: i64,
    count_holds: i64,
) -> lp_pg::Result<Vec<Read>> {
    // What a hold or an entry changes on the account's row it changes in the same commit: one statement sees both.
    let rows = sqlx::query!(
        r#"SELECT account_id, asset_code, type AS account_type, min_balance, max_balance, state, posted_debits,
                posted_credits, held_debits, held_credits, debt, sequence, posted_at,
                coalesce((SELECT max(e.account_sequence) FROM ledger_entries e
                          WHERE e.account_id = a.account_id), 0) AS "last_entry!",
                (SELECT count(*) FROM (SELECT FROM holds h WHERE h.account_id = a.account_id LIMIT $4) counted)
                  AS "holds!",
                open.debits AS "open_debits!", open.credits AS "open_credits!"
         FROM accounts a
         CROSS JOIN LATERAL (
           SELECT coalesce(sum(amount - captured) FILTER (WHERE direction = 1), 0)::bigint AS debits,
                  coalesce(sum(amount - captured) FILTER (WHERE direction = 2), 0)::bigint AS credits
           FROM holds h WHERE h.account_id = a.account_id AND h.state = 1) open
         WHERE merchant_id = $1 AND account_id > $2
         ORDER BY account_id LIMIT $3"#,
        merchant.uuid(),
        after.map_or(Uuid::nil(), AccountId::uuid),
        limit,
        count_holds,
    )
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().map(|row| {
        let account = Account {
            id: AccountId::from_uuid(row.account_id),
            merchant,
            asset: AssetCode::try_from(row.asset_code).map_err(corrupt)?,
            account_type: AccountType::from_number(row.account_type)?,
            limits: Limits {
                min: row.min_balance.map(MinorUnits::new),
                max: row.max_balance.map(MinorUnits::new),
            },
            state: AccountState::from_number(row.state)?,
            posted_debits: MinorUnits::new(row.posted_debits),
            posted_credits: MinorUnits::new(row.posted_credits),
            held_debits: MinorUnits::new(row.held_debits),
            held_credits: MinorUnits::new(row.held_credits),
            debt: MinorUnits::new(row.debt),
            sequence: row.sequence,
            posted_at: row.posted_at.map(jiff_sqlx::Timestamp::to_jiff),
        };
        let standing = Standing {
            account,
            last_entry: row.last_entry,
            open_debits: MinorUnits::new(row.open_debits),
            open_credits: MinorUnits::new(row.open_credits),
        };
        Ok(Read {
            standing,
            holds: row.holds,
        })
    });
    read.collect()
}

/// Some entries of an account.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// The account.
    pub account: AccountId,
    /// Those after this number.
    pub after: i64,
    /// The number of the last.
    pub last: i64,
}

/// These entries of the merchant's, by account and number: of each account `limit` at most, or all.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn entries(
    connection: &mut PgConnection,
    merchant: MerchantId,
    stretches: &[Stretch],
    limit: Option<i64>,
) -> lp_pg::Result<Vec<(AccountId, Line)>> {
    let accounts: Vec<_> = stretches.iter().map(|s| s.account.uuid()).collect();
    let after: Vec<_> = stretches.iter().map(|s| s.after).collect();
    let last: Vec<_> = stretches.iter().map(|s| s.last).collect();
    let rows = sqlx::query!(
        r#"SELECT e.account_id, e.account_sequence, e.direction, e.amount, e.balance_after, e.posted_at,
                e.hold_id IS NOT NULL AND NOT EXISTS (
                  SELECT FROM holds h WHERE h.hold_id = e.hold_id AND h.account_id = e.account_id
                    AND h.direction = e.direction) AS "draws_elsewhere!"
         FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS s (account_id, after, last)
         CROSS JOIN LATERAL (
           SELECT * FROM ledger_entries
           WHERE account_id = s.account_id AND merchant_id = $1 AND account_sequence > s.after
             AND account_sequence <= s.last
           ORDER BY account_sequence LIMIT $5) e
         ORDER BY e.account_id, e.account_sequence"#,
        merchant.uuid(),
        &accounts,
        &after,
        &last,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let lines = rows.into_iter().map(|row| {
        let line = Line {
            sequence: row.account_sequence,
            direction: Direction::from_number(row.direction)?,
            amount: MinorUnits::new(row.amount),
            balance_after: MinorUnits::new(row.balance_after),
            posted_at: row.posted_at.to_jiff(),
            draws_elsewhere: row.draws_elsewhere,
        };
        Ok((AccountId::from_uuid(row.account_id), line))
    });
    lines.collect()
}

/// A hold, what was captured of it, and what entries drew from it.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// Its account.
    pub account: AccountId,
    /// The hold.
    pub hold: HoldId,
    /// What was captured of it.
    pub captured: MinorUnits,
    /// What entries drew from it.
    pub drawn: MinorUnits,
}

/// The holds on these accounts of the merchant, of each account the newest first: those before `before`, and `limit` at
/// most, or all.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn holds(
    connection: &mut PgConnection,
    merchant: MerchantId,
    accounts: &[AccountId],
    before: Option<HoldId>,
    limit: Option<i64>,
) -> lp_pg::Result<Vec<Drawn>> {
    let accounts: Vec<_> = accounts.iter().map(|id| id.uuid()).collect();
    // What is captured is drawn in the same commit: one statement sees both.
    let rows = sqlx::query!(
        r#"SELECT n.account_id AS "account_id!", h.hold_id, h.captured,
                coalesce((SELECT sum(e.amount) FROM ledger_entries e WHERE e.hold_id = h.hold_id), 0)::bigint
                  AS "drawn!"
         FROM unnest($2::uuid[]) AS n (account_id)
         CROSS JOIN LATERAL (
           SELECT hold_id, captured FROM holds
           WHERE account_id = n.account_id AND merchant_id = $1 AND hold_id < $3
           ORDER BY hold_id DESC LIMIT $4) h"#,
        merchant.uuid(),
        &accounts,
        before.map_or(Uuid::max(), HoldId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let drawn = rows.into_iter().map(|row| Drawn {
        account: AccountId::from_uuid(row.account_id),
        hold: HoldId::from_uuid(row.hold_id),
        captured: MinorUnits::new(row.captured),
        drawn: MinorUnits::new(row.drawn),
    });
    Ok(drawn.collect())
}

/// The first merchant after `after`, by id.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn merchant_after(
    connection: &mut PgConnection,
    after: Option<MerchantId>,
) -> lp_pg::Result<Option<MerchantId>> {
    // Whoever has an account has an asset.
    let found = sqlx::query_scalar!(
        "SELECT merchant_id FROM assets WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1",
        after.map_or(Uuid::nil(), MerchantId::uuid),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(MerchantId::from_uuid))
}

/// How many accounts there are, of all merchants.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count(connection: &mut PgConnection) -> lp_pg::Result<i64> {
    Ok(
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM accounts"#)
            .fetch_one(connection)
            .await?,
    )
}
