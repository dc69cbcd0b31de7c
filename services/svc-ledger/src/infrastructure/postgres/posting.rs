//! One batch of commands in one PostgreSQL transaction.
//!
//! The order is the rule that keeps it right (`docs/ARCHITECTURE.md`, "The write path"): claim the sorted
//! keys → lock the accounts by rank and id → take the clock → load anew → decide in the domain, in order of
//! arrival → write set-wise → commit.

use std::collections::HashSet;

use jiff::Timestamp;
use ledger_domain::{Book, Command, Decision, Hold, Metadata, Refusal};
use lp_pg::{
    Database, PgError,
    idempotency::{Claim, Claimed, claim_answered},
};
use lp_types::{AccountId, HoldId, MerchantId, Reference, TransactionId, time::Clock};
use sqlx::{Connection as _, PgConnection, Postgres};

use super::{
    accounts::AccountRecord,
    assets,
    codes::corrupt,
    epoch,
    gathering::{Access, Gathered, Names, gather},
    holds,
    transactions::PostedTransaction,
    writing::{presumed, recorded, write},
};
use crate::failpoints::failpoint;

/// Commands that somebody wants carried out, in their order.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who wants it, under which key.
    pub claim: Claim,
    /// What: at least one.
    pub orders: Vec<Order>,
    /// Whether one that is refused refuses all.
    pub all_or_nothing: bool,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
}

/// One command, and what is noted on the transaction that it posts.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is to be done.
    pub command: Command,
    /// What is noted on it.
    pub terms: Terms,
    /// The id of the transaction that it posts, if it does: known before, so that the answer is.
    pub transaction: TransactionId,
}

/// What a merchant notes on a transaction.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// When it takes effect, where that is before it is posted.
    pub effective_at: Option<Timestamp>,
    /// Whatever else.
    pub metadata: Metadata,
}

/// What became of it: the first answer, or that answer again.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It was done, in this life of the ledger.
    Done {
        /// What each command did, or why it was refused alone.
        outcomes: Vec<Result<Outcome, Refusal>>,
        /// Which life of the ledger.
        epoch: i64,
    },
    /// The state of things forbade it, and nothing was done.
    Refused {
        /// The command that was refused, from 0.
        index: usize,
        /// Why.
        refusal: Refusal,
    },
    /// The key was used with another request.
    KeyReused,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It posted a transaction.
    Posted {
        /// What stands in the ledger.
        transaction: PostedTransaction,
        /// The holds that it drew on, as they stood afterwards.
        holds: Vec<Hold>,
    },
    /// It placed or ended a hold, on this account, as both stood afterwards.
    Hold(Hold, Box<AccountRecord>),
    /// It changed what may happen to an account.
    State(Box<AccountRecord>),
}

/// The poster's own connection, and what it has learned over it.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    /// Which life of the ledger; a restore, which raises it, ends every session.
    epoch: i64,
    assets: assets::Known,
}

impl Session {
    /// A session whose rows come free when its holder dies or hangs. Its statements touch few rows of tables that grow,
    /// whatever these held when they were planned: they go by the indexes, and are planned once.
    ///
    /// # Errors
    /// When PostgreSQL cannot be reached.
    pub async fn connect(database: &Database) -> lp_pg::Result<Self> {
        let mut connection = database.session().await?;
        sqlx::raw_sql(
            "SET idle_in_transaction_session_timeout = '1s'; SET lock_timeout = '2s'; SET tcp_user_timeout = '3s';
             SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET jit = off",
        )
        .execute(&mut connection)
        .await?;
        let epoch = epoch::read(&mut connection).await?;
        Ok(Self {
            connection,
            epoch,
            assets: assets::Known::default(),
        })
    }

