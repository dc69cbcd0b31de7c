//! One batch of commands in one PostgreSQL transaction.
//!
//! The order is the rule that keeps it right (`docs/ARCHITECTURE.md`, "The write path"): claim the sorted
//! keys → lock the accounts by rank and id → take the clock → load anew → decide in the domain, in order of
//! arrival → write set-wise → commit.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use ledger_domain::{Asset, AssetKind, Book, Command, Decision, Hold, NewTransaction, Refusal};
use lp_pg::{
    PgError,
    idempotency::{Claim, Claimed, claim_all},
};
use lp_types::{AccountId, HoldId, MerchantId, Reference, TransactionId, time::Ambient};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{
    accounts::{self, AccountRecord},
    assets,
    codes::corrupt,
    holds,
    transactions::{self, PostedTransaction},
    writing::{recorded, write},
};

/// A command that somebody wants carried out.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who wants it, under which key.
    pub claim: Claim,
    /// What.
    pub command: Command,
    /// The merchant's own name for the transaction that it posts.
    pub reference: Option<Reference>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
}

/// What became of it: the first answer, or that answer again.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It was done, in this life of the ledger.
    Done {
        /// What stands since then.
        outcome: Outcome,
        /// Which life of the ledger.
        epoch: i64,
    },
    /// The state of things forbade it.
    Refused(Refusal),
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

/// Whose accounts a batch touches: pairs, as two columns.
#[derive(Debug, Default)]
struct Touched {
    merchants: Vec<Uuid>,
    accounts: Vec<Uuid>,
}

impl Touched {
    fn add(&mut self, merchant: Uuid, account: Uuid) {
        self.merchants.push(merchant);
        self.accounts.push(account);
    }

    fn extend(&mut self, pairs: Vec<(Uuid, Uuid)>) {
        for (merchant, account) in pairs {
            self.add(merchant, account);
        }
    }
}

/// Carries out a batch, in order of arrival, with keys that are all different; and ends the holds on the accounts that
/// are `due`, as it does on all that the batch touches. Either everything is committed and each gets its verdict, or
/// nothing was (or, where the connection was lost in the commit, it is unknown: the same keys may be tried again).
///
/// # Errors
/// When PostgreSQL fails.
pub async fn post_batch(
    connection: &mut PgConnection,
    batch: &[&Wanted],
    due: &[(MerchantId, AccountId)],
    epoch: i64,
    ambient: &Ambient,
) -> lp_pg::Result<Vec<Verdict>> {
    let mut work = connection.begin().await?;
    let claims: Vec<_> = batch.iter().map(|w| w.claim.clone()).collect();
    let claimed = if claims.is_empty() {
        Vec::new()
    } else {
        claim_all(&mut work, &claims).await?
    };

    let first: Vec<&Wanted> = batch
        .iter()
        .zip(&claimed)
        .filter(|(_, c)| matches!(c, Claimed::First))
        .map(|(w, _)| *w)
        .collect();
    let fresh = if first.is_empty() && due.is_empty() {
        Vec::new()
    } else {
        decide_and_write(&mut work, &first, due, epoch, ambient).await?
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
    due: &[(MerchantId, AccountId)],
    epoch: i64,
    ambient: &Ambient,
) -> lp_pg::Result<Vec<Verdict>> {
    let of_merchant = |w: &&Wanted| w.claim.caller.merchant.uuid();
    let (owners, named_holds): (Vec<Uuid>, Vec<Uuid>) = wanted
        .iter()
        .flat_map(|w| {
            w.command
                .named_holds()
                .into_iter()
                .map(move |h| (of_merchant(w), h.uuid()))
        })
        .unzip();
    let (reversers, reversed): (Vec<Uuid>, Vec<Uuid>) = wanted
        .iter()
        .filter_map(|w| Some((of_merchant(w), w.command.reversed()?.uuid())))
        .unzip();
    let mut touched = Touched::default();
    for wanted in wanted {
        for account in wanted.command.named_accounts() {
            touched.add(of_merchant(wanted), account.uuid());
        }
    }
    for (merchant, account) in due {
        touched.add(merchant.uuid(), account.uuid());
    }
    if !named_holds.is_empty() {
        touched.extend(holds::accounts_of(connection, &owners, &named_holds).await?);
    }
    if !reversed.is_empty() {
        touched.extend(transactions::accounts_of(connection, &reversers, &reversed).await?);
    }
    let assets = assets::of_accounts(connection, &touched.merchants, &touched.accounts).await?;
    add_points_accounts(&mut touched, wanted, &assets);
    accounts::lock(connection, &touched.merchants, &touched.accounts).await?;
    let now = ambient.clock.now();
    let records = accounts::load(connection, &touched.merchants, &touched.accounts).await?;

    let reserving: Vec<Uuid> = records
        .iter()
        .filter(|record| record.account.reserves())
        .map(|record| record.account.id.uuid())
        .collect();
    let standing = if named_holds.is_empty() && reserving.is_empty() {
        Vec::new()
    } else {
        holds::load(connection, &named_holds, &reserving, now).await?
    };
    let originals = if reversed.is_empty() {
        Vec::new()
    } else {
        transactions::originals(connection, &reversed).await?
    };
    let mut names = Names::taken(connection, wanted).await?;

    let points = assets.iter().filter_map(|(merchant, asset)| match asset.kind {
        AssetKind::Points(accounts) => Some((*merchant, asset.code.clone(), accounts)),
        AssetKind::Currency => None,
    });
    let mut book = Book::new(records.iter().map(|record| record.account.clone()), points)
        .with_holds(standing)
        .with_originals(originals);
    let expired = book.expire(now).map_err(corrupt)?;
    let mut batch = Batch {
        records: records
            .into_iter()
            .map(|record| (record.account.id, record))
            .collect(),
        changed_holds: expired.into_iter().collect(),
        ..Batch::default()
    };
    batch.changed_accounts.extend(
        batch
            .changed_holds
            .iter()
            .filter_map(|id| Some(book.hold(*id)?.account)),
    );
    let mut verdicts = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        verdicts.push(match decide(&mut book, &mut names, wanted, now) {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(decision) => Verdict::Done {
                outcome: batch.note(wanted, decision, &book, ambient)?,
                epoch,
            },
        });
    }
    write(connection, wanted, &verdicts, &batch, &book, &assets).await?;
    Ok(verdicts)
}

