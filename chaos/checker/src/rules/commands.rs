//! The reasons for which the ledger may refuse to hold, to capture, to reverse, and to move what is frozen.

use std::collections::{BTreeMap, BTreeSet};

use super::{refusals::passes_a_limit, states};
use crate::{
    command::{Command, Hold, Shortfall, State},
    history::{Account, Kind, Request, Transaction},
    index::{Index, Intent},
    reserved::{Reserved, ended_by},
};

/// Whether there was this reason at some moment between question and answer.
pub(super) fn has_reason(
    index: &Index<'_>,
    reserved: &Reserved<'_>,
    intent: &Intent<'_>,
    reason: &str,
) -> bool {
    let end = intent.end().unwrap_or(u64::MAX);
    let in_state = |state| {
        let all = states::by_account(index);
        accounts(index, intent).iter().any(|account| {
            let changes = all.get(account.as_str());
            changes.is_some_and(|changes| states::may_be(changes, state, intent.start(), end))
        })
    };
    match (reason, intent.request) {
        ("ACCOUNT_FROZEN", _) => in_state(State::Frozen),
        ("ACCOUNT_CLOSED", _) => in_state(State::Closed),
        ("HOLD_NOT_OPEN", _) => holds(index, intent)
            .iter()
            .any(|hold| may_have_ended(index, reserved, intent, hold, end)),
        ("HOLD_EXCEEDED", _) => holds(index, intent)
            .iter()
            .any(|hold| is_exceeded(index, intent, hold, end)),
        ("REFERENCE_TAKEN", Request::Command(Command::Place { reference, .. })) => {
            let holds = index.history.holds.iter();
            holds
                .filter(|hold| hold.merchant == intent.merchant)
                .any(|hold| hold.reference == *reference)
        }
        ("INVALID_FIELD", Request::Command(Command::Place { expires_at, .. })) => {
            index.history.clock.may_be_over(*expires_at, end)
        }
        ("INSUFFICIENT_FUNDS", Request::Command(command)) => {
            let below = |account: &Account, after| account.min.is_some_and(|min| after < min);
            passes_a_limit(
                index,
                Some(reserved),
                intent,
                &at_worst(index, command, true),
                below,
            )
        }
        ("BALANCE_LIMIT_EXCEEDED", Request::Command(command)) => {
            let above = |account: &Account, after| account.max.is_some_and(|max| after > max);
            passes_a_limit(index, None, intent, &at_worst(index, command, false), above)
        }
        ("ACCOUNT_NOT_EMPTY", Request::Command(Command::SetState { account, .. })) => {
            let (least, most) = index.window(account, intent.start(), end);
            (least..=most).any(|sequence| {
                let held = reserved.most_after(account, sequence, (intent.start(), end));
                held != 0 || index.balance_at(account, sequence) != Some(0)
            })
        }
        (
            _,
            Request::Command(Command::Reverse {
                transaction, part, ..
            }),
        ) => {
            let Some(original) = index.transactions.get(transaction.as_str()) else {
                return reason == "NOT_FOUND";
            };
            let known = index.intents().any(|other| {
                let posted = other.posted().contains(transaction.as_str());
                posted && other.end().is_some_and(|by| by < intent.start())
            });
            let undone = may_be_undone(index, original, end);
            match (reason, part) {
                ("NOT_FOUND", _) => original.merchant != intent.merchant || !known,
                ("ASSET_MISMATCH", Some(part)) => !original.entries.iter().any(|line| {
                    let account = index.accounts.get(line.account.as_str());
                    account.is_some_and(|account| account.asset == part.asset)
                }),
                ("NOT_REVERSIBLE", _) => original.kind == Kind::Reversal,
                ("ALREADY_REVERSED", _) => (1..)
                    .zip(&original.entries)
                    .all(|(number, line)| undone.get(&number).is_some_and(|sum| *sum >= line.amount)),
                // Both sides of an asset are undone alike, so that any line tells whether there is too little.
                ("REVERSAL_EXCEEDED", Some(part)) => {
                    let of_asset = (1..).zip(&original.entries).filter(|(_, line)| {
                        let account = index.accounts.get(line.account.as_str());
                        account.is_some_and(|account| account.asset == part.asset)
                    });
                    let (mut moved, mut back) = (0_i64, 0_i64);
                    for (number, line) in of_asset {
                        moved = moved.saturating_add(line.amount);
                        back = back.saturating_add(undone.get(&number).copied().unwrap_or(0));
                    }
                    // Twice, over both sides.
                    back.saturating_add(part.amount.saturating_mul(2)) > moved
                }
                _ => false,
            }
        }
        ("NOT_FOUND" | "UNKNOWN_HOLD", _) => {
            let named = named_holds(intent);
            let own = holds(index, intent).into_iter();
            let known = own
                .filter(|hold| hold.merchant == intent.merchant)
                .filter(|hold| {
                    index.intents().any(|other| {
                        let placed = matches!(other.request, Request::Command(Command::Place { .. }));
                        let this = other.held().is_some_and(|held| held.hold.id == hold.id);
                        placed && this && other.end().is_some_and(|by| by < intent.start())
                    })
                });
            known.count() < named.len()
        }
        _ => false,
    }
}

