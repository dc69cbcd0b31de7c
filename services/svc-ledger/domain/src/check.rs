//! What holds in a sound ledger, judged from what stands in it, whoever wrote it.

use jiff::Timestamp;
use lp_types::{AccountId, MinorUnits};
use serde::{Deserialize, Serialize};

use crate::{Account, Direction};

/// What holds in a sound ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The debits of an asset are its credits.
    Conservation,
    /// An account's sums are those of its entries, and its debt is what lacks.
    Sums,
    /// An account's entries are numbered 1, 2, 3 … up to its sequence.
    Sequence,
    /// Each balance after an entry is the one before it and the entry's amount, and times do not go back.
    Chain,
    /// What an account reserves is what its open holds do.
    Holds,
    /// What entries draw from a hold is what was captured of it, and the hold is one of their account and side.
    Captures,
}

/// Something that cannot be in a sound ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: Rule,
    /// Where: an account or an asset.
    pub subject: String,
    /// What is there, and what should be.
    pub detail: String,
}

/// What is read of an account at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its row.
    pub account: Account,
    /// The highest number of its entries; 0 where there are none.
    pub last_entry: i64,
    /// What its open holds reserve for debits.
    pub open_debits: MinorUnits,
    /// What its open holds reserve for credits.
    pub open_credits: MinorUnits,
}

impl Standing {
    /// What is wrong with it, its entries apart.
    pub fn findings(&self) -> Vec<Finding> {
        let Self { account, .. } = self;
        let mut settled = account.clone();
        // Where the sums leave the range, the tally of the entries tells.
        let debt = settled.settle().map_or(account.debt, |()| settled.debt);
        let checks = [
            (
                Rule::Sequence,
                "its sequence",
                account.sequence,
                self.last_entry,
                "as its last entry is",
            ),
            (
                Rule::Holds,
                "what it reserves for debits",
                account.held_debits.get(),
                self.open_debits.get(),
                "as its open holds do",
            ),
            (
                Rule::Holds,
                "what it reserves for credits",
                account.held_credits.get(),
                self.open_credits.get(),
                "as its open holds do",
            ),
            (
                Rule::Sums,
                "its debt",
                account.debt.get(),
                debt.get(),
                "as its least balance lacks",
            ),
        ];
        checks
            .into_iter()
            .filter(|(_, _, there, should, _)| there != should)
            .map(|(rule, what, there, should, why)| Finding {
                rule,
                subject: account.id.to_string(),
                detail: format!("{what} is {there}, and should be {should}, {why}"),
            })
            .collect()
    }
}

/// An entry, as it stands in its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub sequence: i64,
    /// Its side.
    pub direction: Direction,
    /// How much it moves.
    pub amount: MinorUnits,
    /// The account's balance after it.
    pub balance_after: MinorUnits,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// Whether it draws on a hold that is none of its account and side.
    pub draws_elsewhere: bool,
}

/// What an account's entries come to, as far as they were read. It can be kept between two reads, since entries never
/// change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    account: AccountId,
    normal_balance: Direction,
    /// Number of the last entry when its row was read.
    last_entry: i64,
    /// As the row said.
    posted_debits: MinorUnits,
    posted_credits: MinorUnits,
    /// Number of the last entry that was there.
    read: i64,
    debits: i128,
    credits: i128,
    balance: MinorUnits,
    posted_at: Option<Timestamp>,
}

impl Tally {
    /// Of an account's entries, before the first.
    pub fn of(standing: &Standing) -> Self {
        let account = &standing.account;
        Self {
            account: account.id,
            normal_balance: account.account_type.normal_balance(),
            last_entry: standing.last_entry,
            posted_debits: account.posted_debits,
            posted_credits: account.posted_credits,
            read: 0,
            debits: 0,
            credits: 0,
            balance: MinorUnits::ZERO,
            posted_at: None,
        }
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The number of the last entry that belongs to it: what came later, its sums do not know.
    pub fn last_entry(&self) -> i64 {
        self.last_entry
    }

    /// The number of the last entry that was read.
    pub fn position(&self) -> i64 {
        self.read
    }

    /// Reads the next entry that is there, and tells what is wrong with it.
    pub fn read(&mut self, line: &Line) -> Vec<Finding> {
        let mut findings = Vec::new();
        let number = line.sequence;
        let expected = self.read.saturating_add(1);
        if number != expected {
            findings.push(self.finding(
                Rule::Sequence,
                format!(
                    "entry {number} comes after entry {}, and should be {expected}",
                    self.read
                ),
            ));
        }
        let amount = i128::from(line.amount.get());
        let sum = match line.direction {
            Direction::Debit => &mut self.debits,
            Direction::Credit => &mut self.credits,
        };
        *sum = sum.saturating_add(amount);
        let change = if line.direction == self.normal_balance {
            amount
        } else {
            amount.saturating_neg()
        };
        let after = i128::from(self.balance.get()).saturating_add(change);
        if i128::from(line.balance_after.get()) != after {
            findings.push(self.finding(
                Rule::Chain,
                format!(
                    "the balance after entry {number} is {}, and should be {after}",
                    line.balance_after
                ),
            ));
        }
        if let Some(before) = self.posted_at.filter(|before| line.posted_at < *before) {
            findings.push(self.finding(
                Rule::Chain,
                format!(
                    "entry {number} was posted at {}, and the one before it later, at {before}",
                    line.posted_at
                ),
            ));
        }
        if line.draws_elsewhere {
            findings.push(self.finding(
                Rule::Captures,
                format!("entry {number} draws on a hold that is none of its account and side"),
            ));
        }
        self.read = number;
        self.balance = line.balance_after;
        self.posted_at = Some(line.posted_at);
        findings
    }

    /// What is wrong with the account's sums, now that all of its entries were read.
    pub fn close(&self) -> Vec<Finding> {
        let sums = [
            ("debits", self.posted_debits, self.debits),
            ("credits", self.posted_credits, self.credits),
        ];
        sums.into_iter()
            .filter(|(_, there, should)| i128::from(there.get()) != *should)
            .map(|(side, there, should)| {
                self.finding(
                    Rule::Sums,
                    format!("its {side} are {there}, and should be {should}, as its entries are"),
                )
            })
            .collect()
    }

    fn finding(&self, rule: Rule, detail: String) -> Finding {
        Finding {
            rule,
            subject: self.account.to_string(),
            detail,
        }
    }
}
