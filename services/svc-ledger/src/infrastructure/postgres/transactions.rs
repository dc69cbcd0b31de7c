//! Rows of `transactions` and `ledger_entries`.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ledger_domain::{AccountType, Direction, Metadata, Original, OriginalLine, PostedEntry, TransactionKind};
use lp_types::{
    AccountId, Amount, AssetCode, CallerContext, HoldId, MerchantId, MinorUnits, Reference, TransactionId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::codes::{Code, corrupt, noted};

/// The constraint by which a reference names one transaction of a merchant.
pub const REFERENCE: &str = "transactions_reference";

/// A transaction as it was posted. It never changes, so that an answer can be made from it at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedTransaction {
    /// Its id.
    pub id: TransactionId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// What it did.
    pub kind: TransactionKind,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// The transaction that it undoes.
    pub reverses: Option<TransactionId>,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// When it took effect, where that was before.
    pub effective_at: Option<Timestamp>,
    /// What the merchant noted on it.
    pub metadata: Metadata,
    /// Its entries, by line.
    pub entries: Vec<PostedEntry>,
}

/// One entry of an account's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The transaction that it belongs to.
    pub transaction: TransactionId,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// The entry.
    pub entry: PostedEntry,
}

/// Inserts transactions with all their entries, set-wise.
///
/// # Errors
/// When PostgreSQL fails, or refuses: see the constraints of the migration.
pub async fn insert(
    connection: &mut PgConnection,
    posted: &[(&CallerContext, &PostedTransaction)],
) -> lp_pg::Result<()> {
    let ids: Vec<_> = posted.iter().map(|(_, t)| t.id.uuid()).collect();
    let merchants: Vec<_> = posted.iter().map(|(_, t)| t.merchant.uuid()).collect();
    let kinds: Vec<_> = posted.iter().map(|(_, t)| t.kind.number()).collect();
    let references: Vec<_> = posted
        .iter()
        .map(|(_, t)| t.reference.as_ref().map(|r| r.as_str().to_owned()))
        .collect();
    let counts = posted.iter().map(|(_, t)| i16::try_from(t.entries.len()));
    let counts: Vec<_> = counts.collect::<Result<_, _>>().map_err(corrupt)?;
    let times: Vec<_> = posted.iter().map(|(_, t)| t.posted_at.to_sqlx()).collect();
    let actors: Vec<_> = posted.iter().map(|(c, _)| c.actor.as_str().to_owned()).collect();
    let requests: Vec<_> = posted.iter().map(|(c, _)| c.request.uuid()).collect();
    let reversed: Vec<_> = posted
        .iter()
        .map(|(_, t)| t.reverses.map(TransactionId::uuid))
        .collect();
    let effects: Vec<_> = posted
        .iter()
        .map(|(_, t)| t.effective_at.map(ToSqlx::to_sqlx))
        .collect();
    let noted: Vec<_> = posted.iter().map(|(_, t)| noted(&t.metadata)).collect();
    sqlx::query!(
        "INSERT INTO transactions (transaction_id, merchant_id, kind, reference, entry_count, posted_at, actor, request_id,
                                   reverses, effective_at, metadata)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::smallint[], $6::timestamptz[],
                              $7::text[], $8::uuid[], $9::uuid[], $10::timestamptz[], $11::jsonb[])",
        &ids,
        &merchants,
        &kinds,
        &references as _,
        &counts,
        &times as _,
        &actors,
        &requests,
        &reversed as _,
        &effects as _,
        &noted as _,
    )
    .execute(&mut *connection)
    .await?;

    let lines: Vec<_> = posted
        .iter()
        .flat_map(|(_, t)| t.entries.iter().map(move |e| (*t, e)))
        .collect();
    let merchants: Vec<_> = lines.iter().map(|(t, _)| t.merchant.uuid()).collect();
    let ids: Vec<_> = lines.iter().map(|(t, _)| t.id.uuid()).collect();
    let numbers: Vec<_> = lines.iter().map(|(_, e)| e.line).collect();
    let accounts: Vec<_> = lines.iter().map(|(_, e)| e.account.uuid()).collect();
    let assets: Vec<_> = lines.iter().map(|(_, e)| e.asset.as_str().to_owned()).collect();
    let directions: Vec<_> = lines.iter().map(|(_, e)| e.direction.number()).collect();
    let amounts: Vec<_> = lines.iter().map(|(_, e)| e.amount.get()).collect();
    let sequences: Vec<_> = lines.iter().map(|(_, e)| e.account_sequence).collect();
    let balances: Vec<_> = lines.iter().map(|(_, e)| e.balance_after.get()).collect();
    let times: Vec<_> = lines.iter().map(|(t, _)| t.posted_at.to_sqlx()).collect();
    let holds: Vec<_> = lines.iter().map(|(_, e)| e.hold.map(HoldId::uuid)).collect();
    let reversed: Vec<_> = lines.iter().map(|(_, e)| e.reverses).collect();
    let effects: Vec<_> = lines
        .iter()
        .map(|(t, _)| t.effective_at.map(ToSqlx::to_sqlx))
        .collect();
    sqlx::query!(
        "INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                                     account_sequence, balance_after, posted_at, hold_id, reverses_line, effective_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::text[], $6::smallint[],
                              $7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::uuid[],
                              $12::smallint[], $13::timestamptz[])",
        &merchants,
        &ids,
        &numbers,
        &accounts,
        &assets,
        &directions,
        &amounts,
        &sequences,
        &balances,
        &times as _,
        &holds as _,
        &reversed as _,
        &effects as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of the references the merchants' transactions have already.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn taken_references(
    connection: &mut PgConnection,
    wanted: &[(MerchantId, &Reference)],
) -> lp_pg::Result<HashSet<(MerchantId, Reference)>> {
    if wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let merchants: Vec<_> = wanted.iter().map(|(m, _)| m.uuid()).collect();
    let references: Vec<_> = wanted.iter().map(|(_, r)| r.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT merchant_id, reference AS "reference!" FROM transactions
         WHERE (merchant_id, reference) IN (SELECT * FROM unnest($1::uuid[], $2::text[])) AND reference IS NOT NULL"#,
        &merchants,
        &references,
    )
    .fetch_all(connection)
    .await?;
    let taken = rows.into_iter().map(|row| {
        Ok((
            MerchantId::from_uuid(row.merchant_id),
            Reference::try_from(row.reference).map_err(corrupt)?,
        ))
    });
    taken.collect()
}