/// The accounts that a request touches.
fn accounts(index: &Index<'_>, intent: &Intent<'_>) -> Vec<String> {
    let held = holds(index, intent).into_iter().map(|hold| hold.account.clone());
    let mut accounts: Vec<String> = held.collect();
    match intent.request {
        Request::Command(Command::Place { account, .. } | Command::SetState { account, .. }) => {
            accounts.push(account.clone());
        }
        Request::Command(Command::Capture { to, .. }) => accounts.push(to.clone()),
        Request::Command(Command::Reverse {
            transaction,
            shortfall,
            ..
        }) => {
            let original = index.transactions.get(transaction.as_str());
            let entries = original.into_iter().flat_map(|original| &original.entries);
            accounts.extend(entries.map(|entry| entry.account.clone()));
            if let Shortfall::Owe(debtor) = shortfall {
                accounts.push(debtor.clone());
            }
        }
        _ => accounts.extend(intent.post.lines.iter().map(|line| line.account.clone())),
    }
    accounts
}

/// The ids of the holds that a request names.
fn named_holds<'i>(intent: &'i Intent<'_>) -> BTreeSet<&'i str> {
    let mut named: BTreeSet<&str> = ended_by(intent.request).into_iter().collect();
    if let Request::Command(Command::Capture { hold, .. }) = intent.request {
        named.insert(hold);
    }
    named.extend(intent.post.lines.iter().filter_map(|line| line.hold.as_deref()));
    named
}

/// The holds that a request names.
fn holds<'a>(index: &Index<'a>, intent: &Intent<'_>) -> Vec<&'a Hold> {
    let named = named_holds(intent);
    let all = index.history.holds.iter();
    all.filter(|hold| named.contains(hold.id.as_str())).collect()
}

/// What may have been drawn on a hold until a moment.
fn may_be_drawn(index: &Index<'_>, hold: &Hold, end: u64) -> i64 {
    let steps = index.steps(&hold.account).iter();
    let drawn = steps.filter(|step| step.entry.hold.as_ref() == Some(&hold.id) && step.span.start <= end);
    drawn.fold(0, |sum, step| sum.saturating_add(step.entry.amount))
}

fn may_have_ended(
    index: &Index<'_>,
    reserved: &Reserved<'_>,
    own: &Intent<'_>,
    hold: &Hold,
    end: u64,
) -> bool {
    let ended = reserved.endings(&hold.id).iter().copied().any(|intent| {
        let other = !std::ptr::eq(intent, own);
        let effective = intent.is_done() || index.is_open(intent);
        other && effective && intent.start() <= end
    });
    ended
        || index.history.clock.may_be_over(hold.expires_at, end)
        || may_be_drawn(index, hold, end) >= hold.amount
}

fn is_exceeded(index: &Index<'_>, intent: &Intent<'_>, hold: &Hold, end: u64) -> bool {
    let asked = match intent.request {
        Request::Command(Command::Capture { amount, .. }) => amount.unwrap_or(0),
        _ => {
            let lines = intent.post.lines.iter();
            let own = lines.filter(|line| line.hold.as_ref() == Some(&hold.id));
            own.fold(0_i64, |sum, line| sum.saturating_add(line.amount))
        }
    };
    may_be_drawn(index, hold, end).saturating_add(asked) > hold.amount
}

/// How far a command may lower, or raise, each account at most.
fn at_worst<'a>(index: &'a Index<'_>, command: &'a Command, lower: bool) -> BTreeMap<&'a str, i64> {
    let sign = if lower { -1 } else { 1 };
    let mut changes: BTreeMap<&str, i64> = BTreeMap::new();
    let mut change = |account: &'a str, amount: i64| {
        let sum = changes.entry(account).or_default();
        *sum = sum.saturating_add(amount.saturating_mul(sign));
    };
    match command {
        Command::Place { account, amount, .. } => change(account, *amount),
        Command::Capture { hold, amount, to, .. } => {
            let whole = index.history.holds.iter().find(|one| one.id == *hold);
            change(to, amount.or(whole.map(|hold| hold.amount)).unwrap_or(0));
        }
        Command::Reverse {
            transaction,
            shortfall,
            ..
        } => {
            let original = index.transactions.get(transaction.as_str());
            for line in original.into_iter().flat_map(|original| &original.entries) {
                change(&line.account, line.amount);
                if let Shortfall::Owe(debtor) = shortfall {
                    change(debtor, line.amount);
                }
            }
        }
        Command::Void { .. } | Command::SetState { .. } => {}
    }
    changes
}

/// What may have been undone of each line until a moment.
fn may_be_undone(index: &Index<'_>, original: &Transaction, end: u64) -> BTreeMap<i32, i64> {
    let mut undone: BTreeMap<i32, i64> = BTreeMap::new();
    let entries = index
        .transactions
        .values()
        .filter(|one| one.reverses.as_ref() == Some(&original.id));
    for reversal in entries {
        for entry in &reversal.entries {
            let steps = index.steps(&entry.account).iter();
            let begun = steps
                .filter(|step| step.span.start <= end)
                .any(|step| step.entry.sequence == entry.sequence);
            if begun {
                let sum = undone.entry(entry.reverses_line).or_default();
                *sum = sum.saturating_add(entry.amount);
            }
        }
    }
    undone
}
