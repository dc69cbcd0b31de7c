//! Rows of `cards`, with what their products say of them.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{
    AccountId, Amount, AssetCode, CallerContext, MerchantId, TransactionId,
    ids::{CardId, ProductId},
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::corrupt;
use crate::domain::{card::CardState, product::Denominations};

const ISSUED: i16 = 1;
const ACTIVATING: i16 = 2;
const ACTIVE: i16 = 3;

/// A gift card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its id.
    pub id: CardId,
    /// What it is one of.
    pub product: ProductId,
    /// Its product's currency.
    pub currency: AssetCode,
    /// Whether its product's cards have a PIN.
    pub has_pin: bool,
    /// Where it stands.
    pub state: CardState,
    /// What it was sold for; none before.
    pub face_value: Option<Amount>,
    /// Its ledger account; none before it is active.
    pub account: Option<AccountId>,
    /// The last four characters of its code.
    pub code_suffix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was activated; none before.
    pub activated_at: Option<Timestamp>,
}

/// How a card is found, and how its PIN is verified. It holds neither code nor PIN, and does not print.
pub struct Locks {
    /// The keyed hash of its code.
    pub code_hash: [u8; 32],
    /// The version of that key.
    pub code_key: i16,
    /// The hash of its PIN, where it has one.
    pub pin_hash: Option<String>,
}

/// How a card was sold.
#[derive(Debug, Clone, Copy)]
pub struct Sold {
    /// Its account.
    pub account: AccountId,
    /// The transaction that put its value there.
    pub transaction: TransactionId,
    /// When.
    pub at: Timestamp,
}

struct Row {
    card_id: Uuid,
    product_id: Uuid,
    currency_code: String,
    has_pin: bool,
    state: i16,
    face_value: Option<i64>,
    account_id: Option<Uuid>,
    code_suffix: String,
    created_at: jiff_sqlx::Timestamp,
    activated_at: Option<jiff_sqlx::Timestamp>,
}

impl Row {
    fn into_card(self) -> lp_pg::Result<Card> {
        let state = match self.state {
            ISSUED => CardState::Issued,
            ACTIVATING => CardState::Activating,
            _ => CardState::Active,
        };
        let face_value = self.face_value.map(Amount::try_from).transpose();
        Ok(Card {
            id: CardId::from_uuid(self.card_id),
            product: ProductId::from_uuid(self.product_id),
            currency: AssetCode::try_from(self.currency_code).map_err(corrupt)?,
            has_pin: self.has_pin,
            state,
            face_value: face_value.map_err(corrupt)?,
            account: self.account_id.map(AccountId::from_uuid),
            code_suffix: self.code_suffix,
            created_at: self.created_at.to_jiff(),
            activated_at: self.activated_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// Inserts an issued card of the caller's merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    card: &Card,
    locks: &Locks,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO cards (card_id, merchant_id, product_id, code_hash, code_key, code_suffix, pin_hash, state, actor,
                            request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        card.id.uuid(),
        caller.merchant.uuid(),
        card.product.uuid(),
        locks.code_hash.as_slice(),
        locks.code_key,
        card.code_suffix,
        locks.pin_hash,
        ISSUED,
        caller.actor.as_str(),
        caller.request.uuid(),
        card.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One card of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: CardId,
) -> lp_pg::Result<Option<Card>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT c.card_id, c.product_id, p.currency_code, p.has_pin, c.state, c.face_value, c.account_id, c.code_suffix,
                c.created_at, c.activated_at
         FROM cards c JOIN products p USING (merchant_id, product_id)
         WHERE c.merchant_id = $1 AND c.card_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_card).transpose()
}

/// Locks a card of the merchant until the end of the unit of work; loads it, and the amounts of its product.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lock(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: CardId,
) -> lp_pg::Result<Option<(Card, Denominations)>> {
    sqlx::query!(
        "SELECT FROM cards WHERE merchant_id = $1 AND card_id = $2 FOR NO KEY UPDATE",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    // In a statement of its own: the one above does not see what it waited for.
    let Some(card) = find(&mut *connection, merchant, id).await? else {
        return Ok(None);
    };
    let denominations = sqlx::query_scalar!(
        "SELECT denominations FROM products WHERE merchant_id = $1 AND product_id = $2",
        merchant.uuid(),
        card.product.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Some((
        card,
        Denominations::try_from(denominations).map_err(corrupt)?,
    )))
}

/// The merchant's active card with this keyed hash, and the hash of its PIN. One statement, found or not.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_code(
    connection: &mut PgConnection,
    merchant: MerchantId,
    code_hash: [u8; 32],
    code_key: i16,
) -> lp_pg::Result<Option<(Card, Option<String>)>> {
    let found = sqlx::query!(
        "SELECT c.card_id, c.product_id, p.currency_code, p.has_pin, c.state, c.face_value, c.account_id, c.code_suffix,
                c.created_at, c.activated_at, c.pin_hash
         FROM cards c JOIN products p USING (merchant_id, product_id)
         WHERE c.merchant_id = $1 AND c.code_key = $2 AND c.code_hash = $3 AND c.state = $4",
        merchant.uuid(),
        code_key,
        code_hash.as_slice(),
        ACTIVE,
    )
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let row = Row {
        card_id: found.card_id,
        product_id: found.product_id,
        currency_code: found.currency_code,
        has_pin: found.has_pin,
        state: found.state,
        face_value: found.face_value,
        account_id: found.account_id,
        code_suffix: found.code_suffix,
        created_at: found.created_at,
        activated_at: found.activated_at,
    };
    Ok(Some((row.into_card()?, found.pin_hash)))
}

/// An issued card is being sold for `amount` from now on.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn begin_sale(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: CardId,
    amount: Amount,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE cards SET state = $3, face_value = $4 WHERE merchant_id = $1 AND card_id = $2 AND state = $5",
        merchant.uuid(),
        id.uuid(),
        ACTIVATING,
        amount.get(),
        ISSUED,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A card that was being sold can be spent from now on.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn activate(
    connection: &mut PgConnection,
    caller: &CallerContext,
    id: CardId,
    sold: Sold,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE cards SET state = $3, account_id = $4, transaction_id = $5, activated_at = $6, sale_actor = $7,
                          sale_request_id = $8
         WHERE merchant_id = $1 AND card_id = $2 AND state = $9",
        caller.merchant.uuid(),
        id.uuid(),
        ACTIVE,
        sold.account.uuid(),
        sold.transaction.uuid(),
        sold.at.to_sqlx() as _,
        caller.actor.as_str(),
        caller.request.uuid(),
        ACTIVATING,
    )
    .execute(connection)
    .await?;
    Ok(())
}
