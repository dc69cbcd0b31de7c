//! Rows of `accounts`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ledger_domain::{Account, AccountState, AccountType, Limits, Metadata};
use lp_types::{AccountId, AssetCode, CallerContext, MerchantId, MinorUnits, Reference};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::codes::{Code, corrupt, noted};

/// An account with what only its readers need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// What the merchant noted on it.
    #[serde(default)]
    pub metadata: Metadata,
}

struct Row {
    account_id: Uuid,
    merchant_id: Uuid,
    asset_code: String,
    r#type: i16,
    min_balance: Option<i64>,
    max_balance: Option<i64>,
    state: i16,
    posted_debits: i64,
    posted_credits: i64,
    held_debits: i64,
    held_credits: i64,
    debt: i64,
    sequence: i64,
    posted_at: Option<jiff_sqlx::Timestamp>,
    reference: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    metadata: Option<Json<Metadata>>,
    /// Which life of the ledger, where it was asked for.
    epoch: Option<i64>,
}

impl Row {
    fn into_record(self) -> lp_pg::Result<AccountRecord> {
        let account = Account {
            id: AccountId::from_uuid(self.account_id),
            merchant: MerchantId::from_uuid(self.merchant_id),
            asset: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            account_type: AccountType::from_number(self.r#type)?,
            limits: Limits {
                min: self.min_balance.map(MinorUnits::new),
                max: self.max_balance.map(MinorUnits::new),
            },
            state: AccountState::from_number(self.state)?,
            posted_debits: MinorUnits::new(self.posted_debits),
            posted_credits: MinorUnits::new(self.posted_credits),
            held_debits: MinorUnits::new(self.held_debits),
            held_credits: MinorUnits::new(self.held_credits),
            debt: MinorUnits::new(self.debt),
            sequence: self.sequence,
            posted_at: self.posted_at.map(jiff_sqlx::Timestamp::to_jiff),
        };
        let reference = self
            .reference
            .map(Reference::try_from)
            .transpose()
            .map_err(corrupt)?;
        Ok(AccountRecord {
            account,
            reference,
            created_at: self.created_at.to_jiff(),
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
        })
    }
}

/// Inserts new accounts, and tells which: those whose reference is taken are passed over.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    records: &[AccountRecord],
) -> lp_pg::Result<Vec<AccountId>> {
    let ids: Vec<_> = records.iter().map(|r| r.account.id.uuid()).collect();
    let merchants: Vec<_> = records.iter().map(|r| r.account.merchant.uuid()).collect();
    let assets: Vec<_> = records
        .iter()
        .map(|r| r.account.asset.as_str().to_owned())
        .collect();
    let types = records.iter().map(|r| r.account.account_type);
    let numbers: Vec<_> = types.clone().map(AccountType::number).collect();
    let sides: Vec<_> = types.clone().map(|t| t.normal_balance().number()).collect();
    let ranks: Vec<_> = types.map(AccountType::lock_rank).collect();
    let limits = records.iter().map(|r| r.account.limits);
    let least: Vec<_> = limits.clone().map(|l| l.min.map(MinorUnits::get)).collect();
    let greatest: Vec<_> = limits.map(|l| l.max.map(MinorUnits::get)).collect();
    let references: Vec<_> = records
        .iter()
        .map(|r| r.reference.as_ref().map(|r| r.as_str().to_owned()))
        .collect();
    let times: Vec<_> = records.iter().map(|r| r.created_at.to_sqlx()).collect();
    let noted: Vec<_> = records.iter().map(|r| noted(&r.metadata)).collect();
    // In order of their references, so that two calls with the same ones wait for each other and do not deadlock.
    let inserted = sqlx::query_scalar!(
        "INSERT INTO accounts (account_id, merchant_id, asset_code, type, normal_balance, lock_rank, min_balance,
                               max_balance, reference, created_at, metadata, actor, request_id)
         SELECT n.*, $12, $13
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::bigint[],
                     $8::bigint[], $9::text[], $10::timestamptz[], $11::jsonb[])
              AS n (account_id, merchant_id, asset_code, type, normal_balance, lock_rank, min_balance, max_balance,
                    reference, created_at, metadata)
         ORDER BY n.reference
         ON CONFLICT ON CONSTRAINT accounts_reference DO NOTHING
         RETURNING account_id",
        &ids,
        &merchants,
        &assets,
        &numbers,
        &sides,
        &ranks,
        &least as _,
        &greatest as _,
        &references as _,
        &times as _,
        &noted as _,
        caller.actor.as_str(),
        caller.request.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().map(AccountId::from_uuid).collect())
}

/// The account of the merchant that has a reference. Neither ever changes.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn named(
    connection: &mut PgConnection,
    merchant: MerchantId,
    reference: &Reference,
) -> lp_pg::Result<Option<AccountId>> {
    let id = sqlx::query_scalar!(
        "SELECT account_id FROM accounts WHERE merchant_id = $1 AND reference = $2",
        merchant.uuid(),
        reference.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(AccountId::from_uuid))
}

/// One account of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: AccountId,
) -> lp_pg::Result<Option<AccountRecord>> {
    let found = load(connection, &[merchant.uuid()], &[id.uuid()]).await?;
    Ok(found.into_iter().next())
}

