//! Rows of `customers`.

use std::fmt;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{AccountId, CallerContext, CustomerId, MerchantId, Reference};
use sqlx::PgConnection;

/// How to reach a customer. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    /// E-mail address.
    pub email: Option<String>,
    /// Language of messages.
    pub language: Language,
    /// Whether the customer agreed to messages.
    pub messages_allowed: bool,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact")
    }
}

/// Language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// French.
    French,
    /// English.
    English,
}

impl Language {
    /// Its ISO 639-1 code.
    pub fn code(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// From its ISO 639-1 code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::French, Self::English]
            .into_iter()
            .find(|l| l.code() == code)
    }
}

/// Inserts the customer, or finds the one who has this reference, whose contact stays as it is; their row is
/// locked. `id` is used for a new one; the customer's own is returned.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find_or_insert(
    connection: &mut PgConnection,
    caller: &CallerContext,
    id: CustomerId,
    reference: &Reference,
    contact: &Contact,
    now: Timestamp,
) -> lp_pg::Result<CustomerId> {
    let id = sqlx::query_scalar!(
        "INSERT INTO customers (customer_id, merchant_id, reference, email, language, messages_allowed,
                                actor, request_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
         ON CONFLICT ON CONSTRAINT customers_reference DO UPDATE SET updated_at = customers.updated_at
         RETURNING customer_id",
        id.uuid(),
        caller.merchant.uuid(),
        reference.as_str(),
        contact.email,
        contact.language.code(),
        contact.messages_allowed,
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .fetch_one(connection)
    .await?;
    Ok(CustomerId::from_uuid(id))
}

/// Replaces the contact of a customer.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_contact(
    connection: &mut PgConnection,
    caller: &CallerContext,
    id: CustomerId,
    contact: &Contact,
    now: Timestamp,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "UPDATE customers SET email = $2, language = $3, messages_allowed = $4, actor = $5, request_id = $6,
                              updated_at = $7
         WHERE customer_id = $1",
        id.uuid(),
        contact.email,
        contact.language.code(),
        contact.messages_allowed,
        caller.actor.as_str(),
        caller.request.uuid(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks a customer's row. Whoever changes a wallet of theirs does this first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lock(connection: &mut PgConnection, id: CustomerId) -> lp_pg::Result<()> {
    sqlx::query!(
        "SELECT customer_id FROM customers WHERE customer_id = $1 FOR UPDATE",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Removes a customer, whose row is locked, unless they have a wallet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn remove_without_wallets(connection: &mut PgConnection, id: CustomerId) -> lp_pg::Result<()> {
    sqlx::query!(
        "DELETE FROM customers c WHERE customer_id = $1
         AND NOT EXISTS (SELECT FROM wallets w WHERE w.customer_id = c.customer_id)",
        id.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The customer who holds a ledger account, and how to reach them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_account(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> lp_pg::Result<Option<(CustomerId, Contact)>> {
    let row = sqlx::query!(
        "SELECT c.customer_id, c.email, c.language, c.messages_allowed
         FROM wallets w JOIN customers c USING (customer_id)
         WHERE w.merchant_id = $1 AND w.account_id = $2",
        merchant.uuid(),
        account.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let contact = Contact {
            email: row.email,
            // The column's own check leaves no third.
            language: Language::from_code(&row.language).unwrap_or(Language::French),
            messages_allowed: row.messages_allowed,
        };
        (CustomerId::from_uuid(row.customer_id), contact)
    }))
}
