//! Holds: what is reserved is there for its hold alone, once, until the hold ends.

use std::collections::BTreeMap;

use crate::{
    command::{Command, Hold, HoldState, Shortfall},
    history::{Account, Balance, Operation, Outcome, Request},
    index::{Index, Intent, Step},
    reserved::{Reserved, last_step},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, reserved: &Reserved<'_>, report: &mut Report) {
    let holds: BTreeMap<&str, &Hold> = index
        .history
        .holds
        .iter()
        .map(|hold| (hold.id.as_str(), hold))
        .collect();
    placed(index, &holds, report);
    for hold in holds.values() {
        captured(index, hold, report);
        ended(index, reserved.endings(&hold.id), hold, report);
    }
    for entry in &index.history.entries {
        if let Some(hold) = entry
            .hold
            .as_ref()
            .filter(|hold| !holds.contains_key(hold.as_str()))
        {
            report.add(
                Rule::HoldCaptures,
                format!("{} draws on hold {hold}, which there is not", entry.transaction),
                [],
                [&entry.account],
            );
        }
    }
    for account in &index.history.accounts {
        room(index, reserved, account, report);
    }
    available(index, reserved, report);
    answers(index, report);
}

/// Whether a request may leave an account below its least balance.
pub(crate) fn overdraws(index: &Index<'_>, step: &Step<'_>) -> bool {
    index.causes(&step.entry.transaction).iter().any(|request| {
        matches!(
            request,
            Request::Command(Command::Reverse {
                shortfall: Shortfall::Overdraw,
                ..
            })
        )
    })
}

