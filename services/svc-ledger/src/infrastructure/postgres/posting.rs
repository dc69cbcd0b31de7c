//! One batch of transactions in one PostgreSQL transaction.
//!
//! The order is the rule that keeps it right (`docs/ARCHITECTURE.md`, "The write path"): claim the sorted
//! keys → lock the accounts by rank and id → take the clock → load anew → decide in the domain, in order of
//! arrival → write set-wise → commit.

use std::collections::{HashMap, HashSet};

use ledger_domain::{AssetKind, Book, NewTransaction, Refusal};
use lp_pg::{
    PgError,
    idempotency::{Claim, Claimed, claim_all, record_all},
};
use lp_types::{AccountId, AssetCode, MerchantId, Reference, TransactionId, time::Ambient};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{
    accounts, assets,
    codes::corrupt,
    transactions::{self, PostedTransaction},
};
use crate::infrastructure::events;

/// A transaction that somebody wants posted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who wants it, under which key.
    pub claim: Claim,
    /// What.
    pub transaction: NewTransaction,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
}

/// What became of it: the first answer, or that answer again.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It stands in the ledger, in this life of it.
    Posted {
        /// What stands there.
        transaction: PostedTransaction,
        /// Which life of the ledger.
        epoch: i64,
    },
    /// The state of things forbade it.
    Refused(Refusal),
    /// The key was used with another request.
    KeyReused,
}

/// What is stored under the key. A posted transaction never changes, so its id is enough.
#[derive(Debug, Serialize, Deserialize)]
enum Recorded {
    Posted(TransactionId),
    Refused(Refusal),
}

/// Posts a batch, in order of arrival, with keys that are all different. Either everything is committed and
/// each gets its verdict, or nothing was (or, where the connection was lost in the commit, it is unknown:
/// the same keys may be tried again).
///
/// # Errors
/// When PostgreSQL fails.
pub async fn post_batch(
    connection: &mut PgConnection,
    batch: &[&Wanted],
    epoch: i64,
    ambient: &Ambient,
) -> lp_pg::Result<Vec<Verdict>> {
    let mut work = connection.begin().await?;
    let claims: Vec<_> = batch.iter().map(|w| w.claim.clone()).collect();
    let claimed = claim_all(&mut work, &claims).await?;

    let first: Vec<&Wanted> = batch
        .iter()
        .zip(&claimed)
        .filter(|(_, c)| matches!(c, Claimed::First))
        .map(|(w, _)| *w)
        .collect();
    let fresh = if first.is_empty() {
        Vec::new()
    } else {
        decide_and_write(&mut work, &first, epoch, ambient).await?
    };
    let old = recorded(&mut work, &claims, &claimed, epoch).await?;
    work.commit().await?;

    let (mut fresh, mut old) = (fresh.into_iter(), old.into_iter());
    let verdict = |claimed: &Claimed| match claimed {
        Claimed::First => fresh.next(),
        Claimed::Answered(_) => old.next(),
        // The ledger answers in the transaction that claims, so that nothing is ever pending.
        Claimed::Reused | Claimed::Pending => Some(Verdict::KeyReused),
    };
    let verdicts = claimed.iter().map(verdict).collect::<Option<Vec<_>>>();
    verdicts.ok_or_else(|| PgError::from(sqlx::Error::RowNotFound))
}

async fn decide_and_write(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    epoch: i64,
    ambient: &Ambient,
) -> lp_pg::Result<Vec<Verdict>> {
    let (merchants, named) = named_accounts(wanted);
    let assets = assets::of_accounts(connection, &merchants, &named).await?;
    let (merchants, touched) = with_points_accounts(wanted, &assets, merchants, named);
    accounts::lock(connection, &merchants, &touched).await?;
    let now = ambient.clock.now();
    let loaded = accounts::load(connection, &merchants, &touched).await?;
    let references: Vec<_> = wanted
        .iter()
        .filter_map(|w| Some((w.claim.caller.merchant, w.reference.as_ref()?)))
        .collect();
    let mut taken = transactions::taken_references(connection, &references).await?;

    let points = assets.iter().filter_map(|(merchant, asset)| match asset.kind {
        AssetKind::Points(accounts) => Some((*merchant, asset.code.clone(), accounts)),
        AssetKind::Currency => None,
    });
    let mut book = Book::new(loaded.into_iter().map(|record| record.account), points);
    let mut verdicts = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        verdicts.push(decide(&mut book, &mut taken, wanted, (now, epoch), ambient));
    }

    write(connection, wanted, &verdicts, &book, &assets, epoch).await?;
    Ok(verdicts)
}

fn decide(
    book: &mut Book,
    taken: &mut HashSet<(MerchantId, Reference)>,
    wanted: &Wanted,
    (now, epoch): (jiff::Timestamp, i64),
    ambient: &Ambient,
) -> Verdict {
    let merchant = wanted.claim.caller.merchant;
    let name = wanted.reference.clone().map(|reference| (merchant, reference));
    if let Some((_, reference)) = name.clone().filter(|n| taken.contains(n)) {
        return Verdict::Refused(Refusal::ReferenceTaken { reference });
    }
    match book.post(merchant, &wanted.transaction, now) {
        Err(refusal) => Verdict::Refused(refusal),
        Ok((posted_at, entries)) => {
            taken.extend(name);
            let transaction = PostedTransaction {
                id: TransactionId::from_uuid(ambient.ids.uuid()),
                merchant,
                kind: wanted.transaction.kind(),
                reference: wanted.reference.clone(),
                posted_at,
                entries,
            };
            Verdict::Posted { transaction, epoch }
        }
    }
}

