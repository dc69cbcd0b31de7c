//! A refusal is an answer as well: it must have been right at some moment between question and answer.

use std::collections::BTreeMap;

use super::{books::signed, commands, writes::accounts_of};
use crate::{
    history::{Operation, Outcome, Post, Request},
    index::{Index, Intent, Rpc},
    reserved::Reserved,
    trade::{Key, Look, TenderKind, Trade},
    verdict::{Report, Rule},
    wanted,
};

pub(crate) fn check(index: &Index<'_>, reserved: &Reserved<'_>, report: &mut Report) {
    for intent in index.intents() {
        // An intent that was posted as well breaks another promise.
        if let (true, Some(reason)) = (intent.posted().is_empty(), intent.refusals().first())
            && !has_reason(index, reserved, intent, reason)
            && !commands::has_reason(index, reserved, intent, reason)
        {
            report.add(
                Rule::Refusal,
                format!(
                    "key {} was refused with {reason}, for which there was no reason",
                    intent.key
                ),
                intent.ids(),
                accounts_of(&intent.post),
            );
        }
    }
    for call in &index.history.operations {
        if let (Request::Look(look), Outcome::Refused(reason)) = (&call.request, &call.outcome)
            && !look_has_reason(index, call, look, reason)
        {
            report.add(
                Rule::Refusal,
                format!(
                    "a look at card {} was refused with {reason}, for which there was no reason",
                    look.key.card
                ),
                [call.id],
                [index.card_account(&look.key.card)],
            );
        }
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

fn has_reason(index: &Index<'_>, reserved: &Reserved<'_>, intent: &Intent<'_>, reason: &str) -> bool {
    let below = |account: &crate::Account, after| account.min.is_some_and(|min| after < min);
    let above = |account: &crate::Account, after| account.max.is_some_and(|max| after > max);
    match reason {
        "INSUFFICIENT_FUNDS" => {
            passes_a_limit(index, Some(reserved), intent, &lowest(index, &intent.post), below)
        }
        // What a purchase earns does not pay for it.
        "TENDER_REFUSED" => passes_a_limit(
            index,
            Some(reserved),
            intent,
            &takings(index, &intent.post),
            below,
        ),
        "BALANCE_LIMIT_EXCEEDED" => passes_a_limit(index, None, intent, &highest(index, &intent.post), above),
        "UNKNOWN_ACCOUNT" => intent
            .post
            .lines
            .iter()
            .any(|line| !owns(index, intent.merchant, &line.account)),
        "REFERENCE_TAKEN" => reference_is_taken(index, intent),
        "CARD_REFUSED" => may_refuse(index, &opened(intent), intent.start()),
        "WRONG_STATE" => may_be_sold(index, intent),
        "TENDERS_UNBALANCED" => {
            matches!(intent.request, Request::Trade(Trade::Purchase { amount, tenders, .. })
            if tenders.iter().fold(0_i64, |sum, tender| sum.saturating_add(tender.amount)) != *amount)
        }
        "POINTS_NOT_A_MULTIPLE" => is_no_multiple(index, intent),
        // Traffic asks for nothing that deserves another one.
        _ => false,
    }
}

fn reference_is_taken(index: &Index<'_>, intent: &Intent<'_>) -> bool {
    let Request::Trade(trade) = intent.request else {
        return index
            .transactions
            .values()
            .any(|other| other.merchant == intent.merchant && other.reference == intent.post.reference);
    };
    let end = intent.end().unwrap_or(u64::MAX);
    index.intents().any(|other| {
        let named = matches!(other.request, Request::Trade(one) if one.reference() == trade.reference());
        named && other.merchant == intent.merchant && other.key != intent.key && other.start() <= end
    })
}

fn opened<'a>(intent: &Intent<'a>) -> Vec<&'a Key> {
    match intent.request {
        Request::Trade(trade) => trade.opened(),
        _ => Vec::new(),
    }
}

/// Whether one of these cards was not opened by its own code and PIN, or not surely sold at that moment.
fn may_refuse(index: &Index<'_>, keys: &[&Key], at: u64) -> bool {
    keys.iter().any(|key| {
        let sold = index.intents().any(|intent| {
            let this =
                matches!(intent.request, Request::Trade(Trade::Sale { card, .. }) if *card == key.card);
            this && !intent.posted().is_empty() && intent.end().is_some_and(|end| end < at)
        });
        !key.opens || !sold
    })
}

