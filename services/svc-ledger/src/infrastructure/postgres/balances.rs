//! What accounts held at a moment of the past, from their entries.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ledger_domain::Account;
use lp_types::{AccountId, AssetCode, MerchantId, MinorUnits, TransactionId};
use sqlx::PgConnection;

use super::codes::corrupt;

/// What an account holds, or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The account.
    pub account: AccountId,
    /// Of what.
    pub asset: AssetCode,
    /// How much, on its normal side.
    pub balance: MinorUnits,
    /// Number of the last entry that counts; 0 before the first.
    pub sequence: i64,
    /// When that entry was posted.
    pub posted_at: Option<Timestamp>,
    /// What may be spent or held; known only of now.
    pub available: Option<MinorUnits>,
}

impl Balance {
    /// Of an account as it is; `None` when one leaves its range, which posting rules out.
    pub fn of(account: &Account) -> Option<Self> {
        Some(Self {
            account: account.id,
            asset: account.asset.clone(),
            balance: account.balance()?,
            sequence: account.sequence,
            posted_at: account.posted_at,
            available: Some(account.available()?),
        })
    }
}

/// A moment of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// When this time had passed, by the time of posting.
    Posted(Timestamp),
    /// When this time had passed, by the time of taking effect.
    Effective(Timestamp),
    /// After a transaction; of an account that it did not touch: when this time, that of its posting, had passed.
    After(TransactionId, Timestamp),
}

/// The balances of those of these accounts that are the merchant's, each with the ledger's epoch.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn at(
    connection: &mut PgConnection,
    merchant: MerchantId,
    ids: &[AccountId],
    at: Past,
) -> lp_pg::Result<Vec<(Balance, i64)>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let (moment, effective, transaction) = match at {
        Past::Posted(moment) => (moment, false, None),
        Past::Effective(moment) => (moment, true, None),
        Past::After(transaction, moment) => (moment, false, Some(transaction.uuid())),
    };
    // What was posted by then, and what was posted later with an effect by then. What takes effect does so no later than
    // it is posted, so that nothing of the first has to be taken away. In one statement: all are of one moment.
    let rows = sqlx::query!(
        r#"SELECT a.account_id, a.asset_code,
                (coalesce(e.balance_after, 0) + coalesce(later.amount, 0))::bigint AS "balance!",
                coalesce(later.sequence, e.account_sequence, 0) AS "sequence!",
                coalesce(later.posted_at, e.posted_at) AS posted_at,
                (SELECT epoch FROM ledger_epoch) AS "epoch!"
         FROM accounts a
         LEFT JOIN (SELECT account_id, max(account_sequence) AS sequence FROM ledger_entries
                    WHERE transaction_id = $5 GROUP BY account_id) touched USING (account_id)
         -- OFFSET keeps the look-up from being done once for each use.
         CROSS JOIN LATERAL (
           SELECT coalesce(touched.sequence, ledger_sequence_at(a.account_id, $3)) AS sequence OFFSET 0) last
         LEFT JOIN ledger_entries e ON e.account_id = a.account_id AND e.account_sequence = last.sequence
         LEFT JOIN LATERAL (
           SELECT sum(CASE l.direction WHEN a.normal_balance THEN l.amount ELSE -l.amount END) AS amount,
                  max(l.account_sequence) AS sequence, max(l.posted_at) AS posted_at
           FROM ledger_entries l
           WHERE $4 AND l.account_id = a.account_id AND l.effective_at <= $3 AND l.account_sequence > last.sequence
         ) later ON true
         WHERE a.merchant_id = $1 AND a.account_id = ANY($2)"#,
        merchant.uuid(),
        &ids,
        moment.to_sqlx() as _,
        effective,
        transaction,
    )
    .fetch_all(connection)
    .await?;
    let balances = rows.into_iter().map(|row| {
        let balance = Balance {
            account: AccountId::from_uuid(row.account_id),
            asset: AssetCode::try_from(row.asset_code).map_err(corrupt)?,
            balance: MinorUnits::new(row.balance),
            sequence: row.sequence,
            posted_at: row.posted_at.map(jiff_sqlx::Timestamp::to_jiff),
            available: None,
        };
        Ok((balance, row.epoch))
    });
    balances.collect()
}
