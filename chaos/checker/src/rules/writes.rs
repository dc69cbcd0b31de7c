//! What was acknowledged stands, once and as it was said; what was refused left nothing; nobody else wrote.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Operation, Outcome, Post, Request, Transaction},
    index::{Content, Index, Intent},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for intents in index.keys.values() {
        one_request(intents, report);
        for intent in intents {
            same_answer(intent, report);
        }
    }
    let acknowledged = acknowledged(index, report);
    unacknowledged(index, &acknowledged, report);
    for call in &index.history.operations {
        if let Outcome::Unknown(reason) = &call.outcome
            && reason == "INTERNAL"
        {
            report.add(
                Rule::Fault,
                "a call was answered INTERNAL".to_owned(),
                [call.id],
                accounts(&[]),
            );
        }
    }
}

/// Of the requests that came with one key, one was taken and the others refused.
fn one_request(intents: &[Intent<'_>], report: &mut Report) {
    let answered: Vec<_> = intents.iter().filter(|intent| intent.takes_key()).collect();
    if let [first, _, ..] = answered.as_slice() {
        report.add(
            Rule::KeyReuse,
            format!(
                "{} different requests with key {} were answered",
                answered.len(),
                first.key
            ),
            answered.iter().flat_map(|intent| intent.ids()),
            answered.iter().flat_map(|intent| accounts_of(&intent.post)),
        );
    }
    for (position, intent) in intents.iter().enumerate() {
        let reused = intent.reused();
        let another = intents
            .iter()
            .enumerate()
            .any(|(other, sibling)| other != position && (sibling.is_answered() || sibling.has_unknown()));
        if !reused.is_empty() && !another {
            report.add(
                Rule::KeyReuse,
                format!(
                    "key {} was called another request's, but no other can have taken it",
                    intent.key
                ),
                reused,
                accounts_of(&intent.post),
            );
        }
    }
}

fn same_answer(intent: &Intent<'_>, report: &mut Report) {
    let mut answers: Vec<&Outcome> = Vec::new();
    for call in &intent.calls {
        if !matches!(call.outcome, Outcome::Unknown(_)) && !answers.contains(&&call.outcome) {
            answers.push(&call.outcome);
        }
    }
    if answers.len() > 1 {
        let told: Vec<_> = answers.iter().map(|answer| told(answer)).collect();
        report.add(
            Rule::SameAnswer,
            format!(
                "key {} with one request was answered: {}",
                intent.key,
                told.join(" – ")
            ),
            intent.ids(),
            accounts_of(&intent.post),
        );
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Posted { transaction, .. } => format!("posted {}", transaction.id),
        Outcome::Done(done) => format!("{done:?}"),
        Outcome::Balance(balance) => format!("balance {}", balance.balance),
        Outcome::Card(card) => format!("card {}", card.id),
        Outcome::Held(held) => format!("hold {}", held.hold.id),
        Outcome::State { account, state } => format!("{account} is {state:?}"),
        Outcome::Refused(reason) | Outcome::Unknown(reason) => reason.clone(),
    }
}

/// Each acknowledged transaction is there, as it was acknowledged and as it was asked for. Returns their ids.
fn acknowledged<'a>(index: &Index<'a>, report: &mut Report) -> BTreeSet<&'a str> {
    let mut owners: BTreeMap<&str, &Intent<'_>> = BTreeMap::new();
    for intent in index.intents() {
        for call in &intent.calls {
            let Some(id) = call.outcome.transaction() else {
                continue;
            };
            let owner = *owners.entry(id).or_insert(intent);
            if !std::ptr::eq(owner, intent) {
                report.add(
                    Rule::OneEffect,
                    format!(
                        "keys {} and {} were both answered with {id}",
                        owner.key, intent.key
                    ),
                    owner.ids().into_iter().chain(intent.ids()),
                    accounts_of(&intent.post),
                );
            }
            match index.transactions.get(id) {
                None => report.add(
                    Rule::LostWrite,
                    format!("transaction {id} was acknowledged and is not in the ledger"),
                    [call.id],
                    accounts_of(&intent.post),
                ),
                Some(found) => as_acknowledged(intent, call, found, report),
            }
        }
    }
    owners.into_keys().collect()
}