/// Adds the internal accounts that Earn and Burn reach through the asset.
fn add_points_accounts(touched: &mut Touched, wanted: &[&Wanted], assets: &[(MerchantId, Asset)]) {
    let points: HashMap<_, _> = assets
        .iter()
        .filter_map(|(merchant, asset)| match asset.kind {
            AssetKind::Points(points) => Some(((*merchant, &asset.code), points)),
            AssetKind::Currency => None,
        })
        .collect();
    for wanted in wanted {
        let merchant = wanted.claim.caller.merchant;
        let internal = match &wanted.command {
            Command::Post(NewTransaction::Earn { asset, .. }) => {
                points.get(&(merchant, asset)).map(|p| p.issuance)
            }
            Command::Post(NewTransaction::Burn { asset, .. }) => {
                points.get(&(merchant, asset)).map(|p| p.redemption)
            }
            _ => None,
        };
        if let Some(account) = internal {
            touched.add(merchant.uuid(), account.uuid());
        }
    }
}

/// References that are taken: of transactions, and of holds.
#[derive(Debug, Default)]
struct Names {
    transactions: HashSet<(MerchantId, Reference)>,
    holds: HashSet<(MerchantId, Reference)>,
}

impl Names {
    async fn taken(connection: &mut PgConnection, wanted: &[&Wanted]) -> lp_pg::Result<Self> {
        let of_transactions: Vec<_> = wanted
            .iter()
            .filter_map(|w| Some((w.claim.caller.merchant, w.reference.as_ref()?)))
            .collect();
        let (merchants, references): (Vec<_>, Vec<_>) = wanted
            .iter()
            .filter_map(|w| match &w.command {
                Command::PlaceHold(_, new) => Some((
                    w.claim.caller.merchant.uuid(),
                    new.reference.as_ref()?.as_str().to_owned(),
                )),
                _ => None,
            })
            .unzip();
        let of_holds = if references.is_empty() {
            Vec::new()
        } else {
            holds::taken_references(connection, &merchants, &references).await?
        };
        Ok(Self {
            transactions: transactions::taken_references(connection, &of_transactions).await?,
            holds: of_holds.into_iter().collect(),
        })
    }
}

fn decide(book: &mut Book, names: &mut Names, wanted: &Wanted, now: Timestamp) -> Result<Decision, Refusal> {
    let merchant = wanted.claim.caller.merchant;
    let (taken, reference) = match &wanted.command {
        Command::PlaceHold(_, new) => (&mut names.holds, &new.reference),
        _ => (&mut names.transactions, &wanted.reference),
    };
    let name = reference.clone().map(|reference| (merchant, reference));
    if let Some((_, reference)) = name.clone().filter(|name| taken.contains(name)) {
        return Err(Refusal::ReferenceTaken { reference });
    }
    let decision = book.decide(merchant, &wanted.command, now)?;
    taken.extend(name);
    Ok(decision)
}

/// What a batch has to write beside its transactions.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The accounts as they stood before.
    records: HashMap<AccountId, AccountRecord>,
    pub(super) changed_accounts: HashSet<AccountId>,
    pub(super) changed_holds: HashSet<HoldId>,
    pub(super) new_holds: HashSet<HoldId>,
}

impl Batch {
    /// Remembers what a decision changed, and makes its outcome.
    fn note(
        &mut self,
        wanted: &Wanted,
        decision: Decision,
        book: &Book,
        ambient: &Ambient,
    ) -> lp_pg::Result<Outcome> {
        match decision {
            Decision::Posted {
                kind,
                reverses,
                posted_at,
                entries,
                holds,
            } => {
                let accounts = entries.iter().map(|entry| entry.account);
                self.changed_accounts
                    .extend(accounts.chain(holds.iter().map(|hold| hold.account)));
                self.changed_holds.extend(holds.iter().map(|hold| hold.id));
                let transaction = PostedTransaction {
                    id: TransactionId::from_uuid(ambient.ids.uuid()),
                    merchant: wanted.claim.caller.merchant,
                    kind,
                    reference: wanted.reference.clone(),
                    reverses,
                    posted_at,
                    entries,
                };
                Ok(Outcome::Posted { transaction, holds })
            }
            Decision::Hold(hold) => {
                let written = match wanted.command {
                    Command::PlaceHold(..) => &mut self.new_holds,
                    _ => &mut self.changed_holds,
                };
                written.insert(hold.id);
                self.changed_accounts.insert(hold.account);
                let record = self.record(hold.account, book)?;
                Ok(Outcome::Hold(hold, record))
            }
            Decision::State(account, _) => {
                self.changed_accounts.insert(account);
                Ok(Outcome::State(self.record(account, book)?))
            }
        }
    }

    /// An account as it stands now.
    fn record(&self, id: AccountId, book: &Book) -> lp_pg::Result<Box<AccountRecord>> {
        let record = self.records.get(&id).ok_or(sqlx::Error::RowNotFound)?;
        let account = book.get(id).ok_or(sqlx::Error::RowNotFound)?.clone();
        Ok(Box::new(AccountRecord {
            account,
            ..record.clone()
        }))
    }
}
