//! What follows from the ledger elsewhere: wallets, notifications, e-mails.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Account, Mail, Notification, Role, Side, Transaction},
    index::Index,
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    wallets(index, report);
    notifications(index, report);
    mails(index, report);
}

fn wallets(index: &Index<'_>, report: &mut Report) {
    let history = index.history;
    let in_wallets: BTreeMap<_, _> = history
        .wallet_balances
        .iter()
        .map(|one| (&one.account, one))
        .collect();
    let in_ledger: BTreeMap<_, _> = history
        .ledger_balances
        .iter()
        .map(|one| (&one.account, one))
        .collect();
    for account in history.accounts.iter().filter(|account| account.email.is_some()) {
        let (wallet, ledger) = (in_wallets.get(&account.id), in_ledger.get(&account.id));
        // A wallet's holds are not the ledger's to tell.
        let shown = |balance: &&crate::Balance| (balance.balance, balance.sequence);
        if wallet.copied().map(|one| shown(&one)) != ledger.copied().map(|one| shown(&one)) {
            let shown = |balance: Option<&&crate::Balance>| {
                balance.map_or("nothing".to_owned(), |one| {
                    format!("{} at sequence {}", one.balance, one.sequence)
                })
            };
            report.add(
                Rule::WalletEqualsLedger,
                format!("the wallet shows {}, the ledger {}", shown(wallet), shown(ledger)),
                [],
                [&account.id],
            );
        }
    }
}

/// The customer that a transaction is to be told to, if any: one whose points were given or burnt. What else moves in
/// a customer's account is not told.
pub(crate) fn told_to<'a>(
    account: impl Fn(&str) -> Option<&'a Account>,
    transaction: &Transaction,
) -> Option<&'a str> {
    let entries = || {
        let entries = transaction.entries.iter();
        entries.filter_map(|entry| Some((entry.side, account(&entry.account)?)))
    };
    let has = |role, side| entries().any(|(at, account)| (account.role, at) == (role, side));
    let (given, burnt) = (
        has(Role::Issuance, Side::Debit),
        has(Role::Redemption, Side::Credit),
    );
    entries()
        .find(|(side, account)| {
            let moved = match side {
                Side::Credit => given,
                Side::Debit => burnt,
            };
            moved && account.role == Role::Customer && account.email.is_some()
        })
        .map(|(_, account)| account.id.as_str())
}

fn notifications(index: &Index<'_>, report: &mut Report) {
    let mut by_transaction: BTreeMap<&str, Vec<&Notification>> = BTreeMap::new();
    for one in &index.history.notifications {
        by_transaction.entry(&one.transaction).or_default().push(one);
    }
    for transaction in index.transactions.values() {
        let caused = by_transaction.remove(transaction.id.as_str()).unwrap_or_default();
        let customer = told_to(|id| index.accounts.get(id).copied(), transaction);
        let holder = customer.and_then(|id| index.accounts.get(id));
        let right = match holder {
            Some(account) if account.declines_messages => "SUPPRESSED",
            _ => "SENT",
        };
        let text = match (customer, caused.as_slice()) {
            (None, []) => continue,
            (Some(customer), [one]) if one.account == customer && one.status == right => continue,
            (Some(_), [one]) => format!(
                "{} of {} is {} about {}",
                one.id, transaction.id, one.status, one.account
            ),
            (Some(_), many) => format!("{} caused {} notifications and not 1", transaction.id, many.len()),
            (None, many) => format!("{} caused {} notifications and not 0", transaction.id, many.len()),
        };
        report.add(Rule::OneNotification, text, [], customer);
    }
    for one in by_transaction.values().flatten() {
        let text = format!(
            "{} tells of {}, which is not in the ledger",
            one.id, one.transaction
        );
        report.add(Rule::OneNotification, text, [], [&one.account]);
    }
}

fn mails(index: &Index<'_>, report: &mut Report) {
    let mut by_transaction: BTreeMap<&str, Vec<&Mail>> = BTreeMap::new();
    let mut named_by: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mail in &index.history.mails {
        by_transaction.entry(&mail.transaction).or_default().push(mail);
        named_by
            .entry(&mail.message_id)
            .or_default()
            .insert(&mail.transaction);
    }
    for (message, transactions) in named_by.iter().filter(|(_, transactions)| transactions.len() > 1) {
        let all: Vec<_> = transactions.iter().copied().collect();
        report.add(
            Rule::OneMail,
            format!("e-mail {message} tells of {}", all.join(" and ")),
            [],
            no_accounts(),
        );
    }
    let mut sent: BTreeMap<&str, Vec<&Notification>> = BTreeMap::new();
    for one in index
        .history
        .notifications
        .iter()
        .filter(|one| one.status == "SENT")
    {
        sent.entry(&one.transaction).or_default().push(one);
    }
    for (transaction, notifications) in sent {
        let arrived = by_transaction.remove(transaction).unwrap_or_default();
        let distinct: BTreeSet<_> = arrived.iter().map(|mail| &mail.message_id).collect();
        let accounts: Vec<_> = notifications.iter().map(|one| one.account.as_str()).collect();
        if distinct.len() != notifications.len() {
            report.add(
                Rule::OneMail,
                format!(
                    "{} different e-mails tell of {transaction} and not {}",
                    distinct.len(),
                    notifications.len()
                ),
                [],
                accounts.iter().copied(),
            );
        }
        let right: BTreeSet<_> = accounts
            .iter()
            .filter_map(|id| index.accounts.get(id)?.email.as_deref())
            .collect();
        for wrong in arrived.iter().filter(|mail| !right.contains(mail.to.as_str())) {
            let text = format!(
                "e-mail {} about {transaction} went to {}",
                wrong.message_id, wrong.to
            );
            report.add(Rule::OneMail, text, [], accounts.iter().copied());
        }
    }
    for mail in by_transaction.values().flatten() {
        report.add(
            Rule::OneMail,
            format!(
                "e-mail {} tells of “{}”, for which nothing was sent",
                mail.message_id, mail.transaction
            ),
            [],
            no_accounts(),
        );
    }
}

fn no_accounts() -> [&'static str; 0] {
    []
}