struct EntryRow {
    transaction_id: Uuid,
    line: i16,
    account_id: Uuid,
    account_type: i16,
    asset_code: String,
    direction: i16,
    amount: i64,
    account_sequence: i64,
    balance_after: i64,
    posted_at: jiff_sqlx::Timestamp,
    hold_id: Option<Uuid>,
    reverses_line: Option<i16>,
}

impl EntryRow {
    fn into_entry(self) -> lp_pg::Result<HistoryEntry> {
        let entry = PostedEntry {
            line: self.line,
            account: AccountId::from_uuid(self.account_id),
            account_type: AccountType::from_number(self.account_type)?,
            direction: Direction::from_number(self.direction)?,
            amount: Amount::try_from(self.amount).map_err(corrupt)?,
            asset: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            account_sequence: self.account_sequence,
            balance_after: MinorUnits::new(self.balance_after),
            hold: self.hold_id.map(HoldId::from_uuid),
            reverses: self.reverses_line,
        };
        let transaction = TransactionId::from_uuid(self.transaction_id);
        Ok(HistoryEntry {
            transaction,
            posted_at: self.posted_at.to_jiff(),
            entry,
        })
    }
}

/// Transactions of these merchants with these ids, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn load(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    ids: &[Uuid],
) -> lp_pg::Result<Vec<PostedTransaction>> {
    let heads = sqlx::query!(
        r#"SELECT transaction_id, merchant_id, kind, reference, reverses, posted_at, effective_at,
                metadata AS "metadata: sqlx::types::Json<Metadata>"
         FROM transactions
         WHERE (merchant_id, transaction_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"#,
        merchants,
        ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let found: Vec<_> = heads.iter().map(|head| head.transaction_id).collect();
    let rows = sqlx::query_as!(
        EntryRow,
        r#"SELECT e.transaction_id, e.line, e.account_id, a.type AS account_type, e.asset_code, e.direction, e.amount,
                e.account_sequence, e.balance_after, e.posted_at, e.hold_id, e.reverses_line
         FROM ledger_entries e JOIN accounts a USING (account_id)
         WHERE e.transaction_id = ANY($1) ORDER BY e.transaction_id, e.line"#,
        &found,
    )
    .fetch_all(connection)
    .await?;
    let mut entries: BTreeMap<TransactionId, Vec<PostedEntry>> = BTreeMap::new();
    for row in rows {
        let HistoryEntry {
            transaction, entry, ..
        } = row.into_entry()?;
        entries.entry(transaction).or_default().push(entry);
    }
    let mut posted = Vec::with_capacity(heads.len());
    for head in heads {
        let id = TransactionId::from_uuid(head.transaction_id);
        posted.push(PostedTransaction {
            id,
            merchant: MerchantId::from_uuid(head.merchant_id),
            kind: TransactionKind::from_number(head.kind)?,
            reference: head
                .reference
                .map(Reference::try_from)
                .transpose()
                .map_err(corrupt)?,
            reverses: head.reverses.map(TransactionId::from_uuid),
            posted_at: head.posted_at.to_jiff(),
            effective_at: head.effective_at.map(jiff_sqlx::Timestamp::to_jiff),
            metadata: head.metadata.map(|json| json.0).unwrap_or_default(),
            entries: entries.remove(&id).unwrap_or_default(),
        });
    }
    posted.sort_by_key(|t| std::cmp::Reverse(t.id));
    Ok(posted)
}

/// When a transaction of the merchant was posted.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn posted_at(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: TransactionId,
) -> lp_pg::Result<Option<Timestamp>> {
    let found = sqlx::query_scalar!(
        "SELECT posted_at FROM transactions WHERE merchant_id = $1 AND transaction_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(jiff_sqlx::Timestamp::to_jiff))
}

/// The accounts, with their merchants, that these merchants' transactions touched.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn accounts_of(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    ids: &[Uuid],
) -> lp_pg::Result<Vec<(Uuid, Uuid)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT merchant_id, account_id FROM ledger_entries
         WHERE (merchant_id, transaction_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))",
        merchants,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.merchant_id, row.account_id))
        .collect())
}

