//! Cards: their value is their ledger account's, they are sold once, and only their own code opens them.

use std::collections::BTreeMap;

use crate::{
    history::{Operation, Outcome, Request, Role, Side},
    index::{Index, Intent},
    trade::{Card, Done, Key, Look, Trade},
    verdict::{Report, Rule},
    wanted,
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for card in &index.history.cards {
        equals_ledger(index, card, report);
        sold_once(index, card, report);
    }
    one_code_each(index, report);
    for call in &index.history.operations {
        match (&call.request, &call.outcome) {
            (Request::Look(look), Outcome::Card(seen)) => look_holds(index, call, look, seen, report),
            (Request::Trade(trade), Outcome::Done(_)) => opened(index, call, &trade.opened(), report),
            _ => {}
        }
    }
    liability(index, report);
}

fn equals_ledger(index: &Index<'_>, card: &Card, report: &mut Report) {
    let mut broken = |text| report.add(Rule::CardEqualsLedger, text, [], [card.account.as_str()]);
    let held = index
        .history
        .ledger_balances
        .iter()
        .find(|one| one.account == card.account)
        .map_or(0, |one| one.balance);
    if held != card.balance {
        broken(format!(
            "card {} shows {}, its account holds {held}",
            card.id, card.balance
        ));
    }
    let beyond = index
        .steps(&card.account)
        .iter()
        .map(|step| step.entry)
        .find(|entry| entry.balance_after < 0 || entry.balance_after > card.face_value);
    if let Some(entry) = beyond {
        broken(format!(
            "card {} of {} held {} after {}",
            card.id, card.face_value, entry.balance_after, entry.transaction
        ));
    }
}

fn sold_once(index: &Index<'_>, card: &Card, report: &mut Report) {
    let loads: Vec<_> = index
        .steps(&card.account)
        .iter()
        .filter(|step| step.entry.side == Side::Credit)
        .collect();
    let acknowledged = index.intents().filter(|intent| {
        let this =
            matches!(intent.request, Request::Trade(Trade::Sale { card: sold, .. }) if *sold == card.id);
        this && !intent.posted().is_empty()
    });
    let calls: Vec<_> = acknowledged.flat_map(Intent::ids).collect();
    let text = match (card.state.as_str(), loads.as_slice()) {
        ("ACTIVE", [sale]) if sale.entry.amount == card.face_value => return,
        ("ACTIVE", [sale]) => format!(
            "card {} was sold for {}, its account was given {}",
            card.id, card.face_value, sale.entry.amount
        ),
        ("ISSUED", []) if calls.is_empty() => return,
        (state, loads) => {
            let ids: Vec<_> = loads.iter().map(|step| step.entry.transaction.as_str()).collect();
            format!(
                "card {} is {state} and its account was given value {} times ({})",
                card.id,
                loads.len(),
                ids.join(", ")
            )
        }
    };
    report.add(Rule::CardSoldOnce, text, calls, [card.account.as_str()]);
}

/// A key makes one card, a card has one code, and a code one card.
fn one_code_each(index: &Index<'_>, report: &mut Report) {
    let mut by_card: BTreeMap<&str, (&Intent<'_>, &str)> = BTreeMap::new();
    let mut by_secret: BTreeMap<&str, &str> = BTreeMap::new();
    for intent in index.intents() {
        for call in &intent.calls {
            let Outcome::Done(Done::Issued { card, secret }) = &call.outcome else {
                continue;
            };
            let (first, known) = *by_card.entry(card).or_insert((intent, secret));
            let owner = *by_secret.entry(secret).or_insert(card);
            if !std::ptr::eq(first, intent) || known != secret || owner != card {
                report.add(
                    Rule::CardSoldOnce,
                    format!("card {card} was made by two keys, or shares its code with card {owner}"),
                    first.ids().into_iter().chain([call.id]),
                    [index.card_account(card)],
                );
            }
        }
    }
}

fn look_holds(index: &Index<'_>, call: &Operation, look: &Look, seen: &Card, report: &mut Report) {
    let account = index.card_account(&look.key.card);
    let mut broken = |rule, text| report.add(rule, text, [call.id], [account]);
    let owner = index
        .cards
        .get(look.key.card.as_str())
        .map(|card| card.merchant.as_str());
    if owner != Some(call.merchant.as_str()) {
        broken(
            Rule::Isolation,
            format!("merchant {} was shown another's card", call.merchant),
        );
    }
    if look.authorize && !look.key.opens {
        broken(
            Rule::CardSecret,
            format!("card {} was opened by a code or PIN that is not its own", seen.id),
        );
    }
    let (least, most) = index.window(account, call.start, call.end);
    let held = (least..=most).any(|at| index.balance_at(account, at) == Some(seen.balance));
    // Before it is sold a card has no account.
    if !held || seen.id != look.key.card {
        broken(
            Rule::CardRead,
            format!(
                "card {} showed {}, which its account did not hold between sequence {least} and {most}",
                seen.id, seen.balance
            ),
        );
    }
}

fn opened(index: &Index<'_>, call: &Operation, keys: &[&Key], report: &mut Report) {
    for key in keys.iter().filter(|key| !key.opens) {
        report.add(
            Rule::CardSecret,
            format!(
                "card {} was spent with a code or PIN that is not its own",
                key.card
            ),
            [call.id],
            [index.card_account(&key.card)],
        );
    }
}

/// What a merchant owes to the holders of its cards, as the tills' answers have it and as the ledger has it.
fn liability(index: &Index<'_>, report: &mut Report) {
    // Where the ledger ran alone, nobody sold cards: they are accounts like others.
    if index.history.programmes.is_empty() {
        return;
    }
    let mut owed: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for account in index
        .history
        .accounts
        .iter()
        .filter(|one| one.role == Role::GiftCard)
    {
        let held = index
            .history
            .ledger_balances
            .iter()
            .find(|one| one.account == account.id);
        let (sum, _, _) = owed.entry(&account.merchant).or_default();
        *sum = sum.saturating_add(held.map_or(0, |held| held.balance));
    }
    for intent in index.intents() {
        let Request::Trade(trade) = intent.request else {
            continue;
        };
        // Who was not answered may have been served.
        let (sure, open) = (!intent.posted().is_empty(), index.is_open(intent));
        let change = match trade {
            Trade::Issue { .. } => 0,
            Trade::Sale { amount, .. } => *amount,
            Trade::Redemption { amount, .. } => amount.saturating_neg(),
            Trade::Purchase { tenders, .. } => {
                wanted::paid(tenders, crate::TenderKind::GiftCard).saturating_neg()
            }
        };
        let (_, least, most) = owed.entry(intent.merchant).or_default();
        if sure || (open && change < 0) {
            *least = least.saturating_add(change);
        }
        if sure || (open && change > 0) {
            *most = most.saturating_add(change);
        }
    }
    for (merchant, (held, least, most)) in owed {
        if !(least..=most).contains(&held) {
            report.add(
                Rule::Liability,
                format!("the cards of {merchant} hold {held}; sold less redeemed makes {least} to {most}"),
                [],
                [index.account_for(merchant, Role::GiftCard)],
            );
        }
    }
}
