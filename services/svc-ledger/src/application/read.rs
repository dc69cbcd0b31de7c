//! Reads: from the ledger's own tables, never stale.

use jiff::Timestamp;
use ledger_domain::{Asset, Hold};
use lp_pg::Database;
use lp_types::{AccountId, AssetCode, HoldId, MerchantId, Reference, TransactionId};

use crate::infrastructure::postgres::{
    accounts::{self, AccountRecord},
    assets,
    balances::{self, Balance, Past},
    holds,
    transactions::{self, HistoryEntry, PostedTransaction},
    trial_balance::{self, AssetSums},
};

/// Where a page begins, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct Slice<C> {
    /// Rows before this one, in the list's order; none: from its beginning.
    pub before: Option<C>,
    /// Rows at most.
    pub limit: i64,
}

/// One asset of the merchant.
///
/// # Errors
/// When the database fails.
pub async fn asset(
    database: &Database,
    merchant: MerchantId,
    code: &AssetCode,
) -> lp_error::Result<Option<Asset>> {
    let mut connection = database.acquire().await?;
    Ok(assets::find(&mut connection, merchant, code).await?)
}

/// Those of these accounts that are the merchant's, as they are `now`, each with the ledger's epoch. What a hold reserved
/// until its time was over is available from that moment, whether or not the hold's row says so yet.
///
/// # Errors
/// When the database fails.
pub async fn accounts(
    database: &Database,
    merchant: MerchantId,
    ids: &[AccountId],
    now: Timestamp,
) -> lp_error::Result<Vec<(AccountRecord, i64)>> {
    let mut connection = database.acquire().await?;
    Ok(accounts::current(&mut connection, merchant, ids, now).await?)
}

/// The account of the merchant that has a reference.
///
/// # Errors
/// When the database fails.
pub async fn account_named(
    database: &Database,
    merchant: MerchantId,
    reference: &Reference,
) -> lp_error::Result<Option<AccountId>> {
    let mut connection = database.acquire().await?;
    Ok(accounts::named(&mut connection, merchant, reference).await?)
}

/// The balances of those of these accounts that are the merchant's, as they were `at`, each with the ledger's epoch.
///
/// # Errors
/// When the database fails.
pub async fn past_balances(
    database: &Database,
    merchant: MerchantId,
    ids: &[AccountId],
    at: Past,
) -> lp_error::Result<Vec<(Balance, i64)>> {
    let mut connection = database.acquire().await?;
    Ok(balances::at(&mut connection, merchant, ids, at).await?)
}

/// When a transaction of the merchant was posted.
///
/// # Errors
/// When the database fails.
pub async fn posted_at(
    database: &Database,
    merchant: MerchantId,
    id: TransactionId,
) -> lp_error::Result<Option<Timestamp>> {
    let mut connection = database.acquire().await?;
    Ok(transactions::posted_at(&mut connection, merchant, id).await?)
}

/// The merchant's accounts summed, those of one asset or of each; nothing where there is no such asset.
///
/// # Errors
/// When the database fails.
pub async fn trial_balance(
    database: &Database,
    merchant: MerchantId,
    asset: Option<&AssetCode>,
) -> lp_error::Result<Vec<AssetSums>> {
    let mut connection = database.acquire().await?;
    Ok(trial_balance::read(&mut connection, merchant, asset).await?)
}

/// One hold of the merchant as it is `now`.
///
/// # Errors
/// When the database fails.
pub async fn hold(
    database: &Database,
    merchant: MerchantId,
    id: HoldId,
    now: Timestamp,
) -> lp_error::Result<Option<Hold>> {
    let mut connection = database.acquire().await?;
    let found = holds::find(&mut connection, merchant, id).await?;
    Ok(found.map(|hold| hold.at(now)))
}

/// The holds on an account as they are `now`, newest first, the open ones only where that is asked; `None` when the
/// merchant has no such account.
///
/// # Errors
/// When the database fails.
pub async fn holds(
    database: &Database,
    merchant: MerchantId,
    account: AccountId,
    (now, open_only): (Timestamp, bool),
    slice: Slice<HoldId>,
) -> lp_error::Result<Option<Vec<Hold>>> {
    let mut connection = database.acquire().await?;
    if accounts::find(&mut connection, merchant, account)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let open_at = open_only.then_some(now);
    let found = holds::of_account(
        &mut connection,
        merchant,
        account,
        open_at,
        slice.before,
        slice.limit,
    );
    Ok(Some(found.await?.into_iter().map(|hold| hold.at(now)).collect()))
}

/// One transaction of the merchant.
///
/// # Errors
/// When the database fails.
pub async fn transaction(
    database: &Database,
    merchant: MerchantId,
    id: TransactionId,
) -> lp_error::Result<Option<PostedTransaction>> {
    let mut connection = database.acquire().await?;
    Ok(
        transactions::load(&mut connection, &[merchant.uuid()], &[id.uuid()])
            .await?
            .pop(),
    )
}

/// The merchant's transactions, newest first.
///
/// # Errors
/// When the database fails.
pub async fn transactions(
    database: &Database,
    merchant: MerchantId,
    reference: Option<&Reference>,
    slice: Slice<TransactionId>,
) -> lp_error::Result<Vec<PostedTransaction>> {
    let mut connection = database.acquire().await?;
    let ids = transactions::ids_of_merchant(&mut connection, merchant, reference, slice.before, slice.limit)
        .await?;
    Ok(transactions::load(&mut connection, &vec![merchant.uuid(); ids.len()], &ids).await?)
}

/// The transactions that touched an account, each with the account's sequence after it, newest first.
///
/// # Errors
/// When the database fails.
pub async fn transactions_of_account(
    database: &Database,
    merchant: MerchantId,
    account: AccountId,
    slice: Slice<i64>,
) -> lp_error::Result<Vec<(PostedTransaction, i64)>> {
    let mut connection = database.acquire().await?;
    let found =
        transactions::ids_of_account(&mut connection, merchant, account, slice.before, slice.limit).await?;
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    let mut loaded = transactions::load(&mut connection, &vec![merchant.uuid(); ids.len()], &ids).await?;
    let position = |t: &PostedTransaction| {
        found
            .iter()
            .find(|(id, _)| *id == t.id.uuid())
            .map_or(0, |(_, s)| *s)
    };
    loaded.sort_by_key(|t| std::cmp::Reverse(position(t)));
    Ok(loaded
        .into_iter()
        .map(|t| {
            let at = position(&t);
            (t, at)
        })
        .collect())
}

/// The entries of an account, newest first; `None` when the merchant has no such account.
///
/// # Errors
/// When the database fails.
pub async fn entries(
    database: &Database,
    merchant: MerchantId,
    account: AccountId,
    slice: Slice<i64>,
) -> lp_error::Result<Option<Vec<HistoryEntry>>> {
    let mut connection = database.acquire().await?;
    if accounts::find(&mut connection, merchant, account)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    Ok(Some(
        transactions::history(&mut connection, merchant, account, slice.before, slice.limit).await?,
    ))
}
