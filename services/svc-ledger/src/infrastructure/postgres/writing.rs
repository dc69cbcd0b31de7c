//! What a batch writes, and the answers that are made again from what was written under a key.

use std::collections::HashMap;

use ledger_domain::{Hold, Refusal};
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
    posting::{Decided, Outcome, Verdict, Wanted},
    transactions::{self, PostedTransaction},
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
    Several(Vec<Recorded>),
    RefusedAt(usize, Refusal),
}

/// Writes what was decided, set-wise.
pub(super) async fn write(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    decided: &Decided,
) -> lp_pg::Result<()> {
    let Decided {
        verdicts,
        changes,
        gathered,
    } = decided;
    let book = &gathered.book;
    let exponents: HashMap<(MerchantId, &AssetCode), u8> = gathered
        .assets
        .iter()
        .map(|(merchant, asset)| ((*merchant, &asset.code), asset.exponent))
        .collect();
    let mut posted = Vec::new();
    let mut placed = Vec::new();
    let mut outbox = Vec::new();
    let mut answers = Vec::with_capacity(wanted.len());
    for (wanted, verdict) in wanted.iter().zip(verdicts) {
        if let Verdict::Done { outcomes, epoch } = verdict {
            for outcome in outcomes.iter().flatten() {
                match outcome {
                    Outcome::Posted { transaction, .. } => {
                        let exponent = |asset: &AssetCode| {
                            let exponent = exponents.get(&(transaction.merchant, asset));
                            exponent.copied().unwrap_or_default()
                        };
                        let trace = wanted.traceparent.clone();
                        outbox.push(events::transaction_posted(transaction, *epoch, exponent, trace));
                        posted.push((&wanted.claim.caller, transaction));
                    }
                    Outcome::Hold(hold, _) if changes.new_holds.contains(&hold.id) => {
                        let standing = book.hold(hold.id);
                        placed.extend(standing.map(|hold| (&wanted.claim.caller, hold)));
                    }
                    Outcome::Hold(..) | Outcome::State(_) => {}
                }
            }
        }
        if let Some(recorded) = verdict.recorded() {
            answers.push((&wanted.claim, serde_json::to_value(recorded).map_err(corrupt)?));
        }
    }
    if !placed.is_empty() {
        holds::insert(connection, &placed).await?;
    }
    let ended = changes.holds.difference(&changes.new_holds);
    let ended: Vec<_> = ended.filter_map(|id| book.hold(*id)).collect();
    if !ended.is_empty() {
        holds::update(connection, &ended).await?;
    }
    if !posted.is_empty() {
        transactions::insert(connection, &posted).await?;
    }
    let changed: Vec<_> = changes.accounts.iter().filter_map(|id| book.get(*id)).collect();
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

impl Verdict {
    fn recorded(&self) -> Option<Recorded> {
        match self {
            Self::Done { outcomes, .. } => match outcomes.as_slice() {
                [Ok(outcome)] => Some(outcome.recorded()),
                several => Some(Recorded::Several(several.iter().map(recorded_alone).collect())),
            },
            Self::Refused { index: 0, refusal } => Some(Recorded::Refused(refusal.clone())),
            Self::Refused { index, refusal } => Some(Recorded::RefusedAt(*index, refusal.clone())),
            Self::KeyReused => None,
        }
    }
}

fn recorded_alone(result: &Result<Outcome, Refusal>) -> Recorded {
    match result {
        Ok(outcome) => outcome.recorded(),
        Err(refusal) => Recorded::Refused(refusal.clone()),
    }
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

impl Recorded {
    /// The transactions that it speaks of.
    fn transactions(&self) -> Vec<TransactionId> {
        match self {
            Self::Posted(id) | Self::Drew(id, _) => vec![*id],
            Self::Several(all) => all.iter().flat_map(Self::transactions).collect(),
            Self::Hold(..) | Self::State(_) | Self::Refused(_) | Self::RefusedAt(..) => Vec::new(),
        }
    }

    /// The verdict again; none where a transaction that it speaks of is not there.
    fn verdict(self, posted: &HashMap<TransactionId, PostedTransaction>, epoch: i64) -> Option<Verdict> {
        let outcomes = match self {
            Self::Refused(refusal) => return Some(Verdict::Refused { index: 0, refusal }),
            Self::RefusedAt(index, refusal) => return Some(Verdict::Refused { index, refusal }),
            Self::Several(all) => all
                .into_iter()
                .map(|one| one.outcome(posted))
                .collect::<Option<Vec<_>>>()?,
            one => vec![one.outcome(posted)?],
        };
        Some(Verdict::Done { outcomes, epoch })
    }

    fn outcome(self, posted: &HashMap<TransactionId, PostedTransaction>) -> Option<Result<Outcome, Refusal>> {
        let (id, holds) = match self {
            Self::Posted(id) => (id, Vec::new()),
            Self::Drew(id, holds) => (id, holds),
            Self::Hold(hold, record) => return Some(Ok(Outcome::Hold(hold, record))),
            Self::State(record) => return Some(Ok(Outcome::State(record))),
            Self::Refused(refusal) => return Some(Err(refusal)),
            Self::Several(_) | Self::RefusedAt(..) => return None,
        };
        let transaction = posted.get(&id).cloned()?;
        Some(Ok(Outcome::Posted { transaction, holds }))
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
        for id in answer.transactions() {
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
    let posted: HashMap<_, _> = loaded.into_iter().map(|t| (t.id, t)).collect();
    let verdicts = answers
        .into_iter()
        .map(|answer| answer.verdict(&posted, epoch))
        .collect::<Option<Vec<_>>>();
    verdicts.ok_or_else(|| PgError::from(sqlx::Error::RowNotFound))
}
