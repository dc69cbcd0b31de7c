//! What the database itself adds up: the sums that it keeps beside the rows that they are made of.

use anyhow::Context as _;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

/// A sentence, and how many rows contradict it.
const CHECKS: [(&str, &str); 6] = [
    (
        "accounts whose sums or sequence are not those of their entries",
        "SELECT count(*) FROM ledger.accounts a LEFT JOIN (
             SELECT account_id, count(*) AS n, max(account_sequence) AS last,
                    coalesce(sum(amount) FILTER (WHERE direction = 1), 0) AS debits,
                    coalesce(sum(amount) FILTER (WHERE direction = 2), 0) AS credits
             FROM ledger.ledger_entries GROUP BY account_id) e USING (account_id)
         WHERE a.posted_debits <> coalesce(e.debits, 0) OR a.posted_credits <> coalesce(e.credits, 0)
            OR a.sequence <> coalesce(e.last, 0) OR a.sequence <> coalesce(e.n, 0)",
    ),
    (
        "accounts that reserve another sum than their open holds",
        "SELECT count(*) FROM ledger.accounts a LEFT JOIN (
             SELECT account_id,
                    coalesce(sum(amount - captured) FILTER (WHERE direction = 1), 0) AS debits,
                    coalesce(sum(amount - captured) FILTER (WHERE direction = 2), 0) AS credits
             FROM ledger.holds WHERE state = 1 GROUP BY account_id) h USING (account_id)
         WHERE a.held_debits <> coalesce(h.debits, 0) OR a.held_credits <> coalesce(h.credits, 0)",
    ),
    (
        "holds of which another sum was captured than their entries make",
        "SELECT count(*) FROM ledger.holds h
         WHERE h.captured <> (SELECT coalesce(sum(e.amount), 0) FROM ledger.ledger_entries e
                              WHERE e.hold_id = h.hold_id)",
    ),
    (
        "transactions with another number of entries than they say",
        "SELECT count(*) FROM ledger.transactions t
         WHERE t.entry_count <> (SELECT count(*) FROM ledger.ledger_entries e
                                 WHERE e.transaction_id = t.transaction_id)",
    ),
    (
        "assets whose debits and credits differ",
        "SELECT count(*) FROM (
             SELECT 1 FROM ledger.accounts GROUP BY merchant_id, asset_code
             HAVING sum(posted_debits) <> sum(posted_credits)) uneven",
    ),
    (
        // Since it was last killed.
        "deadlocks, where everybody takes keys and locks in one order",
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    ),
];

/// The database of the ledger, as its superuser.
#[derive(Debug)]
pub(crate) struct Sums {
    url: String,
}

impl Sums {
    /// Of this database on the server of `admin_url`.
    pub(crate) fn new(admin_url: &str, database: &str) -> anyhow::Result<Self> {
        let (server, _) = admin_url.rsplit_once('/').context("the URL names no database")?;
        Ok(Self {
            url: format!("{server}/{database}"),
        })
    }

    /// What does not add up, in sentences.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn wrong(&self) -> anyhow::Result<Vec<String>> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let mut wrong = Vec::new();
        for (what, query) in CHECKS {
            let rows: i64 = connection.fetch_one(query).await?.try_get(0)?;
            if rows != 0 {
                wrong.push(format!("sums: the database counts {rows} {what}"));
            }
        }
        connection.close().await?;
        Ok(wrong)
    }

    /// Ends every connection of the service to the database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn cut(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        connection
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await?;
        connection.close().await?;
        Ok(())
    }
}
