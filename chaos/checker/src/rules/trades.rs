//! Purchases, sales and redemptions: what they post, and what their answers say.

use std::collections::BTreeMap;

use crate::{
    history::{Line, Operation, Outcome, Request, Role, Transaction},
    index::{Index, Intent},
    trade::{Done, Purchase, Trade},
    verdict::{Report, Rule},
    wanted,
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for intent in index.intents() {
        let Request::Trade(trade) = intent.request else {
            continue;
        };
        for call in &intent.calls {
            let Outcome::Done(done) = &call.outcome else {
                continue;
            };
            if let Some(found) = done.transaction().and_then(|id| index.transactions.get(id)) {
                entries_hold(index, intent, call, found, report);
            }
            if let Some(text) = answer_is_wrong(index, trade, done) {
                report.add(Rule::Tenders, text, [call.id], accounts(&intent.post.lines));
            }
            if let (Trade::Purchase { .. }, Done::Purchased(purchase)) = (trade, done) {
                points_hold(index, intent, call, purchase, report);
            }
        }
    }
    views(index, report);
}

/// The entries are the ones that were asked for, money and points judged apart.
fn entries_hold(
    index: &Index<'_>,
    intent: &Intent<'_>,
    call: &Operation,
    found: &Transaction,
    report: &mut Report,
) {
    let posted = wanted::sums(&found.content().lines);
    let is_points = |line: &&Line| {
        let role = index.role(&line.account);
        matches!(role, Some(Role::Customer | Role::Issuance | Role::Redemption))
    };
    for (rule, points) in [(Rule::Tenders, false), (Rule::Points, true)] {
        let of = |lines: &[Line]| -> Vec<Line> {
            let chosen = lines.iter().filter(|line| is_points(line) == points);
            chosen.cloned().collect()
        };
        let (posted, asked) = (of(&posted), of(&intent.post.lines));
        if posted != asked || found.merchant != intent.merchant {
            report.add(
                rule,
                format!("{} posted {} and not {}", found.id, told(&posted), told(&asked)),
                [call.id],
                accounts(&posted).chain(accounts(&asked)),
            );
        }
    }
}

/// What an answer says beside its transaction.
fn answer_is_wrong(index: &Index<'_>, trade: &Trade, done: &Done) -> Option<String> {
    match (trade, done) {
        (Trade::Issue { .. }, Done::Issued { .. }) => None,
        (
            Trade::Sale { card, amount },
            Done::Sold {
                card: sold,
                account,
                face_value,
                ..
            },
        ) => {
            let right = (card, amount, index.card_account(card)) == (sold, face_value, account);
            (!right).then(|| {
                format!("card {card} was sold for {amount}, the answer says {sold}, {account}, {face_value}")
            })
        }
        (
            Trade::Redemption { card, .. },
            Done::Redeemed {
                card: spent,
                transaction,
                balance,
            },
        ) => {
            let account = index.card_account(&card.card);
            let entries = index
                .transactions
                .get(transaction.as_str())
                .map(|found| &found.entries);
            let after = entries
                .into_iter()
                .flatten()
                .rfind(|entry| entry.account == account)
                .map(|entry| entry.balance_after);
            let right = *spent == card.card && after.is_none_or(|after| after == *balance);
            (!right).then(|| {
                format!(
                    "{transaction} redeemed card {}, the answer says {spent} with {balance} left",
                    card.card
                )
            })
        }
        (Trade::Purchase { amount, .. }, Done::Purchased(purchase)) => {
            let right = (purchase.amount, purchase.state.as_str()) == (*amount, "POSTED");
            (!right).then(|| {
                format!(
                    "a purchase of {amount} was answered with {} over {}, {}",
                    purchase.id, purchase.amount, purchase.state
                )
            })
        }
        _ => Some("a trade was answered with another's answer".to_owned()),
    }
}

/// The points in the answer are those of the programme.
fn points_hold(
    index: &Index<'_>,
    intent: &Intent<'_>,
    call: &Operation,
    purchase: &Purchase,
    report: &mut Report,
) {
    let (
        Request::Trade(Trade::Purchase {
            tenders, customer, ..
        }),
        Some(programme),
    ) = (intent.request, wanted::programme(index, intent.merchant))
    else {
        return;
    };
    let earned = wanted::earned(programme, tenders, customer.as_ref());
    let burnt = wanted::burnt(programme, tenders).unwrap_or(0);
    // Without a wallet there is nobody to whom a programme is applied.
    let version = purchase.version == programme.version || (customer.is_none() && purchase.version == 0);
    if (purchase.earned, purchase.burnt) != (earned, burnt) || !version {
        report.add(
            Rule::Points,
            format!(
                "{} earned {} and burnt {} by version {}; the programme's version {} says {earned} and {burnt}",
                purchase.id, purchase.earned, purchase.burnt, purchase.version, programme.version
            ),
            [call.id],
            customer.as_deref(),
        );
    }
}

/// What was acknowledged is there at the end, the same.
fn views(index: &Index<'_>, report: &mut Report) {
    let at_the_end: BTreeMap<_, _> = index
        .history
        .purchases
        .iter()
        .map(|one| (one.id.as_str(), one))
        .collect();
    for call in &index.history.operations {
        if let Outcome::Done(Done::Purchased(told)) = &call.outcome
            && at_the_end.get(told.id.as_str()) != Some(&told)
        {
            report.add(
                Rule::PurchaseView,
                format!("purchase {} is not shown as it was acknowledged", told.id),
                [call.id],
                accounts(&[]),
            );
        }
    }
}

fn accounts(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().map(|line| line.account.as_str())
}

fn told(lines: &[Line]) -> String {
    let one = |line: &Line| format!("{:?} {} {}", line.side, line.account, line.amount).to_lowercase();
    let all: Vec<_> = lines.iter().map(one).collect();
    if all.is_empty() {
        "nothing".to_owned()
    } else {
        all.join(", ")
    }
}