/// What was acknowledged is there, once, as it was asked for; and nothing else is.
fn placed(index: &Index<'_>, holds: &BTreeMap<&str, &Hold>, report: &mut Report) {
    let mut owners: BTreeMap<&str, &Intent<'_>> = BTreeMap::new();
    let mut open: Vec<(&Intent<'_>, bool)> = Vec::new();
    for intent in index.intents() {
        let Request::Command(Command::Place { account, .. }) = intent.request else {
            continue;
        };
        let Some(held) = intent.held() else {
            if index.is_open(intent) {
                open.push((intent, false));
            }
            continue;
        };
        let id = held.hold.id.as_str();
        let accounts = [account.as_str()];
        let owner = *owners.entry(id).or_insert(intent);
        if !std::ptr::eq(owner, intent) {
            let calls = owner.ids().into_iter().chain(intent.ids());
            let text = format!(
                "keys {} and {} were both answered with hold {id}",
                owner.key, intent.key
            );
            report.add(Rule::OneEffect, text, calls, accounts);
        }
        match holds.get(id) {
            None => report.add(
                Rule::LostWrite,
                format!("hold {id} was acknowledged and is not in the ledger"),
                intent.ids(),
                accounts,
            ),
            Some(found) if !is_asked(intent, found) || !is_asked(intent, &held.hold) => report.add(
                Rule::PartialWrite,
                format!("hold {id} is not what was asked for"),
                intent.ids(),
                accounts,
            ),
            Some(_) => {}
        }
    }
    for hold in holds
        .values()
        .filter(|hold| !owners.contains_key(hold.id.as_str()))
    {
        match open
            .iter_mut()
            .find(|(intent, taken)| !taken && is_asked(intent, hold))
        {
            Some((_, taken)) => *taken = true,
            None => report.add(
                Rule::UnaskedWrite,
                format!("the ledger has hold {}, which nobody asked for", hold.id),
                [],
                [&hold.account],
            ),
        }
    }
}

fn is_asked(intent: &Intent<'_>, hold: &Hold) -> bool {
    matches!(intent.request, Request::Command(Command::Place { account, side, amount, expires_at, reference })
        if (account, side, amount, expires_at, reference)
            == (&hold.account, &hold.side, &hold.amount, &hold.expires_at, &hold.reference)
            && intent.merchant == hold.merchant)
}

/// What its captures add up to is what it says, and no more than it reserved.
fn captured(index: &Index<'_>, hold: &Hold, report: &mut Report) {
    let draws = || {
        let entries = index.history.entries.iter();
        entries.filter(|entry| entry.hold.as_ref() == Some(&hold.id))
    };
    let drawn = draws().fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
    let stranger = draws().find(|entry| entry.account != hold.account || entry.side != hold.side);
    let (left, whole) = (
        hold.amount.saturating_sub(hold.captured),
        hold.captured == hold.amount,
    );
    let remaining = if hold.state == HoldState::Open { left } else { 0 };
    let text = if drawn > hold.amount {
        format!("{drawn} was drawn on hold {} of {}", hold.id, hold.amount)
    } else if drawn != hold.captured {
        format!(
            "hold {} says that {} was captured, its entries say {drawn}",
            hold.id, hold.captured
        )
    } else if let Some(entry) = stranger {
        format!(
            "{} draws on hold {}, which is not its account's",
            entry.transaction, hold.id
        )
    } else if hold.remaining != remaining || whole != (hold.state == HoldState::Captured) {
        format!(
            "hold {} is {:?} with {} left of {left}",
            hold.id, hold.state, hold.remaining
        )
    } else {
        return;
    };
    report.add(Rule::HoldCaptures, text, [], [&hold.account]);
}

/// It ends once, in time, and nothing is drawn on it afterwards.
fn ended(index: &Index<'_>, endings: &[&Intent<'_>], hold: &Hold, report: &mut Report) {
    let clock = index.history.clock;
    let draws: Vec<&Step<'_>> = index
        .steps(&hold.account)
        .iter()
        .filter(|step| step.entry.hold.as_ref() == Some(&hold.id))
        .collect();
    let mut ends: Vec<&Intent<'_>> = Vec::new();
    let mut last = None;
    for intent in endings.iter().copied() {
        let transaction = intent.posted().first().copied();
        let at = match (intent.held(), transaction) {
            (Some(held), _) => held.balance.sequence,
            (None, Some(transaction)) => match last_step(index, &hold.account, transaction) {
                Some(sequence) => sequence,
                None => continue,
            },
            (None, None) => continue,
        };
        last = Some(last.map_or(at, |last: i64| last.min(at)));
        // What a transaction releases may have ended before.
        if matches!(intent.request, Request::Command(_)) {
            ends.push(intent);
        }
    }
    if let [first, second, ..] = ends.as_slice() {
        let text = format!(
            "hold {} was ended by keys {} and {}",
            hold.id, first.key, second.key
        );
        let calls = first.ids().into_iter().chain(second.ids());
        report.add(Rule::HoldEnd, text, calls, [&hold.account]);
    } else if last.is_some() && hold.state == HoldState::Open {
        let text = format!("hold {} was ended and is {:?}", hold.id, hold.state);
        let calls = ends.iter().flat_map(|intent| intent.ids());
        report.add(Rule::HoldEnd, text, calls, [&hold.account]);
    }
    for step in &draws {
        let (rule, text) = if last.is_some_and(|last| step.entry.sequence > last) {
            (Rule::HoldEnd, "after it had ended")
        } else if clock.is_over(hold.expires_at, step.span.start) {
            (Rule::HoldTime, "after its time was over")
        } else {
            continue;
        };
        let text = format!("{} draws on hold {} {text}", step.entry.transaction, hold.id);
        report.add(rule, text, step.calls.clone(), [&hold.account]);
    }
    let end = index.history.operations.iter().map(|call| call.end).max();
    if hold.state == HoldState::Expired && end.is_some_and(|end| !clock.may_be_over(hold.expires_at, end)) {
        let text = format!("hold {} expired before its time was over", hold.id);
        report.add(Rule::HoldTime, text, [], [&hold.account]);
    }
}