/// Those of these accounts that are the merchant's, as they are `now`, each with the ledger's epoch: what a hold reserved
/// until its time was over is available from that moment, whether or not the hold's row says so yet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn current(
    connection: &mut PgConnection,
    merchant: MerchantId,
    ids: &[AccountId],
    now: Timestamp,
) -> lp_pg::Result<Vec<(AccountRecord, i64)>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    // Few accounts reserve anything, and what PostgreSQL must plan anew for each call costs more than what it reads.
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT account_id, merchant_id, asset_code, type, min_balance, max_balance, state, posted_debits,
                posted_credits, held_debits, held_credits, debt, sequence, posted_at, reference, created_at,
                metadata AS "metadata: Json<Metadata>", (SELECT epoch FROM ledger_epoch) AS epoch
         FROM accounts WHERE merchant_id = $1 AND account_id = ANY($2)"#,
        merchant.uuid(),
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let rows = if rows
        .iter()
        .any(|row| row.held_debits != 0 || row.held_credits != 0)
    {
        with_expired_holds_given_back(connection, merchant, &ids, now).await?
    } else {
        rows
    };
    let current = |row: Row| {
        let epoch = row.epoch.ok_or(sqlx::Error::RowNotFound)?;
        let mut record = row.into_record()?;
        record.account.settle().ok_or(sqlx::Error::RowNotFound)?;
        Ok((record, epoch))
    };
    rows.into_iter().map(current).collect()
}

async fn with_expired_holds_given_back(
    connection: &mut PgConnection,
    merchant: MerchantId,
    ids: &[Uuid],
    now: Timestamp,
) -> lp_pg::Result<Vec<Row>> {
    // In one statement, so that a hold that ends meanwhile is given back once.
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT account_id, merchant_id, asset_code, type, min_balance, max_balance, state, posted_debits,
                posted_credits,
                CASE WHEN held_debits = 0 THEN 0 ELSE held_debits - coalesce((
                  SELECT sum(h.amount - h.captured) FROM holds h
                  WHERE h.account_id = a.account_id AND h.state = 1 AND h.expires_at <= $3 AND h.direction = 1), 0)
                END::bigint AS "held_debits!",
                CASE WHEN held_credits = 0 THEN 0 ELSE held_credits - coalesce((
                  SELECT sum(h.amount - h.captured) FROM holds h
                  WHERE h.account_id = a.account_id AND h.state = 1 AND h.expires_at <= $3 AND h.direction = 2), 0)
                END::bigint AS "held_credits!",
                debt, sequence, posted_at, reference, created_at, metadata AS "metadata: Json<Metadata>",
                (SELECT epoch FROM ledger_epoch) AS epoch
         FROM accounts a WHERE merchant_id = $1 AND account_id = ANY($2)"#,
        merchant.uuid(),
        ids,
        now.to_sqlx() as _,
    )
    .fetch_all(connection)
    .await?)
}

/// Locks accounts in order of rank and id until the transaction ends. What is not the merchant's is passed
/// over. Load in the next statement: this one may have waited, and would return what stood before.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lock(connection: &mut PgConnection, merchants: &[Uuid], accounts: &[Uuid]) -> lp_pg::Result<()> {
    sqlx::query!(
        "SELECT a.account_id FROM accounts a
         WHERE (a.merchant_id, a.account_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
         ORDER BY a.lock_rank, a.account_id FOR NO KEY UPDATE",
        merchants,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// The accounts that are the merchants'.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn load(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    accounts: &[Uuid],
) -> lp_pg::Result<Vec<AccountRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT account_id, merchant_id, asset_code, type, min_balance, max_balance, state, posted_debits,
                posted_credits, held_debits, held_credits, debt, sequence, posted_at, reference, created_at,
                metadata AS "metadata: Json<Metadata>", NULL::bigint AS epoch
         FROM accounts
         WHERE (merchant_id, account_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"#,
        merchants,
        accounts,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// Writes what changes of accounts that this transaction holds.
///
/// # Errors
/// When PostgreSQL fails, or a balance is outside its limits.
pub async fn update(connection: &mut PgConnection, accounts: &[&Account]) -> lp_pg::Result<()> {
    let ids: Vec<_> = accounts.iter().map(|a| a.id.uuid()).collect();
    let debits: Vec<_> = accounts.iter().map(|a| a.posted_debits.get()).collect();
    let credits: Vec<_> = accounts.iter().map(|a| a.posted_credits.get()).collect();
    let states: Vec<_> = accounts.iter().map(|a| a.state.number()).collect();
    let held_debits: Vec<_> = accounts.iter().map(|a| a.held_debits.get()).collect();
    let held_credits: Vec<_> = accounts.iter().map(|a| a.held_credits.get()).collect();
    let debts: Vec<_> = accounts.iter().map(|a| a.debt.get()).collect();
    let sequences: Vec<_> = accounts.iter().map(|a| a.sequence).collect();
    let times: Vec<_> = accounts
        .iter()
        .map(|a| a.posted_at.map(ToSqlx::to_sqlx))
        .collect();
    sqlx::query!(
        "UPDATE accounts a
         SET posted_debits = n.debits, posted_credits = n.credits, sequence = n.sequence, posted_at = n.posted_at,
             state = n.state, held_debits = n.held_debits, held_credits = n.held_credits, debt = n.debt
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::smallint[],
                     $7::bigint[], $8::bigint[], $9::bigint[])
              AS n (account_id, debits, credits, sequence, posted_at, state, held_debits, held_credits, debt)
         WHERE a.account_id = n.account_id",
        &ids,
        &debits,
        &credits,
        &sequences,
        &times as _,
        &states,
        &held_debits,
        &held_credits,
        &debts,
    )
    .execute(connection)
    .await?;
    Ok(())
}