/// These transactions, and what of each line was reversed so far. What is read is right as long as the accounts that
/// they touched are locked: every reversal locks all of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn originals(connection: &mut PgConnection, ids: &[Uuid]) -> lp_pg::Result<Vec<Original>> {
    let rows = sqlx::query!(
        r#"SELECT t.transaction_id, t.merchant_id, t.kind, e.line, e.account_id, e.direction, e.amount, e.asset_code,
                coalesce((SELECT sum(b.amount) FROM transactions r JOIN ledger_entries b USING (transaction_id)
                          WHERE r.reverses = t.transaction_id AND b.reverses_line = e.line), 0)::bigint AS "reversed!"
         FROM transactions t JOIN ledger_entries e USING (transaction_id)
         WHERE t.transaction_id = ANY($1) ORDER BY t.transaction_id, e.line"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    let mut originals: Vec<Original> = Vec::new();
    for row in rows {
        let id = TransactionId::from_uuid(row.transaction_id);
        let line = OriginalLine {
            line: row.line,
            account: AccountId::from_uuid(row.account_id),
            direction: Direction::from_number(row.direction)?,
            amount: Amount::try_from(row.amount).map_err(corrupt)?,
            asset: AssetCode::try_from(row.asset_code).map_err(corrupt)?,
            reversed: row.reversed,
        };
        match originals.last_mut().filter(|last| last.id == id) {
            Some(last) => last.lines.push(line),
            None => originals.push(Original {
                id,
                merchant: MerchantId::from_uuid(row.merchant_id),
                kind: TransactionKind::from_number(row.kind)?,
                lines: vec![line],
            }),
        }
    }
    Ok(originals)
}

/// Ids of the merchant's transactions before `before`, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn ids_of_merchant(
    connection: &mut PgConnection,
    merchant: MerchantId,
    reference: Option<&Reference>,
    before: Option<TransactionId>,
    limit: i64,
) -> lp_pg::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT transaction_id FROM transactions
         WHERE merchant_id = $1 AND ($2::text IS NULL OR reference = $2)
           AND ($3::uuid IS NULL OR transaction_id < $3)
         ORDER BY transaction_id DESC LIMIT $4",
        merchant.uuid(),
        reference.map(Reference::as_str),
        before.map(TransactionId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Ids of the transactions that touched an account, with the account's sequence after each, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn ids_of_account(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
    before: Option<i64>,
    limit: i64,
) -> lp_pg::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!(
        "SELECT e.transaction_id, e.account_sequence FROM ledger_entries e
         WHERE e.merchant_id = $1 AND e.account_id = $2 AND ($3::bigint IS NULL OR e.account_sequence < $3)
           -- Several entries of one transaction in one account follow each other: take the last.
           AND NOT EXISTS (SELECT FROM ledger_entries n WHERE n.account_id = e.account_id
                           AND n.account_sequence = e.account_sequence + 1 AND n.transaction_id = e.transaction_id)
         ORDER BY e.account_sequence DESC LIMIT $4",
        merchant.uuid(),
        account.uuid(),
        before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.transaction_id, row.account_sequence))
        .collect())
}

/// Entries of one account before a sequence, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn history(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
    before: Option<i64>,
    limit: i64,
) -> lp_pg::Result<Vec<HistoryEntry>> {
    let rows = sqlx::query_as!(
        EntryRow,
        r#"SELECT e.transaction_id, e.line, e.account_id, a.type AS account_type, e.asset_code, e.direction, e.amount,
                e.account_sequence, e.balance_after, e.posted_at, e.hold_id, e.reverses_line
         FROM ledger_entries e JOIN accounts a USING (account_id)
         WHERE e.merchant_id = $1 AND e.account_id = $2 AND ($3::bigint IS NULL OR e.account_sequence < $3)
         ORDER BY e.account_sequence DESC LIMIT $4"#,
        merchant.uuid(),
        account.uuid(),
        before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(EntryRow::into_entry).collect()
}
