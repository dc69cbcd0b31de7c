//! Rows of `notifications`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use lp_types::{AccountId, Amount, AssetCode, MerchantId, MinorUnits, NotificationId, TransactionId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::codes::{corrupt, status_number, status_of, template_of};
use crate::domain::notification::{Facts, Language, Status, Template};

/// A notification that was just caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Its id.
    pub id: NotificationId,
    /// Whose customer it is for.
    pub merchant: MerchantId,
    /// The event that caused it.
    pub event: String,
    /// The transaction that the event tells of.
    pub transaction: TransactionId,
    /// The customer's account.
    pub account: AccountId,
    /// What it tells.
    pub template: Template,
    /// What its template says.
    pub facts: Facts,
    /// The trace that it continues.
    pub traceparent: Option<String>,
    /// When it was caused.
    pub created_at: Timestamp,
}

/// A notification that is to be delivered now, by whoever claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its id.
    pub id: NotificationId,
    /// Whose customer it is for.
    pub merchant: MerchantId,
    /// The transaction that it tells of.
    pub transaction: TransactionId,
    /// The customer's account.
    pub account: AccountId,
    /// What it tells.
    pub template: Template,
    /// What its template says.
    pub facts: Facts,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// The trace that it continues.
    pub traceparent: Option<String>,
    /// When it was caused.
    pub created_at: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The mail server took it.
    Sent {
        /// In which language it was written.
        language: Language,
        /// When.
        at: Timestamp,
    },
    /// It is not to be sent, for this reason.
    Suppressed(&'static str),
    /// It was given up, for this reason.
    Failed(String),
    /// It is to be tried again.
    Again {
        /// Why it failed.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl Settlement {
    /// Its name in metrics and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Suppressed(_) => "suppressed",
            Self::Failed(_) => "failed",
            Self::Again { .. } => "retried",
        }
    }

    /// Why nothing was sent.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Sent { .. } => None,
            Self::Suppressed(reason) => Some(reason),
            Self::Failed(reason) | Self::Again { reason, .. } => Some(reason),
        }
    }
}

/// A notification as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// The transaction that it tells of.
    pub transaction: TransactionId,
    /// The customer's account.
    pub account: AccountId,
    /// What it tells.
    pub template: Template,
    /// What became of it.
    pub status: Status,
    /// How often sending was tried.
    pub attempts: i32,
    /// Why the last attempt failed, or why it was suppressed.
    pub last_error: Option<String>,
    /// When it was caused.
    pub created_at: Timestamp,
    /// When the mail server took it.
    pub sent_at: Option<Timestamp>,
}