    /// Accounts on which a hold's time is over, so many of them at most.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn due(&mut self, now: Timestamp, most: i64) -> lp_pg::Result<Vec<(MerchantId, AccountId)>> {
        holds::accounts_due(&mut self.connection, now, most).await
    }

    /// Carries out a batch, in order of arrival, with keys that are all different; and ends the holds on the accounts
    /// that are `due`, as it does on all that the batch touches. All is written and locked, and nothing stands before
    /// [`Prepared::commit`].
    ///
    /// # Errors
    /// When PostgreSQL fails: nothing was done.
    pub async fn prepare(
        &mut self,
        batch: &[&Wanted],
        due: &[(MerchantId, AccountId)],
        clock: &dyn Clock,
    ) -> lp_pg::Result<Prepared<'_>> {
        let epoch = self.epoch;
        let mut work = self.connection.begin().await?;
        let mut claims = Vec::with_capacity(batch.len());
        for wanted in batch {
            claims.push((&wanted.claim, presumed(wanted)?));
        }
        let claimed = if claims.is_empty() {
            Vec::new()
        } else {
            claim_answered(&mut work, &claims).await?
        };
        failpoint!("poster-after-claim");

        let first: Vec<&Wanted> = batch
            .iter()
            .zip(&claimed)
            .filter(|(_, c)| matches!(c, Claimed::First))
            .map(|(w, _)| *w)
            .collect();
        let fresh = if first.is_empty() && due.is_empty() {
            Vec::new()
        } else {
            let assets = &mut self.assets;
            let gathered = gather(&mut work, &first, due, Access::Lock, assets, clock).await?;
            failpoint!("poster-after-lock");
            let decided = decide(&first, gathered, epoch)?;
            write(&mut work, &first, &decided, assets).await?;
            decided.verdicts
        };
        let old = recorded(&mut work, batch, &claimed, epoch).await?;

        let (mut fresh, mut old) = (fresh.into_iter(), old.into_iter());
        let verdict = |claimed: &Claimed| match claimed {
            Claimed::First => fresh.next(),
            Claimed::Answered(_) => old.next(),
            // The ledger answers in the transaction that claims, so that nothing is ever pending.
            Claimed::Reused | Claimed::Pending => Some(Verdict::KeyReused),
        };
        let verdicts = claimed.iter().map(verdict).collect::<Option<Vec<_>>>();
        let verdicts = verdicts.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Prepared { work, verdicts })
    }
}

/// A batch that is decided and written.
#[derive(Debug)]
pub struct Prepared<'s> {
    work: sqlx::Transaction<'s, Postgres>,
    verdicts: Vec<Verdict>,
}

impl Prepared<'_> {
    /// Commits, and tells what became of each. Where the connection is lost meanwhile it is unknown: the same keys may
    /// be tried again.
    ///
    /// # Errors
    /// When PostgreSQL does not confirm it.
    pub async fn commit(self) -> lp_pg::Result<Vec<Verdict>> {
        failpoint!("poster-before-commit");
        self.work.commit().await?;
        failpoint!("poster-after-commit");
        Ok(self.verdicts)
    }
}

/// What would become of it now: nothing is locked, claimed or written.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn preview(database: &Database, wanted: &Wanted, clock: &dyn Clock) -> lp_pg::Result<Verdict> {
    let mut snapshot = database.snapshot().await?;
    let epoch = epoch::read(&mut snapshot).await?;
    let mut assets = assets::Known::default();
    let gathered = gather(&mut snapshot, &[wanted], &[], Access::Look, &mut assets, clock).await?;
    let decided = decide(&[wanted], gathered, epoch)?;
    let verdict = decided.verdicts.into_iter().next();
    verdict.ok_or_else(|| PgError::from(sqlx::Error::RowNotFound))
}

/// What a batch came to.
#[derive(Debug)]
pub(super) struct Decided {
    /// One for each that was wanted.
    pub(super) verdicts: Vec<Verdict>,
    /// What changed.
    pub(super) changes: Changes,
    /// All that was gathered, as it stands afterwards.
    pub(super) gathered: Gathered,
}

/// What a batch has to write beside its transactions.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) accounts: HashSet<AccountId>,
    pub(super) holds: HashSet<HoldId>,
    pub(super) new_holds: HashSet<HoldId>,
}

