//! Entries: balance, limits, sequences, whose accounts.

use std::collections::HashMap;

use ledger_domain::{AccountType, Book, Command, Invalid, Limits, NewEntry, NewTransaction, Refusal};
use lp_types::{AccountId, MinorUnits};
use proptest::prelude::*;

use crate::support::*;

#[derive(Debug, Clone)]
enum Step {
    Earn(u128, i64),
    Burn(u128, i64),
    Move(Vec<(u128, u128, i64)>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..CUSTOMERS, 1..400_i64).prop_map(|(a, n)| Step::Earn(a, n)),
        (0..CUSTOMERS, 1..400_i64).prop_map(|(a, n)| Step::Burn(a, n)),
        prop::collection::vec((0..CUSTOMERS, 0..CUSTOMERS, 1..200_i64), 1..4).prop_map(Step::Move),
    ]
}

fn command(step: &Step) -> Command {
    match step {
        Step::Earn(a, n) => earn(*a, *n),
        Step::Burn(a, n) => burn(*a, *n),
        Step::Move(moves) => {
            let entries = moves
                .iter()
                .flat_map(|(from, to, n)| [debit(*from, *n), credit(*to, *n)]);
            general(entries.collect())
        }
    }
}

/// What each account would hold, by signed sums alone; none when one leaves its limits on the way.
fn model_after(balances: &HashMap<u128, i64>, step: &Step) -> Option<HashMap<u128, i64>> {
    let mut next = balances.clone();
    let mut allowed = true;
    let mut add = |account: u128, n: i64| {
        let balance = next.entry(account).or_default();
        *balance += n;
        allowed &= account >= CUSTOMERS || (*balance >= 0 && (account != 3 || *balance <= 500));
    };
    match step {
        Step::Earn(a, n) => {
            add(*a, *n);
            add(10, *n);
        }
        Step::Burn(a, n) => {
            add(*a, -n);
            add(11, *n);
        }
        Step::Move(moves) => {
            for (from, to, n) in moves {
                add(*from, -n);
                add(*to, *n);
            }
        }
    }
    allowed.then_some(next)
}

