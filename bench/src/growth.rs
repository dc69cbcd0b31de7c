//! Whether a ledger that has grown is as fast as one that is nearly empty.

use std::time::Duration;

use clap::Args;
use lp_stack::interrupt;
use sqlx::{Connection as _, PgConnection, types::Uuid};
use url::Url;

use crate::{
    ledger::{Ledger, Work},
    load::{Measured, at_most, at_rate},
};

/// How far it grows.
#[derive(Debug, Clone, Args)]
pub(crate) struct Growth {
    /// Measure the ledger nearly empty, let it grow, and measure it again, in place of everything else
    #[arg(long)]
    pub(crate) growth: bool,
    /// Customer accounts when it has grown
    #[arg(long, default_value_t = 1_000_000)]
    grown_accounts: u32,
    /// Transactions in it when it has grown; their ids have room for 2^24
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..1 << 24))]
    grown_transactions: u64,
    /// Seconds of the measurement at its most when it has grown; the others take a tenth
    #[arg(long, default_value_t = 600)]
    grown_seconds: u64,
}

/// Transactions written by one statement.
const ROWS: u64 = 250_000;

impl Growth {
    /// `ledger` as it is, and when it has grown. `database` is the service's, under PostgreSQL's superuser.
    ///
    /// # Errors
    /// When the ledger refuses, or PostgreSQL fails.
    pub(crate) async fn measure(
        &self,
        ledger: &Ledger,
        database: &Url,
        callers: u32,
    ) -> anyhow::Result<Vec<Measured>> {
        let lasting = Duration::from_secs(self.grown_seconds);
        let mut session = PgConnection::connect(database.as_str()).await?;
        sqlx::raw_sql("SET search_path TO ledger")
            .execute(&mut session)
            .await?;
        let mut measured = Vec::new();
        let half = run(&mut measured, ledger, "as it begins", callers, lasting / 10, None).await?;

        eprintln!(
            "  {} accounts are opened, {} transactions written",
            self.grown_accounts, self.grown_transactions
        );
        let ledger = ledger.with_accounts(self.grown_accounts).await?;
        write_history(&mut session, ledger.merchant().uuid(), self.grown_transactions).await?;
        run(&mut measured, &ledger, "grown", callers, lasting, Some(half)).await?;
        Ok(measured)
    }
}

/// At its most for `lasting`; then at `rate`, or half of the most, for a tenth of it or a minute. Tells that rate.
async fn run(
    measured: &mut Vec<Measured>,
    ledger: &Ledger,
    when: &str,
    callers: u32,
    lasting: Duration,
    rate: Option<u32>,
) -> anyhow::Result<u32> {
    interrupt::check()?;
    eprintln!("  {when}");
    let spread = ledger.clone();
    let request = move |number| spread.clone().request(Work::Spread, number);
    let name = format!("earn, spread; {when}");
    let scenario = (name.as_str(), 1);
    at_most(scenario, callers, Duration::from_secs(5), request.clone()).await?;
    let most = at_most(scenario, callers, lasting, request.clone()).await?;
    let rate = rate.unwrap_or_else(|| crate::whole(most.per_second / 2.0));
    measured.push(most);
    measured.push(at_rate(scenario, rate, lasting.min(Duration::from_mins(1)), request).await?);
    Ok(rate)
}

/// Writes `count` earlier transactions of customers who have none yet, with the sums and the idempotency keys that they
/// would have left; events that were published long ago are gone.
async fn write_history(session: &mut PgConnection, merchant: Uuid, count: u64) -> anyhow::Result<()> {
    sqlx::raw_sql("SET session_replication_role = replica; SET work_mem = '256MB'")
        .execute(&mut *session)
        .await?;
    sqlx::query(
        "CREATE TEMP TABLE customers AS
         SELECT row_number() OVER (ORDER BY account_id) - 1 AS n, account_id
         FROM accounts WHERE merchant_id = $1 AND type = 1 AND sequence = 0",
    )
    .bind(merchant)
    .execute(&mut *session)
    .await?;
    sqlx::query(
        "CREATE TEMP TABLE start AS
         SELECT clock_timestamp() AS posted_at, account_id AS issuance, sequence,
           CASE normal_balance WHEN 1 THEN posted_debits - posted_credits ELSE posted_credits - posted_debits END AS balance,
           CASE normal_balance WHEN 1 THEN 1 ELSE -1 END AS sign, (SELECT count(*) FROM customers) AS customers
         FROM accounts WHERE merchant_id = $1 AND type = 2",
    )
    .bind(merchant)
    .execute(&mut *session)
    .await?;
    sqlx::raw_sql(
        "CREATE UNIQUE INDEX ON customers (n) INCLUDE (account_id); ANALYZE customers; ANALYZE start",
    )
    .execute(&mut *session)
    .await?;
    let mut next = 0;
    while next < count {
        interrupt::check()?;
        let last = next.saturating_add(ROWS).min(count).saturating_sub(1);
        sqlx::query(include_str!("history.sql"))
            .bind(merchant)
            .bind(i64::try_from(next)?)
            .bind(i64::try_from(last)?)
            .execute(&mut *session)
            .await?;
        sqlx::query(
            "INSERT INTO idempotency_keys (merchant_id, rpc, key, fingerprint, answer, actor, request_id, created_at)
             SELECT merchant_id, rpc, replace(gen_random_uuid()::text, '-', ''), fingerprint, answer, actor,
                    gen_random_uuid(), created_at
             FROM (SELECT * FROM idempotency_keys WHERE merchant_id = $1 AND rpc LIKE '%Earn' LIMIT 1) AS one,
                  generate_series($2::bigint, $3::bigint)",
        )
        .bind(merchant)
        .bind(i64::try_from(next)?)
        .bind(i64::try_from(last)?)
        .execute(&mut *session)
        .await?;
        next = last.saturating_add(1);
    }
    sqlx::query(
        "UPDATE accounts a SET posted_debits = posted_debits + $1, sequence = a.sequence + $1, posted_at = start.posted_at
         FROM start WHERE a.account_id = issuance",
    )
    .bind(i64::try_from(count)?)
    .execute(&mut *session)
    .await?;
    for rest in [
        "UPDATE accounts a SET posted_credits = posted, sequence = posted, posted_at = start.posted_at
         FROM (SELECT account_id, max(account_sequence) AS posted
               FROM ledger_entries JOIN customers USING (account_id) GROUP BY account_id) AS of, start
         WHERE a.account_id = of.account_id",
        "TRUNCATE outbox",
        "SET session_replication_role = origin",
        "VACUUM (ANALYZE)",
        "CHECKPOINT",
    ] {
        sqlx::raw_sql(rest).execute(&mut *session).await?;
    }
    Ok(())
}