/// What a plain transaction's answer shows is what stands. What a trade's shows is judged elsewhere.
fn as_acknowledged(intent: &Intent<'_>, call: &Operation, found: &Transaction, report: &mut Report) {
    let Outcome::Posted {
        transaction,
        balances,
        ..
    } = &call.outcome
    else {
        return;
    };
    let (rule, text) = if found != transaction || !balances_hold(transaction, balances) {
        (Rule::ChangedWrite, "does not stand as it was acknowledged")
    } else if !is_asked(intent, found) || found.merchant != intent.merchant {
        (Rule::PartialWrite, "is not what was asked for")
    } else {
        return;
    };
    report.add(
        rule,
        format!("transaction {} {text}", transaction.id),
        [call.id],
        accounts_of(&intent.post),
    );
}

/// Whether a transaction is what an intent asked for. What captures and reversals must be is judged elsewhere.
fn is_asked(intent: &Intent<'_>, found: &Transaction) -> bool {
    if let Request::Command(command) = intent.request {
        return Some(found.kind) == command.kind() && found.reference == command.reference();
    }
    let asked = Post {
        releases: Vec::new(),
        ..intent.post.clone()
    };
    found.content() == asked
}

/// Whether the balances of an answer are those after the last entries of their accounts.
fn balances_hold(transaction: &Transaction, balances: &[crate::Balance]) -> bool {
    balances.iter().all(|balance| {
        let last = transaction
            .entries
            .iter()
            .rfind(|entry| entry.account == balance.account);
        last.is_some_and(|entry| (entry.sequence, entry.balance_after) == (balance.sequence, balance.balance))
    })
}

/// Each other transaction is the effect of one unanswered call.
fn unacknowledged(index: &Index<'_>, acknowledged: &BTreeSet<&str>, report: &mut Report) {
    let mut unexplained: BTreeMap<(&str, Content), Vec<&str>> = BTreeMap::new();
    for transaction in index.transactions.values() {
        if !acknowledged.contains(transaction.id.as_str()) {
            let content = index.content(transaction);
            unexplained
                .entry((&transaction.merchant, content))
                .or_default()
                .push(&transaction.id);
        }
    }
    let by_content = index.by_content();
    for ((merchant, content), ids) in unexplained {
        let asked = (merchant, content);
        let askers = by_content.get(&asked).map_or(&[][..], Vec::as_slice);
        let reference = asked.1.reference();
        if askers.iter().filter(|intent| index.is_open(intent)).count() >= ids.len() {
            continue;
        }
        let same_name = |intent: &&Intent<'_>| {
            !reference.is_empty()
                && (intent.merchant, intent.post.reference.as_str()) == (merchant, reference)
        };
        let (rule, what, calls): (_, _, Vec<u64>) = if askers
            .iter()
            .any(|intent| !intent.posted().is_empty() || index.is_open(intent))
        {
            let calls = askers.iter().flat_map(|intent| intent.ids()).collect();
            (Rule::OneEffect, "more than the keys that asked for it", calls)
        } else if askers.is_empty() {
            let named: Vec<_> = index.intents().filter(same_name).flat_map(Intent::ids).collect();
            if named.is_empty() {
                (Rule::UnaskedWrite, "which nobody asked for", named)
            } else {
                (
                    Rule::PartialWrite,
                    "which is not what was asked for under its reference",
                    named,
                )
            }
        } else {
            let calls = askers.iter().flat_map(|intent| intent.ids()).collect();
            (Rule::RefusedWrite, "although it was refused", calls)
        };
        report.add(
            rule,
            format!("the ledger has {}, {what}", ids.join(", ")),
            calls,
            match &asked.1 {
                Content::Lines(post) => accounts(&post.lines).collect(),
                Content::Capture { .. } | Content::Reversal { .. } => Vec::new(),
            },
        );
    }
}

pub(crate) fn accounts_of(post: &Post) -> impl Iterator<Item = &str> {
    accounts(&post.lines)
}

fn accounts(lines: &[crate::Line]) -> impl Iterator<Item = &str> {
    lines.iter().map(|line| line.account.as_str())
}
