//! Reversals: everything goes back to where it came from, once.

use ledger_domain::{
    Book, Command, Direction, NewReversal, PostedEntry, Refusal, Shortfall, TransactionKind,
};
use lp_types::Amount;

use crate::support::*;

pub(crate) fn reverse(n: u128, part: Option<(i64, &str)>, shortfall: Shortfall) -> Command {
    Command::Reverse(NewReversal {
        transaction: transaction_id(n),
        part: part.map(|(n, code)| (amount(n), asset(code))),
        shortfall,
    })
}

fn full() -> Command {
    reverse(1, None, Shortfall::Refuse)
}

fn part(n: i64) -> Command {
    reverse(1, Some((n, "EUR")), Shortfall::Refuse)
}

/// A purchase of 100 EUR: 50 by card, 30 by bank, 20 for 1,000 points, for which 80 points are earned. Customer 0 had
/// 1,000 points and has 80, the card had 50.
fn purchased() -> Book {
    let mut book = book();
    post(&mut book, &earn(0, 1_000), at(0)).unwrap();
    post(
        &mut book,
        &general(vec![debit(BANK, 50), credit(CARD, 50)]),
        at(0),
    )
    .unwrap();
    let purchase = general(vec![
        debit(CARD, 50),
        debit(BANK, 50),
        credit(SALES, 100),
        debit(0, 1_000),
        credit(REDEMPTION, 1_000),
        debit(ISSUANCE, 80),
        credit(0, 80),
    ]);
    let entries = post(&mut book, &purchase, at(1)).unwrap();
    book.with_originals([original(1, TransactionKind::General, &entries)])
}

fn amounts(entries: &[PostedEntry]) -> Vec<(i16, i64)> {
    entries
        .iter()
        .map(|entry| (entry.reverses.unwrap(), entry.amount.get()))
        .collect()
}

fn total(entries: &[PostedEntry], line: i16) -> i64 {
    entries
        .iter()
        .filter(|entry| entry.reverses == Some(line))
        .map(|entry| entry.amount.get())
        .sum()
}

#[test]
fn all_of_it_goes_back_to_its_origin_and_only_once() {
    let mut book = purchased();
    let before = (balance(&book, SALES), balance(&book, 0));
    assert_eq!(before, (100, 80));
    let entries = post(&mut book, &full(), at(2)).unwrap();
    assert_eq!(entries.len(), 7);
    let found = [CARD, SALES, 0, REDEMPTION, BANK].map(|n| balance(&book, n));
    assert_eq!(found, [50, 0, 1_000, 0, 50]);
    let transaction = transaction_id(1);
    assert_eq!(
        post(&mut book, &full(), at(3)).unwrap_err(),
        Refusal::NothingToReverse { transaction }
    );
    assert_eq!(
        post(&mut book, &part(1), at(3)).unwrap_err(),
        Refusal::NothingToReverse { transaction }
    );
}

#[test]
fn parts_go_back_in_proportion_and_add_up_to_the_whole() {
    let mut book = purchased();
    let mut all = Vec::new();
    // A third, with remainders everywhere.
    let first = post(&mut book, &part(33), at(2)).unwrap();
    // 16.5 of each tender: the earlier line takes the unit. 330 points back, 26.4 of those earned.
    assert_eq!(total(&first, 1), 17);
    assert_eq!(total(&first, 2), 16);
    assert_eq!((total(&first, 4), total(&first, 7)), (330, 26));
    all.extend(first);
    all.extend(post(&mut book, &part(33), at(3)).unwrap());
    let exceeded = post(&mut book, &part(35), at(4)).unwrap_err();
    assert!(
        matches!(exceeded, Refusal::ReversalExceeded { left: 34, .. }),
        "{exceeded:?}"
    );
    all.extend(post(&mut book, &part(34), at(4)).unwrap());
    let lines: Vec<_> = (1..=7).map(|line| total(&all, line)).collect();
    assert_eq!(lines, [50, 50, 100, 1_000, 1_000, 80, 80]);
    assert_eq!((balance(&book, 0), balance(&book, CARD)), (1_000, 50));
}

#[test]
fn a_part_in_an_asset_that_it_did_not_move_is_refused() {
    let mut book = purchased();
    let refusal = post(&mut book, &reverse(1, Some((1, "USD")), Shortfall::Refuse), at(2)).unwrap_err();
    assert!(matches!(refusal, Refusal::AssetNotInvolved { .. }), "{refusal:?}");
}

