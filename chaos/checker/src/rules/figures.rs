//! The day's figures, made once more from the ledger's transactions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Account, Entry, Role, Side},
    index::Index,
    trade::{AssetFigures, Figures},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    // Where merchants have no programmes the ledger ran alone, and nobody made figures.
    if index.history.programmes.is_empty() {
        return;
    }
    let shown: BTreeMap<_, _> = index
        .history
        .figures
        .iter()
        .map(|one| ((one.merchant.as_str(), one.day.as_str()), one))
        .collect();
    let right = of_the_ledger(index);
    let days: BTreeSet<_> = shown.keys().chain(right.keys()).copied().collect();
    for day in days {
        let mut shown = shown.get(&day).map_or_else(|| none(day), |one| (*one).clone());
        let right = right.get(&day).cloned().unwrap_or_else(|| none(day));
        // An asset that did nothing may be told or not.
        shown.assets.retain(did_something);
        shown.assets.sort();
        if shown != right {
            report.add(
                Rule::DailyFigures,
                format!(
                    "{} of {}: the figures are {} and {:?}; the ledger makes {} and {:?}",
                    day.1, day.0, shown.transactions, shown.assets, right.transactions, right.assets
                ),
                [],
                no_accounts(),
            );
        }
    }
}

fn of_the_ledger<'a>(index: &Index<'a>) -> BTreeMap<(&'a str, &'a str), Figures> {
    let mut days: BTreeMap<(&str, &str), Figures> = BTreeMap::new();
    for transaction in index.transactions.values() {
        let day = (transaction.merchant.as_str(), transaction.day.as_str());
        let of_day = days.entry(day).or_insert_with(|| none(day));
        of_day.transactions = of_day.transactions.saturating_add(1);
        for entry in &transaction.entries {
            if let Some(account) = index.accounts.get(entry.account.as_str()) {
                add(&mut of_day.assets, account, entry);
            }
        }
    }
    days.values_mut().for_each(|of_day| of_day.assets.sort());
    days
}

fn none((merchant, day): (&str, &str)) -> Figures {
    Figures {
        merchant: merchant.to_owned(),
        day: day.to_owned(),
        transactions: 0,
        assets: Vec::new(),
    }
}

fn add(assets: &mut Vec<AssetFigures>, account: &Account, entry: &Entry) {
    let mut change = AssetFigures {
        asset: account.asset.clone(),
        ..AssetFigures::default()
    };
    match (account.role, entry.side) {
        (Role::Issuance, Side::Debit) => change.points_given = entry.amount,
        (Role::Redemption, Side::Credit) => change.points_spent = entry.amount,
        (Role::GiftCard, Side::Credit) => {
            (change.cards_sold, change.cards_sold_amount) = (1, entry.amount);
        }
        (Role::GiftCard, Side::Debit) => {
            (change.cards_redeemed, change.cards_redeemed_amount) = (1, entry.amount);
        }
        _ => return,
    }
    let Some(of) = assets.iter_mut().find(|of| of.asset == account.asset) else {
        assets.push(change);
        return;
    };
    for (sum, more) in [
        (&mut of.points_given, change.points_given),
        (&mut of.points_spent, change.points_spent),
        (&mut of.cards_sold, change.cards_sold),
        (&mut of.cards_sold_amount, change.cards_sold_amount),
        (&mut of.cards_redeemed, change.cards_redeemed),
        (&mut of.cards_redeemed_amount, change.cards_redeemed_amount),
    ] {
        *sum = sum.saturating_add(more);
    }
}

fn did_something(figures: &AssetFigures) -> bool {
    let nothing = AssetFigures {
        asset: figures.asset.clone(),
        ..AssetFigures::default()
    };
    *figures != nothing
}

fn no_accounts() -> [&'static str; 0] {
    []
}
