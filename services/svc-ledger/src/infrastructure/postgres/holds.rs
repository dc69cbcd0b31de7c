//! Rows of `holds`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ledger_domain::{Direction, Hold, HoldState};
use lp_types::{AccountId, Amount, AssetCode, CallerContext, HoldId, MerchantId, MinorUnits, Reference};
use sqlx::PgConnection;
use uuid::Uuid;

use super::codes::{Code, corrupt};

/// The constraint by which a reference names one hold of a merchant.
pub const REFERENCE: &str = "holds_reference";

struct Row {
    hold_id: Uuid,
    merchant_id: Uuid,
    account_id: Uuid,
    asset_code: String,
    direction: i16,
    amount: i64,
    captured: i64,
    state: i16,
    reference: Option<String>,
    placed_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

impl Row {
    fn into_hold(self) -> lp_pg::Result<Hold> {
        Ok(Hold {
            id: HoldId::from_uuid(self.hold_id),
            merchant: MerchantId::from_uuid(self.merchant_id),
            account: AccountId::from_uuid(self.account_id),
            direction: Direction::from_number(self.direction)?,
            amount: Amount::try_from(self.amount).map_err(corrupt)?,
            asset: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            captured: MinorUnits::new(self.captured),
            state: HoldState::from_number(self.state)?,
            placed_at: self.placed_at.to_jiff(),
            expires_at: self.expires_at.to_jiff(),
            reference: self
                .reference
                .map(Reference::try_from)
                .transpose()
                .map_err(corrupt)?,
        })
    }
}

/// The accounts, with their merchants, that these merchants' holds stand on. That never changes, so no lock is needed.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn accounts_of(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    holds: &[Uuid],
) -> lp_pg::Result<Vec<(Uuid, Uuid)>> {
    let rows = sqlx::query!(
        "SELECT merchant_id, account_id FROM holds
         WHERE (merchant_id, hold_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))",
        merchants,
        holds,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.merchant_id, row.account_id))
        .collect())
}

/// These holds, and those on these accounts whose time is over.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn load(
    connection: &mut PgConnection,
    holds: &[Uuid],
    accounts: &[Uuid],
    now: Timestamp,
) -> lp_pg::Result<Vec<Hold>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT hold_id AS "hold_id!", merchant_id AS "merchant_id!", account_id AS "account_id!",
                asset_code AS "asset_code!", direction AS "direction!", amount AS "amount!",
                captured AS "captured!", state AS "state!", reference, placed_at AS "placed_at!",
                expires_at AS "expires_at!"
         FROM (SELECT * FROM holds WHERE hold_id = ANY($1)
               UNION SELECT * FROM holds WHERE account_id = ANY($2) AND state = 1 AND expires_at <= $3) found"#,
        holds,
        accounts,
        now.to_sqlx() as _,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_hold).collect()
}

/// One hold of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: HoldId,
) -> lp_pg::Result<Option<Hold>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT hold_id, merchant_id, account_id, asset_code, direction, amount, captured, state, reference,
                placed_at, expires_at
         FROM holds WHERE merchant_id = $1 AND hold_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_hold).transpose()
}

/// Holds on an account, newest first; the open ones only where that is asked.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_account(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
    open_at: Option<Timestamp>,
    before: Option<HoldId>,
    limit: i64,
) -> lp_pg::Result<Vec<Hold>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT hold_id, merchant_id, account_id, asset_code, direction, amount, captured, state, reference,
                placed_at, expires_at
         FROM holds
         WHERE merchant_id = $1 AND account_id = $2 AND ($4::uuid IS NULL OR hold_id < $4)
           AND ($3::timestamptz IS NULL OR state = 1 AND expires_at > $3)
         ORDER BY hold_id DESC LIMIT $5",
        merchant.uuid(),
        account.uuid(),
        open_at.map(ToSqlx::to_sqlx) as _,
        before.map(HoldId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_hold).collect()
}

