//! Checks a ledger against itself, in slices: each reads so much that it is short beside traffic, and what it reads in
//! several statements never changes.

use std::collections::BTreeMap;

use ledger_domain::{Finding, Rule, Tally};
use lp_pg::Database;
use lp_types::{AccountId, HoldId, MerchantId};
use serde::{Deserialize, Serialize};

use crate::infrastructure::postgres::{
    checks::{self, Drawn, Read, Stretch},
    trial_balance,
};

/// Accounts in one slice at most.
const ACCOUNTS: i64 = 500;
/// Entries and holds in one slice of several accounts at most.
const ROWS: i64 = 20_000;
/// Entries of one account that are read at once; one that has more is checked in slices of its own.
const ENTRIES: i64 = 10_000;
/// Holds on one account that are read at once, likewise.
const HOLDS: i64 = 1_000;

/// Where a check goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// With the accounts after this one; `None`: from the beginning.
    Accounts(Option<AccountId>),
    /// With the entries of an account after those that were read.
    Entries(Tally),
    /// With the holds on an account before this one.
    Holds(AccountId, Option<HoldId>),
}

/// What one slice found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong: of each rule and subject one finding, which says how many more there are.
    pub findings: Vec<Finding>,
    /// Accounts that were checked to their end.
    pub accounts: i64,
    /// Entries that were read.
    pub entries: i64,
    /// Where it goes on; none: all was checked.
    pub next: Option<Position>,
}

/// Checks the slice of the merchant's ledger at `position`.
///
/// # Errors
/// When the database fails.
pub async fn check(
    database: &Database,
    merchant: MerchantId,
    position: Position,
) -> lp_error::Result<Checked> {
    let mut slice = Slice {
        database,
        merchant,
        findings: Findings::default(),
        accounts: 0,
        entries: 0,
    };
    let next = match position {
        Position::Accounts(after) => {
            if after.is_none() {
                slice.conservation().await?;
            }
            slice.several(after).await?
        }
        Position::Entries(tally) => Some(slice.entries(tally).await?),
        Position::Holds(account, before) => Some(slice.holds(account, before).await?),
    };
    Ok(Checked {
        findings: slice.findings.into_list(),
        accounts: slice.accounts,
        entries: slice.entries,
        next,
    })
}

/// The first merchant after `after`.
///
/// # Errors
/// When the database fails.
pub async fn merchant_after(
    database: &Database,
    after: Option<MerchantId>,
) -> lp_error::Result<Option<MerchantId>> {
    let mut connection = database.acquire().await?;
    Ok(checks::merchant_after(&mut connection, after).await?)
}

/// How many accounts there are, of all merchants.
///
/// # Errors
/// When the database fails.
pub async fn count_accounts(database: &Database) -> lp_error::Result<i64> {
    let mut connection = database.acquire().await?;
    Ok(checks::count(&mut connection).await?)
}

struct Slice<'d> {
    database: &'d Database,
    merchant: MerchantId,
    findings: Findings,
    accounts: i64,
    entries: i64,
}

