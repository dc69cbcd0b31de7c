//! Rows of `purchases` and `purchase_tenders`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{
    AccountId, Amount, AssetCode, CallerContext, IdempotencyKey, MerchantId, Reference, TransactionId,
    WalletId, ids::PurchaseId,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Code as _, corrupt};
use crate::domain::purchase::{Payment, Plan, Tender, TenderKind};

/// How far a purchase has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// What it moves is known.
    Planned,
    /// The accounts are known too: its entries are fixed.
    Authorised,
    /// It stands in the ledger.
    Posted,
    /// It was refused.
    Refused,
}

/// A purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Its id.
    pub id: PurchaseId,
    /// How far it has come.
    pub stage: Stage,
    /// What was bought for.
    pub amount: Amount,
    /// The currency of the amount.
    pub currency: AssetCode,
    /// The wallet that earns and burns.
    pub wallet: Option<WalletId>,
    /// The version of the programme that was applied; none without a wallet.
    pub program_version: Option<i32>,
    /// Points that the wallet earns.
    pub earned: Option<Amount>,
    /// Points that the wallet burns.
    pub burnt: Option<Amount>,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// Its ledger transaction, once it is posted.
    pub transaction: Option<TransactionId>,
    /// When it was submitted.
    pub created_at: Timestamp,
}

/// A purchase on its way to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saga {
    /// The purchase.
    pub purchase: Purchase,
    /// Who pays what.
    pub payment: Payment,
    /// The accounts that other services told, once it is authorised.
    pub told: ToldAccounts,
}

impl Saga {
    /// What it moves.
    pub fn plan(&self) -> Plan {
        Plan {
            payment: self.payment.clone(),
            earned: self.purchase.earned,
            burnt: self.purchase.burnt,
        }
    }
}

/// The accounts that other services tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldAccounts {
    /// The wallet's.
    pub wallet: Option<AccountId>,
    /// The card's of each tender, in order; none for others.
    pub cards: Vec<Option<AccountId>>,
}

/// Inserts a purchase that is planned; false when its reference is taken.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    key: &IdempotencyKey,
    saga: &Saga,
) -> lp_pg::Result<bool> {
    let purchase = &saga.purchase;
    let inserted = sqlx::query!(
        "INSERT INTO purchases (purchase_id, merchant_id, idempotency_key, state, amount, currency_code, wallet_id,
                                program_version, points_earned, points_burnt, reference, actor, request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (merchant_id, reference) WHERE state <> 4 DO NOTHING",
        purchase.id.uuid(),
        caller.merchant.uuid(),
        key.as_str(),
        purchase.stage.number(),
        purchase.amount.get(),
        purchase.currency.as_str(),
        purchase.wallet.map(WalletId::uuid),
        purchase.program_version,
        purchase.earned.map(Amount::get),
        purchase.burnt.map(Amount::get),
        purchase.reference.as_ref().map(Reference::as_str),
        caller.actor.as_str(),
        caller.request.uuid(),
        purchase.created_at.to_sqlx() as _,
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let tenders = saga.payment.tenders();
    let kinds: Vec<i16> = tenders.iter().map(|tender| tender.kind.number()).collect();
    let amounts: Vec<i64> = tenders.iter().map(|tender| tender.amount.get()).collect();
    sqlx::query!(
        "INSERT INTO purchase_tenders (purchase_id, merchant_id, line, kind, minor_units)
         SELECT $1, $2, (line - 1)::smallint, kind, minor_units
         FROM unnest($3::smallint[], $4::bigint[]) WITH ORDINALITY AS t (kind, minor_units, line)",
        purchase.id.uuid(),
        caller.merchant.uuid(),
        &kinds,
        &amounts,
    )
    .execute(connection)
    .await?;
    Ok(true)
}

struct Row {
    purchase_id: Uuid,
    state: i16,
    amount: i64,
    currency_code: String,
    wallet_id: Option<Uuid>,
    wallet_account_id: Option<Uuid>,
    program_version: Option<i32>,
    points_earned: Option<i64>,
    points_burnt: Option<i64>,
    reference: Option<String>,
    transaction_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

struct TenderRow {
    kind: i16,
    minor_units: i64,
    card_account_id: Option<Uuid>,
}

fn amount(minor_units: i64) -> lp_pg::Result<Amount> {
    minor_units.try_into().map_err(corrupt)
}

impl Row {
    fn into_purchase(self) -> lp_pg::Result<Purchase> {
        let reference = self.reference.map(Reference::try_from);
        Ok(Purchase {
            id: PurchaseId::from_uuid(self.purchase_id),
            stage: Stage::from_number(self.state)?,
            amount: amount(self.amount)?,
            currency: self.currency_code.try_into().map_err(corrupt)?,
            wallet: self.wallet_id.map(WalletId::from_uuid),
            program_version: self.program_version,
            earned: self.points_earned.map(amount).transpose()?,
            burnt: self.points_burnt.map(amount).transpose()?,
            reference: reference.transpose().map_err(corrupt)?,
            transaction: self.transaction_id.map(TransactionId::from_uuid),
            created_at: self.created_at.to_jiff(),
        })
    }
}

/// The purchase that was submitted under a key, with its tenders.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_key(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: &IdempotencyKey,
) -> lp_pg::Result<Option<Saga>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT purchase_id, state, amount, currency_code, wallet_id, wallet_account_id, program_version,
                points_earned, points_burnt, reference, transaction_id, created_at
         FROM purchases WHERE merchant_id = $1 AND idempotency_key = $2",
        merchant.uuid(),
        key.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let wallet = row.wallet_account_id.map(AccountId::from_uuid);
    let purchase = row.into_purchase()?;
    let rows = sqlx::query_as!(
        TenderRow,
        "SELECT kind, minor_units, card_account_id FROM purchase_tenders
         WHERE merchant_id = $1 AND purchase_id = $2 ORDER BY line",
        merchant.uuid(),
        purchase.id.uuid(),
    )
    .fetch_all(connection)
    .await?;
    let mut tenders = Vec::with_capacity(rows.len());
    let mut cards = Vec::with_capacity(rows.len());
    for row in rows {
        tenders.push(Tender {
            kind: TenderKind::from_number(row.kind)?,
            amount: amount(row.minor_units)?,
        });
        cards.push(row.card_account_id.map(AccountId::from_uuid));
    }
    Ok(Some(Saga {
        payment: Payment::new(purchase.amount, tenders).map_err(corrupt)?,
        told: ToldAccounts { wallet, cards },
        purchase,
    }))
}

