//! Reversals: what a transaction moved goes back where it came from, and never more of it.

use std::collections::BTreeMap;

use crate::{
    command::{Command, Shortfall},
    history::{Entry, Kind, Request, Side, Transaction},
    index::Index,
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    let mut by_original: BTreeMap<&str, Vec<&Transaction>> = BTreeMap::new();
    for transaction in index.transactions.values() {
        if let Some(original) = &transaction.reverses {
            by_original.entry(original).or_default().push(transaction);
        } else if transaction.kind == Kind::Reversal {
            add(
                report,
                Rule::ReversalOrigin,
                format!("{} reverses nothing", transaction.id),
                transaction,
            );
        }
        if transaction.kind == Kind::Capture {
            capture(index, transaction, report);
        }
    }
    for (id, reversals) in by_original {
        let Some(original) = index.transactions.get(id) else {
            for reversal in reversals {
                let text = format!("{} reverses {id}, which there is not", reversal.id);
                add(report, Rule::ReversalOrigin, text, reversal);
            }
            continue;
        };
        for reversal in &reversals {
            origin(index, original, reversal, report);
            asked(index, original, &reversals, reversal, report);
        }
        total(original, &reversals, report);
    }
}

fn add(report: &mut Report, rule: Rule, text: String, transaction: &Transaction) {
    let accounts = transaction.entries.iter().map(|entry| entry.account.as_str());
    report.add(rule, text, [], accounts);
}

/// The line of the original that an entry undoes.
fn line<'a>(original: &'a Transaction, entry: &Entry) -> Option<&'a Entry> {
    let place = usize::try_from(entry.reverses_line).ok()?.checked_sub(1)?;
    original.entries.get(place)
}

/// Each entry undoes a line on that line's account and on the other side; where an account owes what is missing, on that
/// account.
fn origin(index: &Index<'_>, original: &Transaction, reversal: &Transaction, report: &mut Report) {
    if original.kind == Kind::Reversal {
        let text = format!("{} reverses {}, which is a reversal", reversal.id, original.id);
        add(report, Rule::ReversalOrigin, text, reversal);
    }
    let debtor = index
        .causes(&reversal.id)
        .iter()
        .find_map(|request| match request {
            Request::Command(Command::Reverse {
                shortfall: Shortfall::Owe(debtor),
                ..
            }) => Some(debtor),
            _ => None,
        });
    for entry in &reversal.entries {
        let back = line(original, entry).is_some_and(|line| {
            let there = entry.account == line.account || Some(&entry.account) == debtor;
            there && entry.side != line.side
        });
        if !back {
            let text = format!(
                "entry {} of {} goes back to {}, from which line {} of {} did not come",
                entry.sequence, reversal.id, entry.account, entry.reverses_line, original.id
            );
            add(report, Rule::ReversalOrigin, text, reversal);
        }
    }
}

/// What all reversals undo of each line is at most the line.
fn total(original: &Transaction, reversals: &[&Transaction], report: &mut Report) {
    for (number, line) in (1..).zip(&original.entries) {
        let entries = reversals.iter().flat_map(|reversal| &reversal.entries);
        let undone = entries
            .filter(|entry| entry.reverses_line == number)
            .fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
        if undone > line.amount {
            let text = format!(
                "{undone} was undone of line {number} of {}, which moved {}",
                original.id, line.amount
            );
            add(report, Rule::ReversalTotal, text, original);
        }
    }
}

/// A reversal undoes what it was asked to: of a part exactly that, else all that was left.
fn asked(
    index: &Index<'_>,
    original: &Transaction,
    reversals: &[&Transaction],
    reversal: &Transaction,
    report: &mut Report,
) {
    let [Request::Command(Command::Reverse { part, .. })] = index.causes(&reversal.id) else {
        return;
    };
    let undone = match part {
        Some(part) => {
            let debits = reversal.entries.iter().filter(|entry| {
                let account = index.accounts.get(entry.account.as_str());
                entry.side == Side::Debit && account.is_some_and(|account| account.asset == part.asset)
            });
            let undone = debits.fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
            undone == part.amount
        }
        // After it nothing is left, so that whatever was reversed was so before.
        None => (1..).zip(&original.entries).all(|(number, line)| {
            let entries = reversals.iter().flat_map(|reversal| &reversal.entries);
            let sum = entries
                .filter(|entry| entry.reverses_line == number)
                .fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
            sum >= line.amount
        }),
    };
    if !undone {
        let text = format!(
            "{} undoes another part of {} than was asked",
            reversal.id, original.id
        );
        add(report, Rule::ReversalTotal, text, reversal);
    }
}

/// A capture takes what was asked from the hold's account, and gives it to the account that was named.
fn capture(index: &Index<'_>, transaction: &Transaction, report: &mut Report) {
    let causes = index.causes(&transaction.id);
    let is_asked = |request: &&Request| {
        let Request::Command(Command::Capture { hold, amount, to, .. }) = request else {
            return false;
        };
        let [from, into] = transaction.entries.as_slice() else {
            return false;
        };
        from.hold.as_ref() == Some(hold)
            && into.account == *to
            && from.amount == into.amount
            && amount.is_none_or(|amount| amount == from.amount)
    };
    if !causes.is_empty() && !causes.iter().any(is_asked) {
        let text = format!("capture {} is not what was asked for", transaction.id);
        add(report, Rule::PartialWrite, text, transaction);
    }
}