fn decide(wanted: &[&Wanted], mut gathered: Gathered, epoch: i64) -> lp_pg::Result<Decided> {
    let expired = gathered.book.expire(gathered.now).map_err(corrupt)?;
    let mut changes = Changes {
        holds: expired.into_iter().collect(),
        ..Changes::default()
    };
    let on = changes.holds.iter().filter_map(|id| gathered.book.hold(*id));
    changes.accounts = on.map(|hold| hold.account).collect();

    let mut verdicts = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let merchant = wanted.claim.caller.merchant;
        let Gathered { now, book, names, .. } = &mut gathered;
        let decisions = if wanted.all_or_nothing {
            let all = all_or_none(book, names, merchant, &wanted.orders, *now);
            all.map(|decisions| decisions.into_iter().map(Ok).collect())
        } else {
            let orders = wanted.orders.iter();
            Ok(orders
                .map(|order| one(book, names, merchant, order, *now))
                .collect::<Vec<_>>())
        };
        verdicts.push(match decisions {
            Err((index, refusal)) => Verdict::Refused { index, refusal },
            Ok(decisions) => {
                let mut outcomes = Vec::with_capacity(decisions.len());
                for (order, decision) in wanted.orders.iter().zip(decisions) {
                    outcomes.push(match decision {
                        Err(refusal) => Err(refusal),
                        Ok(decision) => {
                            changes.note(order, &decision);
                            Ok(gathered.outcome(merchant, order, decision)?)
                        }
                    });
                }
                Verdict::Done { outcomes, epoch }
            }
        });
    }
    Ok(Decided {
        verdicts,
        changes,
        gathered,
    })
}

fn one(
    book: &mut Book,
    names: &mut Names,
    merchant: MerchantId,
    order: &Order,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    names.take(merchant, order)?;
    let decision = book.decide(merchant, &order.command, now);
    if decision.is_err() {
        names.give_back(merchant, order);
    }
    decision
}

fn all_or_none(
    book: &mut Book,
    names: &mut Names,
    merchant: MerchantId,
    orders: &[Order],
    now: Timestamp,
) -> Result<Vec<Decision>, (usize, Refusal)> {
    let mut named = Vec::with_capacity(orders.len());
    let commands = orders.iter().map(|order| {
        names.take(merchant, order)?;
        named.push(order);
        Ok(&order.command)
    });
    let decisions = book.decide_all(merchant, commands, now);
    if decisions.is_err() {
        for order in named {
            names.give_back(merchant, order);
        }
    }
    decisions
}

impl Changes {
    fn note(&mut self, order: &Order, decision: &Decision) {
        match decision {
            Decision::Posted { entries, holds, .. } => {
                let accounts = entries.iter().map(|entry| entry.account);
                self.accounts
                    .extend(accounts.chain(holds.iter().map(|hold| hold.account)));
                self.holds.extend(holds.iter().map(|hold| hold.id));
            }
            Decision::Hold(hold) => {
                let written = match order.command {
                    Command::PlaceHold(..) => &mut self.new_holds,
                    _ => &mut self.holds,
                };
                written.insert(hold.id);
                self.accounts.insert(hold.account);
            }
            Decision::State(account, _) => {
                self.accounts.insert(*account);
            }
        }
    }
}

impl Gathered {
    fn outcome(&self, merchant: MerchantId, order: &Order, decision: Decision) -> lp_pg::Result<Outcome> {
        Ok(match decision {
            Decision::Posted {
                kind,
                reverses,
                posted_at,
                entries,
                holds,
            } => {
                let transaction = PostedTransaction {
                    id: order.transaction,
                    merchant,
                    kind,
                    reference: order.terms.reference.clone(),
                    reverses,
                    posted_at,
                    // One that would take effect later than it is posted takes effect when it is posted.
                    effective_at: order.terms.effective_at.filter(|at| *at < posted_at),
                    metadata: order.terms.metadata.clone(),
                    entries,
                };
                Outcome::Posted { transaction, holds }
            }
            Decision::Hold(hold) => {
                let record = self.record(hold.account)?;
                Outcome::Hold(hold, record)
            }
            Decision::State(account, _) => Outcome::State(self.record(account)?),
        })
    }

    /// An account as it stands now.
    fn record(&self, id: AccountId) -> lp_pg::Result<Box<AccountRecord>> {
        let record = self.records.get(&id).ok_or(sqlx::Error::RowNotFound)?;
        let account = self.book.get(id).ok_or(sqlx::Error::RowNotFound)?.clone();
        Ok(Box::new(AccountRecord {
            account,
            ..record.clone()
        }))
    }
}
