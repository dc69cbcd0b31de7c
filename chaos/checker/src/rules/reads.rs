//! Reads: true, never from the future, and no older than they may be.

use crate::{
    history::{Balance, Operation, Outcome, Read, Request, Source},
    index::Index,
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for call in &index.history.operations {
        if let (Request::Read(read), Outcome::Balance(seen)) = (&call.request, &call.outcome) {
            read_holds(index, call, read, seen, report);
        }
    }
    for intent in index.intents() {
        if let (Some(held), Some(end)) = (intent.held(), intent.end()) {
            let call = Operation {
                id: intent.ids().first().copied().unwrap_or_default(),
                process: 0,
                start: intent.start(),
                end,
                merchant: intent.merchant.to_owned(),
                key: String::new(),
                request: intent.request.clone(),
                outcome: Outcome::Balance(held.balance.clone()),
                given_up: None,
            };
            let read = Read {
                account: held.balance.account.clone(),
                from: Source::Ledger,
                token: None,
            };
            read_holds(index, &call, &read, &held.balance, report);
        }
    }
}

fn read_holds(index: &Index<'_>, call: &Operation, read: &Read, seen: &Balance, report: &mut Report) {
    let mut broken = |rule, text| report.add(rule, text, [call.id], [read.account.as_str()]);
    let owner = index
        .accounts
        .get(read.account.as_str())
        .map(|account| account.merchant.as_str());
    if owner != Some(call.merchant.as_str()) {
        broken(
            Rule::Isolation,
            format!("merchant {} was shown another's balance", call.merchant),
        );
    }
    let (known, begun) = index.window(&read.account, call.start, call.end);
    let at = seen.sequence;
    if at > begun {
        broken(
            Rule::FutureRead,
            format!("a read shows sequence {at}, but only {begun} had begun when it ended"),
        );
    }
    if read.from == Source::Ledger && at < known {
        broken(
            Rule::StaleRead,
            format!("a read of the ledger shows sequence {at}, but {known} was known before it"),
        );
    }
    if let Some(token) = read.token.filter(|token| at < *token) {
        broken(
            Rule::TokenRead,
            format!("a read with a token of sequence {token} shows sequence {at}"),
        );
    }
    if let Some(held) = index
        .balance_at(&read.account, at)
        .filter(|held| *held != seen.balance)
    {
        broken(
            Rule::ReadValue,
            format!(
                "a read shows {} at sequence {at}, where the account held {held}",
                seen.balance
            ),
        );
    }
}
