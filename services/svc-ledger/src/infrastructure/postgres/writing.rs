//! What a batch writes, and the answers that are made again from what was written under a key.

use std::collections::HashMap;

use ledger_domain::{Asset, Book, Hold, Refusal};
use lp_pg::{
    PgError,
    idempotency::{Claim, Claimed, record_all},
};
use lp_types::{AssetCode, MerchantId, TransactionId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{
    accounts::{self, AccountRecord},
    codes::corrupt,
    holds,
    posting::{Batch, Outcome, Verdict, Wanted},
    transactions,
};
use crate::infrastructure::events;

/// What is stored under the key. A posted transaction never changes, so its id is enough.
#[derive(Debug, Serialize, Deserialize)]
enum Recorded {
    Posted(TransactionId),
    Drew(TransactionId, Vec<Hold>),
    Hold(Hold, Box<AccountRecord>),
    State(Box<AccountRecord>),
    Refused(Refusal),
}

/// Writes what was decided, set-wise.
pub(super) async fn write(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    verdicts: &[Verdict],
    batch: &Batch,
    book: &Book,
    assets: &[(MerchantId, Asset)],
) -> lp_pg::Result<()> {
    let exponents: HashMap<(MerchantId, &AssetCode), u8> = assets
        .iter()
        .map(|(merchant, asset)| ((*merchant, &asset.code), asset.exponent))
        .collect();
    let mut posted = Vec::new();
    let mut placed = Vec::new();
    let mut outbox = Vec::new();
    let mut answers = Vec::with_capacity(wanted.len());
    for (wanted, verdict) in wanted.iter().zip(verdicts) {
        let recorded = match verdict {
            Verdict::Done { outcome, epoch } => {
                if let Outcome::Posted { transaction, .. } = outcome {
                    let exponent = |asset: &AssetCode| {
                        let exponent = exponents.get(&(transaction.merchant, asset));
                        exponent.copied().unwrap_or_default()
                    };
                    let trace = wanted.traceparent.clone();
                    outbox.push(events::transaction_posted(transaction, *epoch, exponent, trace));
                    posted.push((&wanted.claim.caller, transaction));
                }
                if let Outcome::Hold(hold, _) = outcome
                    && batch.new_holds.contains(&hold.id)
                    && let Some(hold) = book.hold(hold.id)
                {
                    placed.push((&wanted.claim.caller, hold));
                }
                outcome.recorded()
            }
            Verdict::Refused(refusal) => Recorded::Refused(refusal.clone()),
            Verdict::KeyReused => continue,
        };
        answers.push((&wanted.claim, serde_json::to_value(recorded).map_err(corrupt)?));
    }
    if !placed.is_empty() {
        holds::insert(connection, &placed).await?;
    }
    let ended = batch.changed_holds.difference(&batch.new_holds);
    let ended: Vec<_> = ended.filter_map(|id| book.hold(*id)).collect();
    if !ended.is_empty() {
        holds::update(connection, &ended).await?;
    }
    if !posted.is_empty() {
        transactions::insert(connection, &posted).await?;
    }
    let changed: Vec<_> = batch
        .changed_accounts
        .iter()
        .filter_map(|id| book.get(*id))
        .collect();
    if !changed.is_empty() {
        accounts::update(connection, &changed).await?;
    }
    if !outbox.is_empty() {
        lp_outbox::append(connection, &outbox).await?;
    }
    if !answers.is_empty() {
        record_all(connection, &answers).await?;
    }
    Ok(())
}

impl Outcome {
    fn recorded(&self) -> Recorded {
        match self {
            Self::Posted { transaction, holds } if holds.is_empty() => Recorded::Posted(transaction.id),
            Self::Posted { transaction, holds } => Recorded::Drew(transaction.id, holds.clone()),
            Self::Hold(hold, record) => Recorded::Hold(hold.clone(), record.clone()),
            Self::State(record) => Recorded::State(record.clone()),
        }
    }
}

/// The verdicts of claims that were answered before, made again from what was recorded.
pub(super) async fn recorded(
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
        if let Recorded::Posted(id) | Recorded::Drew(id, _) = answer {
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
    let posted = |id: TransactionId, holds: Vec<Hold>| {
        let transaction = by_id.get(&id).cloned()?;
        Some(Outcome::Posted { transaction, holds })
    };
    let verdict = |answer| {
        let outcome = match answer {
            Recorded::Refused(refusal) => return Some(Verdict::Refused(refusal)),
            Recorded::Posted(id) => posted(id, Vec::new())?,
            Recorded::Drew(id, holds) => posted(id, holds)?,
            Recorded::Hold(hold, record) => Outcome::Hold(hold, record),
            Recorded::State(record) => Outcome::State(record),
        };
        Some(Verdict::Done { outcome, epoch })
    };
    let verdicts = answers.into_iter().map(verdict).collect::<Option<Vec<_>>>();
    verdicts.ok_or_else(|| PgError::from(sqlx::Error::RowNotFound))
}
