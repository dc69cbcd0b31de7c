//! Random transactions against a naive model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::HashMap;

use jiff::Timestamp;
use ledger_domain::{
    Account, AccountType, Book, Direction, Invalid, Limits, NewEntry, NewTransaction, PointsAccounts, Refusal,
};
use lp_types::{AccountId, Amount, AssetCode, MerchantId, MinorUnits};
use proptest::prelude::*;
use uuid::Uuid;

const MERCHANT: MerchantId = MerchantId::from_uuid(Uuid::from_u128(1));
const OTHER: MerchantId = MerchantId::from_uuid(Uuid::from_u128(2));
const CUSTOMERS: u128 = 4;

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(100 + n))
}

fn asset(code: &str) -> AssetCode {
    AssetCode::try_from(code.to_owned()).unwrap()
}

fn amount(n: i64) -> Amount {
    Amount::try_from(n).unwrap()
}

fn account(n: u128, account_type: AccountType, limits: Limits) -> Account {
    Account::open(account_id(n), MERCHANT, asset("PTS"), account_type, limits)
}

/// Customers 0 to 3, issuance 10, redemption 11. Customer 3 may hold at most 500.
fn book() -> Book {
    let mut accounts: Vec<_> = (0..CUSTOMERS)
        .map(|n| account(n, AccountType::Customer, AccountType::Customer.default_limits()))
        .collect();
    accounts[3].limits.max = Some(MinorUnits::new(500));
    accounts.push(account(10, AccountType::Issuance, Limits::default()));
    accounts.push(account(11, AccountType::Redemption, Limits::default()));
    let points = PointsAccounts {
        issuance: account_id(10),
        redemption: account_id(11),
    };
    Book::new(accounts, [(MERCHANT, asset("PTS"), points)])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

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

fn command(step: &Step) -> NewTransaction {
    match step {
        Step::Earn(a, n) => NewTransaction::Earn {
            account: account_id(*a),
            amount: amount(*n),
            asset: asset("PTS"),
        },
        Step::Burn(a, n) => NewTransaction::Burn {
            account: account_id(*a),
            amount: amount(*n),
            asset: asset("PTS"),
        },
        Step::Move(moves) => {
            let entries = moves.iter().flat_map(|(from, to, n)| {
                [(*from, Direction::Debit), (*to, Direction::Credit)].map(|(account, direction)| NewEntry {
                    account: account_id(account),
                    direction,
                    amount: amount(*n),
                    asset: asset("PTS"),
                })
            });
            NewTransaction::general(entries.collect()).unwrap()
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
            let outcome = book.post(MERCHANT, &command(step), now);
            match model_after(&balances, step) {
                None => prop_assert!(outcome.is_err(), "{step:?} was posted"),
                Some(next) => {
                    let (posted_at, entries) = outcome.expect("the model allows it");
                    balances = next;
                    let signed = |d| if d == Direction::Debit { 1 } else { -1 };
                    prop_assert_eq!(entries.iter().map(|e| signed(e.direction) * e.amount.get()).sum::<i64>(), 0);
                    for entry in &entries {
                        let last = sequences.entry(entry.account).or_default();
                        prop_assert_eq!(entry.account_sequence, *last + 1);
                        *last += 1;
                        prop_assert_eq!(book.get(entry.account).unwrap().posted_at, Some(posted_at));
                    }
                    prop_assert!(posted_at >= now);
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
        let entry = |direction, n| NewEntry { account: account_id(0), direction, amount: amount(n), asset: asset("PTS") };
        let outcome = NewTransaction::general(vec![entry(Direction::Debit, a), entry(Direction::Credit, b)]);
        prop_assert_eq!(outcome.is_ok(), a == b);
    }
}

#[test]
fn the_balance_after_the_last_entry_is_the_account_s() {
    let mut book = book();
    let (_, entries) = book.post(MERCHANT, &command(&Step::Earn(0, 120)), at(0)).unwrap();
    let (_, more) = book.post(MERCHANT, &command(&Step::Burn(0, 50)), at(1)).unwrap();
    assert_eq!(entries[1].balance_after.get(), 120);
    assert_eq!(more[0].balance_after.get(), 70);
    assert_eq!(more[0].account_sequence, 2);
}

#[test]
fn what_a_transaction_gives_does_not_pay_for_what_it_takes() {
    let mut book = book();
    book.post(MERCHANT, &command(&Step::Earn(0, 490)), at(0)).unwrap();
    let entry = |account, direction, n| NewEntry {
        account: account_id(account),
        direction,
        amount: amount(n),
        asset: asset("PTS"),
    };
    // 500 are burnt and 25 earned: 15 would be left, but there are no 500.
    let purchase = NewTransaction::general(vec![
        entry(0, Direction::Debit, 500),
        entry(11, Direction::Credit, 500),
        entry(10, Direction::Debit, 25),
        entry(0, Direction::Credit, 25),
    ]);
    let refusal = book.post(MERCHANT, &purchase.unwrap(), at(1)).unwrap_err();
    let would_be = MinorUnits::new(-10);
    assert!(
        matches!(refusal, Refusal::InsufficientFunds { would_be: found, .. } if found == would_be),
        "{refusal:?}"
    );
    assert_eq!(book.get(account_id(0)).unwrap().balance().unwrap().get(), 490);
}

#[test]
fn another_merchants_account_is_unknown() {
    let refusal = book()
        .post(OTHER, &command(&Step::Earn(0, 1)), at(0))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::UnknownAccount {
            account: account_id(0),
            entry: None
        }
    );
}

#[test]
fn balance_must_hold_per_asset_and_not_only_in_sum() {
    let entry = |direction, code| NewEntry {
        account: account_id(0),
        direction,
        amount: amount(5),
        asset: asset(code),
    };
    let outcome = NewTransaction::general(vec![
        entry(Direction::Debit, "EUR"),
        entry(Direction::Credit, "PTS"),
    ]);
    assert!(matches!(outcome, Err(Invalid::Unbalanced { .. })));
}

#[test]
fn two_to_five_hundred_entries() {
    let pair = || {
        [Direction::Debit, Direction::Credit].map(|direction| NewEntry {
            account: account_id(0),
            direction,
            amount: amount(5),
            asset: asset("PTS"),
        })
    };
    assert_eq!(NewTransaction::general(Vec::new()), Err(Invalid::EntryCount));
    assert_eq!(
        NewTransaction::general(pair()[..1].to_vec()),
        Err(Invalid::EntryCount)
    );
    assert!(NewTransaction::general((0..250).flat_map(|_| pair()).collect()).is_ok());
    assert_eq!(
        NewTransaction::general((0..251).flat_map(|_| pair()).collect()),
        Err(Invalid::EntryCount)
    );
}

#[test]
fn earn_and_burn_move_customers_points_only() {
    let mut book = book();
    let refusal = book
        .post(MERCHANT, &command(&Step::Earn(11, 1)), at(0))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::NotAPointsAccount {
            account: account_id(11)
        }
    );
}

#[test]
fn sums_that_leave_their_range_are_refused() {
    let mut full = account(0, AccountType::External, Limits::default());
    full.posted_debits = MinorUnits::new(i64::MAX);
    let mut book = Book::new([full, account(1, AccountType::External, Limits::default())], []);
    let refusal = book
        .post(MERCHANT, &command(&Step::Move(vec![(0, 1, 1)])), at(0))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::BalanceOutOfRange {
            account: account_id(0)
        }
    );
}