/// Accounts, with their merchants, that have holds whose time is over, and so many at most.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn accounts_due(
    connection: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> lp_pg::Result<Vec<(MerchantId, AccountId)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT merchant_id, account_id FROM (
           SELECT merchant_id, account_id FROM holds WHERE state = 1 AND expires_at <= $1
           ORDER BY expires_at LIMIT $2) due",
        now.to_sqlx() as _,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let ids = |merchant, account| (MerchantId::from_uuid(merchant), AccountId::from_uuid(account));
    Ok(rows
        .into_iter()
        .map(|row| ids(row.merchant_id, row.account_id))
        .collect())
}

/// Inserts new holds.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(connection: &mut PgConnection, placed: &[(&CallerContext, &Hold)]) -> lp_pg::Result<()> {
    let ids: Vec<_> = placed.iter().map(|(_, h)| h.id.uuid()).collect();
    let merchants: Vec<_> = placed.iter().map(|(_, h)| h.merchant.uuid()).collect();
    let accounts: Vec<_> = placed.iter().map(|(_, h)| h.account.uuid()).collect();
    let assets: Vec<_> = placed.iter().map(|(_, h)| h.asset.as_str().to_owned()).collect();
    let directions: Vec<_> = placed.iter().map(|(_, h)| h.direction.number()).collect();
    let amounts: Vec<_> = placed.iter().map(|(_, h)| h.amount.get()).collect();
    let captured: Vec<_> = placed.iter().map(|(_, h)| h.captured.get()).collect();
    let states: Vec<_> = placed.iter().map(|(_, h)| h.state.number()).collect();
    let references: Vec<_> = placed
        .iter()
        .map(|(_, h)| h.reference.as_ref().map(|r| r.as_str().to_owned()))
        .collect();
    let times: Vec<_> = placed.iter().map(|(_, h)| h.placed_at.to_sqlx()).collect();
    let expiries: Vec<_> = placed.iter().map(|(_, h)| h.expires_at.to_sqlx()).collect();
    let actors: Vec<_> = placed.iter().map(|(c, _)| c.actor.as_str().to_owned()).collect();
    let requests: Vec<_> = placed.iter().map(|(c, _)| c.request.uuid()).collect();
    sqlx::query!(
        "INSERT INTO holds (hold_id, merchant_id, account_id, asset_code, direction, amount, captured, state,
                            reference, placed_at, expires_at, actor, request_id)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::bigint[],
                              $7::bigint[], $8::smallint[], $9::text[], $10::timestamptz[], $11::timestamptz[],
                              $12::text[], $13::uuid[])",
        &ids,
        &merchants,
        &accounts,
        &assets,
        &directions,
        &amounts,
        &captured,
        &states,
        &references as _,
        &times as _,
        &expiries as _,
        &actors,
        &requests,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what changes of holds that stood before.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn update(connection: &mut PgConnection, holds: &[&Hold]) -> lp_pg::Result<()> {
    let ids: Vec<_> = holds.iter().map(|h| h.id.uuid()).collect();
    let captured: Vec<_> = holds.iter().map(|h| h.captured.get()).collect();
    let states: Vec<_> = holds.iter().map(|h| h.state.number()).collect();
    sqlx::query!(
        "UPDATE holds h SET captured = n.captured, state = n.state
         FROM unnest($1::uuid[], $2::bigint[], $3::smallint[]) AS n (hold_id, captured, state)
         WHERE h.hold_id = n.hold_id",
        &ids,
        &captured,
        &states,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of the references the merchants' holds have already.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn taken_references(
    connection: &mut PgConnection,
    merchants: &[Uuid],
    references: &[String],
) -> lp_pg::Result<Vec<(MerchantId, Reference)>> {
    let rows = sqlx::query!(
        r#"SELECT merchant_id, reference AS "reference!" FROM holds
         WHERE (merchant_id, reference) IN (SELECT * FROM unnest($1::uuid[], $2::text[])) AND reference IS NOT NULL"#,
        merchants,
        references,
    )
    .fetch_all(connection)
    .await?;
    let taken = rows.into_iter().map(|row| {
        let reference = Reference::try_from(row.reference).map_err(corrupt)?;
        Ok((MerchantId::from_uuid(row.merchant_id), reference))
    });
    taken.collect()
}