/// Inserts a notification that is due at `now`; nothing when its event has caused one before.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn insert(
    connection: &mut PgConnection,
    new: &NewNotification,
    now: Timestamp,
) -> lp_pg::Result<()> {
    sqlx::query!(
        "INSERT INTO notifications (merchant_id, notification_id, event_id, transaction_id, account_id, template,
                                    amount, burned, asset_code, asset_exponent, balance_after, next_attempt_at,
                                    traceparent, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT ON CONSTRAINT notifications_event DO NOTHING",
        new.merchant.uuid(),
        new.id.uuid(),
        new.event,
        new.transaction.uuid(),
        new.account.uuid(),
        new.template.name(),
        new.facts.amount.get(),
        new.facts.burned.map(Amount::get),
        new.facts.asset.as_str(),
        i16::from(new.facts.exponent),
        new.facts.balance_after.get(),
        now.to_sqlx() as _,
        new.traceparent,
        new.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims at most `limit` notifications that are due at `now`, the longest waiting first: until `leased_until`
/// nobody else gets them. One statement, and so committed before anything is sent.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn claim(
    connection: &mut PgConnection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: i64,
) -> lp_pg::Result<Vec<Due>> {
    let rows = sqlx::query!(
        "UPDATE notifications
         SET leased_until = $2, attempts = attempts + 1
         WHERE (merchant_id, notification_id) IN (
           SELECT merchant_id, notification_id FROM notifications
           WHERE status = 1 AND next_attempt_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
           ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING notification_id, merchant_id, transaction_id, account_id, template, amount, burned,
                   asset_code, asset_exponent, balance_after, attempts, traceparent, created_at",
        now.to_sqlx() as _,
        leased_until.to_sqlx() as _,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let due = rows.into_iter().map(|row| {
        Ok(Due {
            id: NotificationId::from_uuid(row.notification_id),
            merchant: MerchantId::from_uuid(row.merchant_id),
            transaction: TransactionId::from_uuid(row.transaction_id),
            account: AccountId::from_uuid(row.account_id),
            template: template_of(row.template)?,
            facts: Facts {
                amount: Amount::try_from(row.amount).map_err(corrupt)?,
                burned: row.burned.map(Amount::try_from).transpose().map_err(corrupt)?,
                asset: AssetCode::try_from(row.asset_code).map_err(corrupt)?,
                exponent: u8::try_from(row.asset_exponent).map_err(corrupt)?,
                balance_after: MinorUnits::new(row.balance_after),
            },
            attempts: row.attempts,
            traceparent: row.traceparent,
            created_at: row.created_at.to_jiff(),
        })
    });
    due.collect()
}

/// Writes how an attempt ended, and gives the lease back. An attempt whose lease ran out and went to somebody
/// else changes nothing, except that what was sent counts as sent.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn settle(connection: &mut PgConnection, due: &Due, settlement: &Settlement) -> lp_pg::Result<()> {
    let (status, language, sent_at, next_attempt_at) = match settlement {
        Settlement::Sent { language, at } => (Status::Sent, Some(language.code()), Some(*at), None),
        Settlement::Suppressed(_) => (Status::Suppressed, None, None, None),
        Settlement::Failed(_) => (Status::Failed, None, None, None),
        Settlement::Again { at, .. } => (Status::Pending, None, None, Some(*at)),
    };
    sqlx::query!(
        "UPDATE notifications
         SET status = $4::smallint, last_error = $5, language = $6, sent_at = $7,
             next_attempt_at = coalesce($8, next_attempt_at), leased_until = NULL
         WHERE merchant_id = $1 AND notification_id = $2 AND status = 1 AND (attempts = $3 OR $4::smallint = 2)",
        due.merchant.uuid(),
        due.id.uuid(),
        due.attempts,
        status_number(status),
        settlement.reason(),
        language,
        sent_at.map(ToSqlx::to_sqlx) as _,
        next_attempt_at.map(ToSqlx::to_sqlx) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct Row {
    notification_id: Uuid,
    transaction_id: Uuid,
    account_id: Uuid,
    template: String,
    status: i16,
    attempts: i32,
    last_error: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    sent_at: Option<jiff_sqlx::Timestamp>,
}

impl Row {
    fn into_notification(self) -> lp_pg::Result<Notification> {
        Ok(Notification {
            id: NotificationId::from_uuid(self.notification_id),
            transaction: TransactionId::from_uuid(self.transaction_id),
            account: AccountId::from_uuid(self.account_id),
            template: template_of(self.template)?,
            status: status_of(self.status)?,
            attempts: self.attempts,
            last_error: self.last_error,
            created_at: self.created_at.to_jiff(),
            sent_at: self.sent_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// One notification of the merchant.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: NotificationId,
) -> lp_pg::Result<Option<Notification>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT notification_id, transaction_id, account_id, template, status, attempts, last_error, created_at, sent_at
         FROM notifications WHERE merchant_id = $1 AND notification_id = $2",
        merchant.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::into_notification).transpose()
}

/// Which notifications of a merchant to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those about this account.
    pub account: Option<AccountId>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those before this one.
    pub before: Option<NotificationId>,
}

/// Notifications of the merchant, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    filter: Filter,
    limit: i64,
) -> lp_pg::Result<Vec<Notification>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT notification_id, transaction_id, account_id, template, status, attempts, last_error, created_at, sent_at
         FROM notifications
         WHERE merchant_id = $1 AND ($2::uuid IS NULL OR account_id = $2) AND ($3::smallint IS NULL OR status = $3)
           AND ($4::uuid IS NULL OR notification_id < $4)
         ORDER BY notification_id DESC LIMIT $5",
        merchant.uuid(),
        filter.account.map(AccountId::uuid),
        filter.status.map(status_number),
        filter.before.map(NotificationId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::into_notification).collect()
}