/// Whether another sale of the card may have come first.
fn may_be_sold(index: &Index<'_>, intent: &Intent<'_>) -> bool {
    let Request::Trade(Trade::Sale { card, .. }) = intent.request else {
        return false;
    };
    let end = intent.end().unwrap_or(u64::MAX);
    index.intents().any(|other| {
        let same =
            matches!(other.request, Request::Trade(Trade::Sale { card: theirs, .. }) if theirs == card);
        same && other.key != intent.key && other.refusals().is_empty() && other.start() <= end
    })
}

fn is_no_multiple(index: &Index<'_>, intent: &Intent<'_>) -> bool {
    let Request::Trade(Trade::Purchase { tenders, .. }) = intent.request else {
        return false;
    };
    let programme = wanted::programme(index, intent.merchant);
    intent.rpc == Rpc::Purchase
        && tenders.iter().any(|tender| tender.kind == TenderKind::Points)
        && programme.is_some_and(|programme| wanted::burnt(programme, tenders).is_none())
}

fn look_has_reason(index: &Index<'_>, call: &Operation, look: &Look, reason: &str) -> bool {
    let owner = index
        .cards
        .get(look.key.card.as_str())
        .map(|card| card.merchant.as_str());
    let stranger = owner != Some(call.merchant.as_str());
    match reason {
        "CARD_REFUSED" => look.authorize && (stranger || may_refuse(index, &[&look.key], call.start)),
        "UNKNOWN_CARD" => !look.authorize && stranger,
        _ => false,
    }
}

/// Whether, at some state that one of its accounts may have been in, the request would have left a limit. Where
/// `reserved` is given, what holds keep is not there to be taken.
pub(super) fn passes_a_limit(
    index: &Index<'_>,
    reserved: Option<&Reserved<'_>>,
    intent: &Intent<'_>,
    changes: &BTreeMap<&str, i64>,
    beyond: impl Fn(&crate::Account, i64) -> bool,
) -> bool {
    let end = intent.end().unwrap_or(u64::MAX);
    changes.iter().any(|(id, change)| {
        let Some(account) = index.accounts.get(id) else {
            return false;
        };
        let (least, most) = index.window(id, intent.start(), end);
        (least..=most).any(|sequence| {
            let span = (intent.start(), end);
            let kept = reserved.map_or(0, |reserved| reserved.most_after(id, sequence, span));
            let before = index.balance_at(id, sequence);
            before.is_some_and(|before| beyond(account, before.saturating_sub(kept).saturating_add(*change)))
        })
    })
}

/// How far a request lowers each account at most on its way: limits hold after each entry.
fn lowest<'a>(index: &Index<'_>, post: &'a Post) -> BTreeMap<&'a str, i64> {
    on_the_way(index, post, i64::min)
}

/// How far it raises each account at most on its way.
fn highest<'a>(index: &Index<'_>, post: &'a Post) -> BTreeMap<&'a str, i64> {
    on_the_way(index, post, i64::max)
}

fn on_the_way<'a>(index: &Index<'_>, post: &'a Post, worse: fn(i64, i64) -> i64) -> BTreeMap<&'a str, i64> {
    let mut changes: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for line in &post.lines {
        if let Some(account) = index.accounts.get(line.account.as_str()) {
            let change = signed(account.normal, line.side, line.amount);
            // What a hold keeps is there for who draws on it.
            let change = if line.hold.is_some() {
                change.max(0)
            } else {
                change
            };
            let (now, extreme) = changes.entry(&line.account).or_insert((0, 0));
            *now = now.saturating_add(change);
            *extreme = worse(*extreme, *now);
        }
    }
    changes
        .into_iter()
        .map(|(account, (_, extreme))| (account, extreme))
        .collect()
}

/// How much a request takes from each account, whatever it gives back.
fn takings<'a>(index: &Index<'_>, post: &'a Post) -> BTreeMap<&'a str, i64> {
    let mut takings: BTreeMap<&str, i64> = BTreeMap::new();
    for line in &post.lines {
        let account = index.accounts.get(line.account.as_str());
        let change = account.map_or(0, |account| signed(account.normal, line.side, line.amount));
        let taking = takings.entry(&line.account).or_default();
        *taking = taking.saturating_add(change.min(0));
    }
    takings
}