impl Slice<'_> {
    async fn conservation(&mut self) -> lp_error::Result<()> {
        let mut connection = self.database.acquire().await?;
        let assets = trial_balance::read(&mut connection, self.merchant, None).await?;
        for asset in assets.into_iter().filter(|asset| asset.difference != "0") {
            self.findings.add(Finding {
                rule: Rule::Conservation,
                subject: asset.asset.to_string(),
                detail: format!(
                    "its debits are {}, its credits {}, and should be equal",
                    asset.total.debits, asset.total.credits
                ),
            });
        }
        Ok(())
    }

    /// As many accounts as fit; or the beginning of one that is too large.
    async fn several(&mut self, after: Option<AccountId>) -> lp_error::Result<Option<Position>> {
        let mut connection = self.database.acquire().await?;
        let mut found = checks::accounts(
            &mut connection,
            self.merchant,
            after,
            ACCOUNTS,
            HOLDS.saturating_add(1),
        )
        .await?;
        let mut rows: i64 = 0;
        let fitting = found.iter().take_while(|read| {
            rows = rows
                .saturating_add(read.standing.last_entry)
                .saturating_add(read.holds);
            !is_large(read) && rows <= ROWS
        });
        let fitting = fitting.count();
        if fitting == 0 {
            drop(connection);
            let Some(large) = found.first() else {
                return Ok(None);
            };
            self.findings.extend(large.standing.findings());
            return Ok(Some(self.entries(Tally::of(&large.standing)).await?));
        }
        let is_all = fitting == found.len() && found.len() < usize::try_from(ACCOUNTS).unwrap_or(usize::MAX);
        found.truncate(fitting);

        let mut tallies = BTreeMap::new();
        let mut stretches = Vec::with_capacity(found.len());
        for read in &found {
            self.findings.extend(read.standing.findings());
            let tally = Tally::of(&read.standing);
            stretches.push(stretch(&tally));
            tallies.insert(tally.account(), tally);
        }
        for (account, line) in checks::entries(&mut connection, self.merchant, &stretches, None).await? {
            self.entries = self.entries.saturating_add(1);
            if let Some(tally) = tallies.get_mut(&account) {
                self.findings.extend(tally.read(&line));
            }
        }
        for tally in tallies.values() {
            self.findings.extend(tally.close());
        }
        let with_holds = found.iter().filter(|read| read.holds > 0);
        let with_holds: Vec<_> = with_holds.map(|read| read.standing.account.id).collect();
        for drawn in checks::holds(&mut connection, self.merchant, &with_holds, None, None).await? {
            self.findings.extend(misdrawn(&drawn));
        }
        self.accounts = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let last = found.last().map(|read| read.standing.account.id);
        Ok((!is_all).then_some(Position::Accounts(last)))
    }

    /// Entries of one account.
    async fn entries(&mut self, mut tally: Tally) -> lp_error::Result<Position> {
        let mut connection = self.database.acquire().await?;
        let page = [stretch(&tally)];
        let page = checks::entries(&mut connection, self.merchant, &page, Some(ENTRIES)).await?;
        self.entries = i64::try_from(page.len()).unwrap_or(i64::MAX);
        for (_, line) in &page {
            self.findings.extend(tally.read(line));
        }
        if self.entries == ENTRIES {
            return Ok(Position::Entries(tally));
        }
        self.findings.extend(tally.close());
        Ok(Position::Holds(tally.account(), None))
    }

    /// Holds on one account.
    async fn holds(&mut self, account: AccountId, before: Option<HoldId>) -> lp_error::Result<Position> {
        let mut connection = self.database.acquire().await?;
        let page = checks::holds(&mut connection, self.merchant, &[account], before, Some(ENTRIES)).await?;
        for drawn in &page {
            self.findings.extend(misdrawn(drawn));
        }
        let is_full = i64::try_from(page.len()).is_ok_and(|read| read == ENTRIES);
        if let Some(last) = page.last().filter(|_| is_full) {
            return Ok(Position::Holds(account, Some(last.hold)));
        }
        self.accounts = 1;
        Ok(Position::Accounts(Some(account)))
    }
}

/// Whether an account is checked in slices of its own.
fn is_large(read: &Read) -> bool {
    read.standing.last_entry > ENTRIES || read.holds > HOLDS
}

/// What is left of an account's entries.
fn stretch(tally: &Tally) -> Stretch {
    Stretch {
        account: tally.account(),
        after: tally.position(),
        last: tally.last_entry(),
    }
}

fn misdrawn(of: &Drawn) -> Option<Finding> {
    (of.captured != of.drawn).then(|| Finding {
        rule: Rule::Captures,
        subject: of.account.to_string(),
        detail: format!(
            "of hold {} {} was captured, and should be {}, as its entries draw",
            of.hold, of.captured, of.drawn
        ),
    })
}

/// Of each subject and rule the first finding, and how many more there are: what is wrong everywhere is told once.
#[derive(Debug, Default)]
struct Findings(BTreeMap<(String, Rule), (Finding, u64)>);

impl Findings {
    fn add(&mut self, finding: Finding) {
        let key = (finding.subject.clone(), finding.rule);
        self.0
            .entry(key)
            .and_modify(|(_, more)| *more = more.saturating_add(1))
            .or_insert((finding, 0));
    }

    fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn into_list(self) -> Vec<Finding> {
        let told = |(mut finding, more): (Finding, u64)| {
            if more > 0 {
                finding.detail.push_str(&format!("; {more} more like it"));
            }
            finding
        };
        self.0.into_values().map(told).collect()
    }
}