#[test]
fn a_reversal_cannot_be_reversed_nor_what_another_merchant_posted() {
    let mut book = purchased();
    let refusal = book.decide(OTHER, &full(), at(2)).unwrap_err();
    let transaction = transaction_id(1);
    assert_eq!(refusal, Refusal::UnknownTransaction { transaction });
    let entries = post(&mut book, &full(), at(2)).unwrap();
    let mut book = book.with_originals([original(1, TransactionKind::Reversal, &entries)]);
    assert_eq!(
        post(&mut book, &full(), at(3)).unwrap_err(),
        Refusal::NotReversible { transaction }
    );
}

/// Customer 0 earned 100 in transaction 1, and spent 70 of them.
fn spent() -> Book {
    let mut book = book();
    let entries = post(&mut book, &earn(0, 100), at(0)).unwrap();
    post(&mut book, &burn(0, 70), at(1)).unwrap();
    book.with_originals([original(1, TransactionKind::Earn, &entries)])
}

#[test]
fn points_that_were_spent_are_refused_overdrawn_or_owed() {
    let mut book = spent();
    let refusal = post(&mut book, &full(), at(2)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::InsufficientFunds { would_be, .. } if would_be.get() == -70),
        "{refusal:?}"
    );
    assert_eq!(balance(&book, 0), 30);

    let entries = post(
        &mut book,
        &reverse(1, None, Shortfall::Owe(account_id(OUTSIDE))),
        at(2),
    )
    .unwrap();
    assert_eq!(amounts(&entries), [(1, 100), (2, 30), (2, 70)]);
    assert_eq!(
        (
            balance(&book, 0),
            balance(&book, OUTSIDE),
            balance(&book, ISSUANCE)
        ),
        (0, 70, 0)
    );

    let mut book = spent();
    post(&mut book, &reverse(1, None, Shortfall::Overdraw), at(2)).unwrap();
    assert_eq!(
        (balance(&book, 0), book.get(account_id(0)).unwrap().debt.get()),
        (-70, 70)
    );
    // Nothing can be spent until the debt is paid.
    post(&mut book, &burn(0, 1), at(3)).unwrap_err();
    post(&mut book, &earn(0, 60), at(3)).unwrap();
    post(&mut book, &burn(0, 1), at(3)).unwrap_err();
    post(&mut book, &earn(0, 11), at(3)).unwrap();
    post(&mut book, &burn(0, 1), at(3)).unwrap();
    assert_eq!(
        (balance(&book, 0), book.get(account_id(0)).unwrap().debt.get()),
        (0, 0)
    );
}

#[test]
fn what_is_reserved_is_not_taken_back_but_overdrawn_and_still_there_for_its_hold() {
    let reserved = || {
        let mut book = book();
        let entries = post(&mut book, &earn(0, 100), at(0)).unwrap();
        book.decide(MERCHANT, &crate::holds::place(1, 0, 60, at(10)), at(1))
            .unwrap();
        book.with_originals([original(1, TransactionKind::Earn, &entries)])
    };
    post(&mut reserved(), &full(), at(2)).unwrap_err();
    let mut book = reserved();
    let entries = post(
        &mut book,
        &reverse(1, None, Shortfall::Owe(account_id(OUTSIDE))),
        at(2),
    )
    .unwrap();
    assert_eq!(amounts(&entries), [(1, 100), (2, 40), (2, 60)]);
    let mut book = reserved();
    post(&mut book, &reverse(1, None, Shortfall::Overdraw), at(2)).unwrap();
    assert_eq!((balance(&book, 0), available(&book, 0)), (0, -60));
    post(
        &mut book,
        &crate::holds::capture(1, None, REDEMPTION, false),
        at(3),
    )
    .unwrap();
    assert_eq!((balance(&book, 0), available(&book, 0)), (-60, -60));
}

#[test]
fn a_capture_is_reversed_like_any_transaction() {
    let mut book = book();
    post(&mut book, &earn(0, 100), at(0)).unwrap();
    book.decide(MERCHANT, &crate::holds::place(1, 0, 60, at(10)), at(1))
        .unwrap();
    let entries = post(
        &mut book,
        &crate::holds::capture(1, Some(40), REDEMPTION, true),
        at(2),
    )
    .unwrap();
    let mut book = book.with_originals([original(1, TransactionKind::Capture, &entries)]);
    let back = post(
        &mut book,
        &reverse(1, Some((15, "PTS")), Shortfall::Refuse),
        at(3),
    )
    .unwrap();
    let expected = [(Direction::Credit, 15), (Direction::Debit, 15)];
    let found: Vec<_> = back
        .iter()
        .map(|entry| (entry.direction, Amount::get(entry.amount)))
        .collect();
    assert_eq!(found, expected);
    assert_eq!((balance(&book, 0), balance(&book, REDEMPTION)), (75, 25));
}
