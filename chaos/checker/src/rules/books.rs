//! The books at the end, by themselves: balanced, gapless, within limits, and the same in every view.

use std::collections::{BTreeMap, BTreeSet};

use super::holds::overdraws;
use crate::{
    history::{Account, Entry, Side, Transaction},
    index::Index,
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for transaction in &index.history.transactions {
        balanced(index, transaction, report);
        owned(index, transaction, report);
    }
    for account in &index.history.accounts {
        numbered(index, account, report);
        limits(index, account, report);
    }
    lists_agree(index, report);
    balances(index, report);
}

/// The amount as it changes an account with that normal side.
pub(crate) fn signed(normal: Side, side: Side, amount: i64) -> i64 {
    if normal == side {
        amount
    } else {
        amount.saturating_neg()
    }
}

fn balanced(index: &Index<'_>, transaction: &Transaction, report: &mut Report) {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in &transaction.entries {
        let asset = index
            .accounts
            .get(entry.account.as_str())
            .map_or("", |account| &account.asset);
        let sum = sums.entry(asset).or_default();
        *sum = sum.saturating_add(signed(Side::Debit, entry.side, entry.amount));
    }
    for (asset, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        report.add(
            Rule::Balanced,
            format!(
                "the debits of transaction {} less its credits make {sum} {asset}",
                transaction.id
            ),
            [],
            accounts_of(transaction),
        );
    }
}

fn owned(index: &Index<'_>, transaction: &Transaction, report: &mut Report) {
    for entry in &transaction.entries {
        let owner = index
            .accounts
            .get(entry.account.as_str())
            .map(|account| account.merchant.as_str());
        if owner != Some(transaction.merchant.as_str()) {
            report.add(
                Rule::Isolation,
                format!(
                    "transaction {} of merchant {} moves an account of {}",
                    transaction.id,
                    transaction.merchant,
                    owner.unwrap_or("nobody")
                ),
                [],
                [entry.account.as_str()],
            );
        }
    }
}

fn numbered(index: &Index<'_>, account: &Account, report: &mut Report) {
    let mut balance = 0_i64;
    for (expected, step) in (1..).zip(index.steps(&account.id)) {
        let entry = step.entry;
        if entry.sequence != expected {
            report.add(
                Rule::Gapless,
                format!(
                    "entry number {expected} has sequence {} ({})",
                    entry.sequence, entry.transaction
                ),
                step.calls.clone(),
                [&account.id],
            );
            // Each later one would be told off for the same gap.
            return;
        }
        balance = balance.saturating_add(signed(account.normal, entry.side, entry.amount));
        if entry.balance_after != balance {
            report.add(
                Rule::Chain,
                format!(
                    "entry {expected} ({}) leaves {} and not {balance}, which the entries up to it add up to",
                    entry.transaction, entry.balance_after
                ),
                step.calls.clone(),
                [&account.id],
            );
            return;
        }
    }
}

fn limits(index: &Index<'_>, account: &Account, report: &mut Report) {
    let steps = index.steps(&account.id);
    for (position, step) in steps.iter().enumerate() {
        // What a transaction passes through on its way is no state of the account.
        let next = steps.get(position.saturating_add(1));
        if next.is_some_and(|next| next.entry.transaction == step.entry.transaction) {
            continue;
        }
        let after = step.entry.balance_after;
        // A reversal may take back what was spent, and a hold has its own room: of those who come later, each may
        // only raise the balance.
        let exempt = step.entry.side == account.normal || step.entry.hold.is_some() || overdraws(index, step);
        if account.min.is_some_and(|min| after < min && !exempt) || account.max.is_some_and(|max| after > max)
        {
            let bound = |limit: Option<i64>| limit.map_or("any".to_owned(), |limit| limit.to_string());
            report.add(
                Rule::Limits,
                format!(
                    "entry {} ({}) leaves {after}, outside {} to {}",
                    step.entry.sequence,
                    step.entry.transaction,
                    bound(account.min),
                    bound(account.max)
                ),
                step.calls.clone(),
                [&account.id],
            );
        }
    }
}

/// Every entry stands once in its transaction and once in its account's list, the same in both.
fn lists_agree(index: &Index<'_>, report: &mut Report) {
    let history = index.history;
    if index.transactions.len() != history.transactions.len() {
        let mut seen = BTreeSet::new();
        for double in history.transactions.iter().filter(|one| !seen.insert(&one.id)) {
            report.add(
                Rule::Views,
                format!("transaction {} is listed twice", double.id),
                [],
                accounts_of(double),
            );
        }
        return;
    }
    let all = |entries: &mut dyn Iterator<Item = &Entry>| {
        let mut count: BTreeMap<String, (usize, Entry)> = BTreeMap::new();
        for entry in entries {
            let key = format!("{entry:?}");
            count.entry(key).or_insert_with(|| (0, entry.clone())).0 += 1;
        }
        count
    };
    let in_transactions = all(&mut history.transactions.iter().flat_map(|one| &one.entries));
    let in_accounts = all(&mut history.entries.iter());
    for (here, there, text) in [
        (
            &in_transactions,
            &in_accounts,
            "stands in its transaction but not so in its account's list",
        ),
        (
            &in_accounts,
            &in_transactions,
            "stands in its account's list but not so in its transaction",
        ),
    ] {
        for (key, (count, entry)) in here {
            if there.get(key).map(|(other, _)| other) != Some(count) {
                report.add(
                    Rule::Views,
                    format!("entry {} of {} {text}", entry.sequence, entry.transaction),
                    [],
                    [entry.account.as_str()],
                );
            }
        }
    }
}

/// The balances at the end sum to zero, and each is what its account's last entry says.
fn balances(index: &Index<'_>, report: &mut Report) {
    let shown: BTreeMap<_, _> = index
        .history
        .ledger_balances
        .iter()
        .map(|one| (one.account.as_str(), one))
        .collect();
    let mut sums: BTreeMap<_, (i64, Vec<(&str, String)>)> = BTreeMap::new();
    for account in &index.history.accounts {
        let (sum, wrong) = sums
            .entry((account.merchant.as_str(), account.asset.as_str()))
            .or_default();
        let last = index
            .steps(&account.id)
            .last()
            .map_or((0, 0), |step| (step.entry.sequence, step.entry.balance_after));
        let Some(shown) = shown.get(account.id.as_str()) else {
            wrong.push((&account.id, "the ledger shows no balance".to_owned()));
            continue;
        };
        *sum = sum.saturating_add(signed(Side::Debit, account.normal, shown.balance));
        if (shown.sequence, shown.balance) != last {
            let text = format!(
                "the ledger shows {} at sequence {}, the last entry {} at {}",
                shown.balance, shown.sequence, last.1, last.0
            );
            wrong.push((&account.id, text));
        }
    }
    for ((merchant, asset), (sum, wrong)) in sums {
        if sum == 0 {
            for (account, text) in wrong {
                report.add(Rule::Views, text, [], [account]);
            }
        } else {
            let mut text = format!("the balances of {asset} of {merchant} sum to {sum} and not to 0");
            for (account, detail) in &wrong {
                text.push_str(&format!("; {account}: {detail}"));
            }
            report.add(
                Rule::Conservation,
                text,
                [],
                wrong.into_iter().map(|(account, _)| account),
            );
        }
    }
}

fn accounts_of(transaction: &Transaction) -> impl Iterator<Item = &str> {
    transaction.entries.iter().map(|entry| entry.account.as_str())
}