async fn write(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    verdicts: &[Verdict],
    book: &Book,
    assets: &[(MerchantId, ledger_domain::Asset)],
    epoch: i64,
) -> lp_pg::Result<()> {
    let mut posted = Vec::new();
    let mut outbox = Vec::new();
    let mut answers = Vec::with_capacity(wanted.len());
    let mut touched: HashSet<AccountId> = HashSet::new();
    let exponents: HashMap<(MerchantId, &AssetCode), u8> = assets
        .iter()
        .map(|(merchant, asset)| ((*merchant, &asset.code), asset.exponent))
        .collect();
    for (wanted, verdict) in wanted.iter().zip(verdicts) {
        let recorded = match verdict {
            Verdict::Posted { transaction, .. } => {
                touched.extend(transaction.entries.iter().map(|e| e.account));
                let exponent = |asset: &AssetCode| {
                    exponents
                        .get(&(transaction.merchant, asset))
                        .copied()
                        .unwrap_or_default()
                };
                outbox.push(events::transaction_posted(
                    transaction,
                    epoch,
                    exponent,
                    wanted.traceparent.clone(),
                ));
                posted.push((&wanted.claim.caller, transaction));
                Recorded::Posted(transaction.id)
            }
            Verdict::Refused(refusal) => Recorded::Refused(refusal.clone()),
            Verdict::KeyReused => continue,
        };
        answers.push((&wanted.claim, serde_json::to_value(recorded).map_err(corrupt)?));
    }
    if !posted.is_empty() {
        let changed: Vec<_> = touched.iter().filter_map(|id| book.get(*id)).collect();
        transactions::insert(connection, &posted).await?;
        accounts::update(connection, &changed).await?;
        lp_outbox::append(connection, &outbox).await?;
    }
    record_all(connection, &answers).await
}

fn named_accounts(wanted: &[&Wanted]) -> (Vec<Uuid>, Vec<Uuid>) {
    let pairs = wanted.iter().flat_map(|w| {
        let merchant = w.claim.caller.merchant.uuid();
        w.transaction
            .named_accounts()
            .into_iter()
            .map(move |account| (merchant, account.uuid()))
    });
    pairs.unzip()
}

/// Adds the internal accounts that Earn and Burn reach through the asset.
fn with_points_accounts(
    wanted: &[&Wanted],
    assets: &[(MerchantId, ledger_domain::Asset)],
    mut merchants: Vec<Uuid>,
    mut accounts: Vec<Uuid>,
) -> (Vec<Uuid>, Vec<Uuid>) {
    let points: HashMap<_, _> = assets
        .iter()
        .filter_map(|(merchant, asset)| match asset.kind {
            AssetKind::Points(points) => Some(((*merchant, &asset.code), points)),
            AssetKind::Currency => None,
        })
        .collect();
    for wanted in wanted {
        let merchant = wanted.claim.caller.merchant;
        let internal = match &wanted.transaction {
            NewTransaction::General(_) => None,
            NewTransaction::Earn { asset, .. } => points.get(&(merchant, asset)).map(|p| p.issuance),
            NewTransaction::Burn { asset, .. } => points.get(&(merchant, asset)).map(|p| p.redemption),
        };
        if let Some(account) = internal {
            merchants.push(merchant.uuid());
            accounts.push(account.uuid());
        }
    }
    (merchants, accounts)
}

/// The verdicts of claims that were answered before, made again from what was recorded.
async fn recorded(
    connection: &mut PgConnection,
    claims: &[Claim],
    claimed: &[Claimed],
    epoch: i64,
) -> lp_pg::Result<Vec<Verdict>> {
    let mut answers = Vec::new();
    let (mut merchants, mut ids) = (Vec::new(), Vec::new());
    for (claim, claimed) in claims.iter().zip(claimed) {
        let Claimed::Answered(answer) = claimed else {
            continue;
        };
        let answer: Recorded = serde_json::from_value(answer.clone()).map_err(corrupt)?;
        if let Recorded::Posted(id) = answer {
            merchants.push(claim.caller.merchant.uuid());
            ids.push(id.uuid());
        }
        answers.push(answer);
    }
    let loaded = if ids.is_empty() {
        Vec::new()
    } else {
        transactions::load(connection, &merchants, &ids).await?
    };
    let by_id: HashMap<_, _> = loaded.into_iter().map(|t| (t.id, t)).collect();
    let verdict = |answer| match answer {
        Recorded::Refused(refusal) => Some(Verdict::Refused(refusal)),
        Recorded::Posted(id) => by_id
            .get(&id)
            .cloned()
            .map(|transaction| Verdict::Posted { transaction, epoch }),
    };
    let verdicts = answers.into_iter().map(verdict).collect::<Option<Vec<_>>>();
    verdicts.ok_or_else(|| PgError::from(sqlx::Error::RowNotFound))
}
