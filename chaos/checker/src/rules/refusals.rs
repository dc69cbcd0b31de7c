//! A refusal is an answer as well: it must have been right at some moment between question and answer.

use std::collections::BTreeMap;

use super::{books::signed, writes::accounts_of};
use crate::{
    history::{Outcome, Post, Request},
    index::{Index, Intent},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for intent in index.intents() {
        // An intent that was posted as well breaks another promise.
        if let (true, Some(reason)) = (intent.posted().is_empty(), intent.refusals().first())
            && !has_reason(index, intent, reason)
        {
            report.add(
                Rule::Refusal,
                format!(
                    "key {} was refused with {reason}, for which there was no reason",
                    intent.key
                ),
                intent.ids(),
                accounts_of(intent.post),
            );
        }
    }
    for call in &index.history.operations {
        if let (Request::Read(read), Outcome::Refused(reason)) = (&call.request, &call.outcome)
            && owns(index, &call.merchant, &read.account)
        {
            report.add(
                Rule::Refusal,
                format!("a merchant's read of its own account was refused with {reason}"),
                [call.id],
                [read.account.as_str()],
            );
        }
    }
}

fn owns(index: &Index<'_>, merchant: &str, account: &str) -> bool {
    index
        .accounts
        .get(account)
        .is_some_and(|account| account.merchant == merchant)
}

fn has_reason(index: &Index<'_>, intent: &Intent<'_>, reason: &str) -> bool {
    match reason {
        "INSUFFICIENT_FUNDS" => passes_a_limit(index, intent, |account, after| {
            account.min.is_some_and(|min| after < min)
        }),
        "BALANCE_LIMIT_EXCEEDED" => passes_a_limit(index, intent, |account, after| {
            account.max.is_some_and(|max| after > max)
        }),
        "UNKNOWN_ACCOUNT" => intent
            .post
            .lines
            .iter()
            .any(|line| !owns(index, intent.merchant, &line.account)),
        "REFERENCE_TAKEN" => index
            .transactions
            .values()
            .any(|other| other.merchant == intent.merchant && other.reference == intent.post.reference),
        // Traffic asks for nothing that deserves another one.
        _ => false,
    }
}

/// Whether, at some state that one of its accounts may have been in, the request would have left a limit.
fn passes_a_limit(
    index: &Index<'_>,
    intent: &Intent<'_>,
    beyond: impl Fn(&crate::Account, i64) -> bool,
) -> bool {
    let end = intent.end().unwrap_or(u64::MAX);
    changes(index, intent.post).into_iter().any(|(id, change)| {
        let Some(account) = index.accounts.get(id) else {
            return false;
        };
        let (least, most) = index.window(id, intent.start(), end);
        (least..=most).any(|sequence| {
            let before = index.balance_at(id, sequence);
            before.is_some_and(|before| beyond(account, before.saturating_add(change)))
        })
    })
}

/// By how much a request changes each account.
fn changes<'a>(index: &Index<'_>, post: &'a Post) -> BTreeMap<&'a str, i64> {
    let mut changes: BTreeMap<&str, i64> = BTreeMap::new();
    for line in &post.lines {
        if let Some(account) = index.accounts.get(line.account.as_str()) {
            let change = changes.entry(&line.account).or_default();
            *change = change.saturating_add(signed(account.normal, line.side, line.amount));
        }
    }
    changes
}