/// After each entry that takes, what is reserved is still there above the least balance.
fn room(index: &Index<'_>, reserved: &Reserved<'_>, account: &Account, report: &mut Report) {
    let Some(min) = account.min else { return };
    for step in index.steps(&account.id) {
        let entry = step.entry;
        if entry.side == account.normal || entry.hold.is_some() || overdraws(index, step) {
            continue;
        }
        let held = reserved.least_at(&account.id, entry.sequence);
        if held > 0 && entry.balance_after.saturating_sub(held) < min {
            report.add(
                Rule::HoldRoom,
                format!(
                    "entry {} ({}) leaves {}, of which holds reserve {held}",
                    entry.sequence, entry.transaction, entry.balance_after
                ),
                step.calls.clone(),
                [&account.id],
            );
        }
    }
}

/// Whatever is told to be available is the balance less what holds reserved at that moment; and nothing is reserved
/// that is not there.
fn available(index: &Index<'_>, reserved: &Reserved<'_>, report: &mut Report) {
    let mut shown = |balance: &Balance, span: (u64, u64), own: Option<(&str, bool)>, calls: Vec<u64>| {
        let Some(available) = balance.available else {
            return;
        };
        let held = balance.balance.saturating_sub(available);
        if !reserved.may_be(&balance.account, balance.sequence, span, own, held) {
            let text = format!(
                "{available} of {} was said to be available at sequence {}: no holds reserved {held} then",
                balance.balance, balance.sequence
            );
            report.add(Rule::Available, text, calls, [&balance.account]);
        }
    };
    for Operation {
        id,
        start,
        end,
        outcome,
        ..
    } in &index.history.operations
    {
        if let Outcome::Balance(balance) = outcome {
            shown(balance, (*start, *end), None, vec![*id]);
        }
    }
    let rest = index.history.operations.iter().map(|call| call.end).max();
    for balance in &index.history.ledger_balances {
        // Looked at after the last call.
        shown(
            balance,
            (rest.map_or(0, |rest| rest.saturating_add(1)), u64::MAX),
            None,
            Vec::new(),
        );
    }
    for intent in index.intents() {
        if let (Some(held), Some(end)) = (intent.held(), intent.end()) {
            let own = (held.hold.id.as_str(), held.hold.state == HoldState::Open);
            shown(&held.balance, (intent.start(), end), Some(own), intent.ids());
        }
    }
    for intent in index.intents() {
        let Some(held) = intent.held() else { continue };
        let min = index
            .accounts
            .get(held.hold.account.as_str())
            .and_then(|account| account.min);
        let placed = matches!(intent.request, Request::Command(Command::Place { .. }));
        if let (Some(min), Some(available), true) = (min, held.balance.available, placed)
            && available < min
        {
            let text = format!("hold {} was placed where it leaves {available}", held.hold.id);
            report.add(Rule::HoldRoom, text, intent.ids(), [&held.hold.account]);
        }
    }
}

/// What answers say of holds is what had been captured by then; where they read the account, they are reads of it.
fn answers(index: &Index<'_>, report: &mut Report) {
    for call in &index.history.operations {
        let Outcome::Posted {
            transaction, holds, ..
        } = &call.outcome
        else {
            continue;
        };
        for hold in holds {
            let Some(last) = last_step(index, &hold.account, &transaction.id) else {
                continue;
            };
            let steps = index.steps(&hold.account).iter();
            let drawn = steps
                .filter(|step| step.entry.sequence <= last && step.entry.hold.as_ref() == Some(&hold.id))
                .fold(0_i64, |sum, step| sum.saturating_add(step.entry.amount));
            if drawn != hold.captured {
                let text = format!(
                    "{} was answered with {} captured of hold {}, and it was {drawn}",
                    transaction.id, hold.captured, hold.id
                );
                report.add(Rule::HoldCaptures, text, [call.id], [&hold.account]);
            }
        }
    }
}