/// One purchase of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: PurchaseId,
) -> lp_pg::Result<Option<Purchase>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT purchase_id, state, amount, currency_code, wallet_id, wallet_account_id, program_version,
                points_earned, points_burnt, reference, transaction_id, created_at
         FROM purchases WHERE merchant_id = $1 AND purchase_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_purchase).transpose()
}

/// Fixes the entries: writes the accounts that other services told.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn authorise(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: PurchaseId,
    told: &ToldAccounts,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE purchases SET state = $3, wallet_account_id = $4
         WHERE merchant_id = $1 AND purchase_id = $2 AND state = $5",
        merchant.uuid(),
        id.uuid(),
        Stage::Authorised.number(),
        told.wallet.map(AccountId::uuid),
        Stage::Planned.number(),
    )
    .execute(&mut *connection)
    .await?;
    let cards: Vec<Option<Uuid>> = told.cards.iter().map(|card| card.map(AccountId::uuid)).collect();
    sqlx::query!(
        "UPDATE purchase_tenders t SET card_account_id = c.account_id
         FROM unnest($3::uuid[]) WITH ORDINALITY AS c (account_id, line)
         WHERE t.merchant_id = $1 AND t.purchase_id = $2 AND t.line = c.line - 1 AND c.account_id IS NOT NULL",
        merchant.uuid(),
        id.uuid(),
        &cards as &[Option<Uuid>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a purchase: with its transaction it is posted, without one refused.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: PurchaseId,
    transaction: Option<TransactionId>,
) -> lp_pg::Result<()> {
    let stage = if transaction.is_some() {
        Stage::Posted
    } else {
        Stage::Refused
    };
    sqlx::query!(
        "UPDATE purchases SET state = $3, transaction_id = $4
         WHERE merchant_id = $1 AND purchase_id = $2 AND state IN ($5, $6)",
        merchant.uuid(),
        id.uuid(),
        stage.number(),
        transaction.map(TransactionId::uuid),
        Stage::Planned.number(),
        Stage::Authorised.number(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