proptest! {
    #[test]
    fn a_book_agrees_with_signed_sums(steps in prop::collection::vec(step(), 1..60)) {
        let mut book = book();
        let mut balances = HashMap::new();
        let mut sequences: HashMap<AccountId, i64> = HashMap::new();
        for (second, step) in (0..).zip(&steps) {
            // Every third reading of the clock goes back.
            let now = at(if second % 3 == 0 { -second } else { second });
            let outcome = post(&mut book, &command(step), now);
            match model_after(&balances, step) {
                None => prop_assert!(outcome.is_err(), "{step:?} was posted"),
                Some(next) => {
                    let entries = outcome.expect("the model allows it");
                    balances = next;
                    let signed = |d| if d == ledger_domain::Direction::Debit { 1 } else { -1 };
                    prop_assert_eq!(entries.iter().map(|e| signed(e.direction) * e.amount.get()).sum::<i64>(), 0);
                    for entry in &entries {
                        let last = sequences.entry(entry.account).or_default();
                        prop_assert_eq!(entry.account_sequence, *last + 1);
                        *last += 1;
                        prop_assert!(book.get(entry.account).unwrap().posted_at >= Some(now));
                    }
                }
            }
            for n in (0..CUSTOMERS).chain([10, 11]) {
                let account = book.get(account_id(n)).unwrap();
                prop_assert_eq!(account.balance().unwrap().get(), balances.get(&n).copied().unwrap_or(0));
                prop_assert_eq!(account.sequence, sequences.get(&account.id).copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn unbalanced_entries_are_no_transaction(a in 1..1000_i64, b in 1..1000_i64) {
        let outcome = NewTransaction::general(vec![debit(0, a), credit(0, b)], Vec::new());
        prop_assert_eq!(outcome.is_ok(), a == b);
    }
}

#[test]
fn the_balance_after_the_last_entry_is_the_account_s() {
    let mut book = book();
    let entries = post(&mut book, &earn(0, 120), at(0)).unwrap();
    let more = post(&mut book, &burn(0, 50), at(1)).unwrap();
    assert_eq!(entries[1].balance_after.get(), 120);
    assert_eq!(more[0].balance_after.get(), 70);
    assert_eq!(more[0].account_sequence, 2);
}

#[test]
fn what_a_transaction_gives_does_not_pay_for_what_it_takes() {
    let mut book = book();
    post(&mut book, &earn(0, 490), at(0)).unwrap();
    // 500 are burnt and 25 earned: 15 would be left, but there are no 500.
    let purchase = general(vec![
        debit(0, 500),
        credit(REDEMPTION, 500),
        debit(ISSUANCE, 25),
        credit(0, 25),
    ]);
    let refusal = post(&mut book, &purchase, at(1)).unwrap_err();
    let would_be = MinorUnits::new(-10);
    assert!(
        matches!(refusal, Refusal::InsufficientFunds { would_be: found, .. } if found == would_be),
        "{refusal:?}"
    );
    assert_eq!(balance(&book, 0), 490);
}

#[test]
fn of_several_commands_all_or_none_are_carried_out() {
    let mut book = book();
    let refused = book.decide_all(
        MERCHANT,
        [earn(0, 10), burn(0, 4), burn(0, 7), earn(0, 1)].iter().map(Ok),
        at(0),
    );
    let (index, refusal) = refused.unwrap_err();
    assert_eq!(index, 2);
    assert!(
        matches!(refusal, Refusal::InsufficientFunds { .. }),
        "{refusal:?}"
    );
    assert_eq!(
        (balance(&book, 0), book.get(account_id(0)).unwrap().sequence),
        (0, 0)
    );

    let decided = book.decide_all(
        MERCHANT,
        [earn(0, 10), burn(0, 4), burn(0, 6)].iter().map(Ok),
        at(1),
    );
    assert_eq!(decided.unwrap().len(), 3);
    assert_eq!(
        (balance(&book, 0), book.get(account_id(0)).unwrap().sequence),
        (0, 3)
    );
}

#[test]
fn another_merchants_account_is_unknown() {
    let refusal = book().decide(OTHER, &earn(0, 1), at(0)).unwrap_err();
    let account = account_id(0);
    assert_eq!(refusal, Refusal::UnknownAccount { account, entry: None });
    let transfer = general(vec![debit(ISSUANCE, 1), credit(0, 1)]);
    let refusal = book().decide(OTHER, &transfer, at(0)).unwrap_err();
    let (account, entry) = (account_id(ISSUANCE), Some(0));
    assert_eq!(refusal, Refusal::UnknownAccount { account, entry });
}

#[test]
fn balance_must_hold_per_asset_and_not_only_in_sum() {
    let outcome = NewTransaction::general(vec![debit(CARD, 5), credit(0, 5)], Vec::new());
    assert!(matches!(outcome, Err(Invalid::Unbalanced { .. })));
}

#[test]
fn two_to_five_hundred_entries() {
    let of =
        |pairs: usize| -> Vec<NewEntry> { (0..pairs).flat_map(|_| [debit(0, 5), credit(0, 5)]).collect() };
    let general = |entries| NewTransaction::general(entries, Vec::new());
    assert_eq!(general(Vec::new()), Err(Invalid::EntryCount));
    assert_eq!(general(of(1)[..1].to_vec()), Err(Invalid::EntryCount));
    assert!(general(of(250)).is_ok());
    assert_eq!(general(of(251)), Err(Invalid::EntryCount));
}

#[test]
fn earn_and_burn_move_customers_points_only() {
    let account = account_id(REDEMPTION);
    let refusal = post(&mut book(), &earn(REDEMPTION, 1), at(0)).unwrap_err();
    assert_eq!(refusal, Refusal::NotAPointsAccount { account });
}

#[test]
fn sums_that_leave_their_range_are_refused() {
    let mut full = account(0, AccountType::External, Limits::default());
    full.posted_debits = MinorUnits::new(i64::MAX);
    let mut book = Book::new([full, account(1, AccountType::External, Limits::default())], []);
    let refusal = post(&mut book, &general(vec![debit(0, 1), credit(1, 1)]), at(0)).unwrap_err();
    let account = account_id(0);
    assert_eq!(refusal, Refusal::BalanceOutOfRange { account });
}

#[test]
fn the_time_of_an_account_never_goes_back() {
    let mut book = book();
    post(&mut book, &earn(0, 10), at(5)).unwrap();
    post(&mut book, &burn(0, 1), at(3)).unwrap();
    assert_eq!(book.get(account_id(0)).unwrap().posted_at, Some(at(5)));
    // It touches an account that was posted to later.
    assert_eq!(book.get(account_id(REDEMPTION)).unwrap().posted_at, Some(at(5)));
}
