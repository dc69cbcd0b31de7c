//! What a batch writes, and the answers that are made again from what was written under a key.

use std::collections::HashMap;

use ledger_domain::{Command, Hold, Refusal};
use lp_pg::{
    PgError,
    idempotency::{Claimed, correct_all},
};
use lp_types::{AssetCode, TransactionId};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{
    accounts::{self, AccountRecord},
    assets,
    codes::corrupt,
    holds,
    posting::{Decided, Order, Outcome, Verdict, Wanted},
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

fn json(recorded: &Recorded) -> lp_pg::Result<String> {
    serde_json::to_string(recorded).map_err(corrupt)
}

/// The answer of what is wanted if nothing comes in between: each order posts its transaction. What does no posting has
/// none before it is decided.
pub(super) fn presumed(wanted: &Wanted) -> lp_pg::Result<Option<String>> {
    let posted = |order: &Order| match order.command {
        Command::Post(_) | Command::Reverse(_) => Some(Recorded::Posted(order.transaction)),
        Command::PlaceHold(..) | Command::VoidHold(_) | Command::SetState(..) => None,
    };
    let presumed = match wanted.orders.as_slice() {
        [order] => posted(order),
        orders => orders
            .iter()
            .map(posted)
            .collect::<Option<_>>()
            .map(Recorded::Several),
    };
    presumed.as_ref().map(json).transpose()
}

/// Writes what was decided, set-wise.
pub(super) async fn write(
    connection: &mut PgConnection,
    wanted: &[&Wanted],
    decided: &Decided,
    assets: &assets::Known,
) -> lp_pg::Result<()> {
    let Decided {
        verdicts,
        changes,
        gathered,
    } = decided;
    let book = &gathered.book;
    let mut posted = Vec::new();
    let mut placed = Vec::new();
    let mut outbox = Vec::new();
    let mut answers = Vec::new();
    for (wanted, verdict) in wanted.iter().zip(verdicts) {
        if let Verdict::Done { outcomes, epoch } = verdict {
            for outcome in outcomes.iter().flatten() {
                match outcome {
                    Outcome::Posted { transaction, .. } => {
                        let exponent = |code: &AssetCode| {
                            let asset = assets.get(transaction.merchant, code);
                            asset.map_or(0, |asset| asset.exponent)
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
            let (answer, presumed) = (json(&recorded)?, presumed(wanted)?);
            if presumed.as_ref() != Some(&answer) {
                answers.push((&wanted.claim, answer));
            }
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
        correct_all(connection, &answers).await?;
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
    batch: &[&Wanted],
    claimed: &[Claimed],
    epoch: i64,
) -> lp_pg::Result<Vec<Verdict>> {
    let mut answers = Vec::new();
    let (mut merchants, mut ids) = (Vec::new(), Vec::new());
    for (wanted, claimed) in batch.iter().zip(claimed) {
        let Claimed::Answered(answer) = claimed else {
            continue;
        };
        let answer: Recorded = serde_json::from_value(answer.clone()).map_err(corrupt)?;
        for id in answer.transactions() {
            merchants.push(wanted.claim.caller.merchant.uuid());
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
