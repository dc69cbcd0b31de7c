//! Holds: what they reserve is there for them and for nobody else.

use jiff::Timestamp;
use ledger_domain::{
    Book, Command, Decision, Direction, Hold, HoldState, NewEntry, NewHold, NewTransaction, Refusal,
};
use lp_types::MinorUnits;

use crate::support::*;

pub(crate) fn place(id: u128, account: u128, n: i64, expires_at: Timestamp) -> Command {
    place_side(id, account, None, n, expires_at)
}

pub(crate) fn place_credit(id: u128, account: u128, n: i64, expires_at: Timestamp) -> Command {
    place_side(id, account, Some(Direction::Credit), n, expires_at)
}

fn place_side(
    id: u128,
    account: u128,
    direction: Option<Direction>,
    n: i64,
    expires_at: Timestamp,
) -> Command {
    let new = NewHold {
        account: account_id(account),
        direction,
        amount: amount(n),
        asset: asset_of(account),
        expires_at,
        reference: None,
    };
    Command::PlaceHold(hold_id(id), new)
}

pub(crate) fn capture(id: u128, n: Option<i64>, destination: u128, ends: bool) -> Command {
    Command::Post(NewTransaction::Capture {
        hold: hold_id(id),
        amount: n.map(|n| (amount(n), asset("PTS"))),
        destination: account_id(destination),
        releases: ends.then_some(hold_id(id)),
    })
}

fn hold(book: &Book, id: u128) -> &Hold {
    book.hold(hold_id(id)).unwrap()
}

/// Customer 0 with 100 points, of which hold 1 reserves 60 until second 10.
fn held() -> Book {
    let mut book = book();
    post(&mut book, &earn(0, 100), at(0)).unwrap();
    book.decide(MERCHANT, &place(1, 0, 60, at(10)), at(1)).unwrap();
    book
}

#[test]
fn what_is_reserved_cannot_be_spent_or_reserved_again() {
    let mut book = held();
    assert_eq!((balance(&book, 0), available(&book, 0)), (100, 40));
    for command in [burn(0, 41), place(2, 0, 41, at(10))] {
        let refusal = book.decide(MERCHANT, &command, at(2)).unwrap_err();
        assert!(
            matches!(refusal, Refusal::InsufficientFunds { would_be, .. } if would_be.get() == -1),
            "{refusal:?}"
        );
    }
    post(&mut book, &burn(0, 40), at(2)).unwrap();
    assert_eq!((balance(&book, 0), available(&book, 0)), (60, 0));
}

#[test]
fn a_hold_is_captured_in_parts_and_never_beyond() {
    let mut book = held();
    post(&mut book, &capture(1, Some(25), REDEMPTION, false), at(2)).unwrap();
    assert_eq!((balance(&book, 0), available(&book, 0)), (75, 40));
    let refusal = post(&mut book, &capture(1, Some(36), REDEMPTION, false), at(3)).unwrap_err();
    let remaining = MinorUnits::new(35);
    assert_eq!(
        refusal,
        Refusal::HoldExceeded {
            hold: hold_id(1),
            remaining
        }
    );
    let entries = post(&mut book, &capture(1, None, REDEMPTION, false), at(3)).unwrap();
    assert_eq!((entries[0].amount.get(), entries[0].hold), (35, Some(hold_id(1))));
    assert_eq!(hold(&book, 1).state, HoldState::Captured);
    assert_eq!(
        (balance(&book, 0), available(&book, 0), balance(&book, REDEMPTION)),
        (40, 40, 60)
    );
    let refusal = post(&mut book, &capture(1, Some(1), REDEMPTION, false), at(4)).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::HoldNotOpen {
                state: HoldState::Captured,
                ..
            }
        ),
        "{refusal:?}"
    );
}

#[test]
fn the_last_capture_gives_back_the_rest() {
    let mut book = held();
    post(&mut book, &capture(1, Some(25), REDEMPTION, true), at(2)).unwrap();
    assert_eq!(
        (hold(&book, 1).state, hold(&book, 1).captured.get()),
        (HoldState::Voided, 25)
    );
    assert_eq!((balance(&book, 0), available(&book, 0)), (75, 75));
}

#[test]
fn a_void_gives_back_what_was_not_captured_and_happens_once() {
    let mut book = held();
    post(&mut book, &capture(1, Some(20), REDEMPTION, false), at(2)).unwrap();
    book.decide(MERCHANT, &Command::VoidHold(hold_id(1)), at(3))
        .unwrap();
    assert_eq!((balance(&book, 0), available(&book, 0)), (80, 80));
    for command in [Command::VoidHold(hold_id(1)), capture(1, None, REDEMPTION, false)] {
        let refusal = book.decide(MERCHANT, &command, at(4)).unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::HoldNotOpen {
                    state: HoldState::Voided,
                    ..
                }
            ),
            "{refusal:?}"
        );
    }
}

#[test]
fn at_its_time_a_hold_reserves_nothing() {
    let mut book = held();
    assert_eq!(book.expire(at(9)).unwrap(), []);
    assert_eq!(available(&book, 0), 40);
    assert_eq!(book.expire(at(10)).unwrap(), [hold_id(1)]);
    assert_eq!(available(&book, 0), 100);
    assert_eq!(book.expire(at(11)).unwrap(), []);
    let refusal = post(&mut book, &capture(1, None, REDEMPTION, false), at(11)).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::HoldNotOpen {
                state: HoldState::Expired,
                ..
            }
        ),
        "{refusal:?}"
    );
    let refusal = book
        .decide(MERCHANT, &place(2, 0, 1, at(11)), at(11))
        .unwrap_err();
    assert_eq!(refusal, Refusal::ExpiryPassed);
}

#[test]
fn one_transaction_draws_on_holds_and_pays_the_rest_otherwise() {
    let mut book = held();
    post(
        &mut book,
        &general(vec![debit(BANK, 50), credit(CARD, 50)]),
        at(1),
    )
    .unwrap();
    book.decide(MERCHANT, &place(2, CARD, 50, at(10)), at(1)).unwrap();
    let drawing = |id, entry| NewEntry {
        hold: Some(hold_id(id)),
        ..entry
    };
    let purchase = NewTransaction::general(
        vec![
            drawing(2, debit(CARD, 45)),
            debit(BANK, 30),
            credit(SALES, 75),
            drawing(1, debit(0, 60)),
            credit(REDEMPTION, 60),
        ],
        vec![hold_id(2)],
    );
    let decision = book
        .decide(MERCHANT, &Command::Post(purchase.unwrap()), at(2))
        .unwrap();
    let Decision::Posted { holds, .. } = decision else {
        panic!("{decision:?}")
    };
    let states: Vec<_> = holds.iter().map(|hold| (hold.id, hold.state)).collect();
    assert_eq!(
        states,
        [(hold_id(2), HoldState::Voided), (hold_id(1), HoldState::Captured)]
    );
    assert_eq!(
        (
            balance(&book, CARD),
            available(&book, CARD),
            balance(&book, SALES)
        ),
        (5, 5, 75)
    );
}

#[test]
fn a_hold_is_drawn_on_by_its_own_account_side_and_merchant_only() {
    let mut book = held();
    post(&mut book, &earn(1, 100), at(1)).unwrap();
    let drawing = |entry| NewEntry {
        hold: Some(hold_id(1)),
        ..entry
    };
    for (entries, place) in [
        (vec![drawing(debit(1, 10)), credit(REDEMPTION, 10)], 0),
        (vec![debit(ISSUANCE, 10), drawing(credit(0, 10))], 1),
    ] {
        let refusal = post(&mut book, &general(entries), at(2)).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::HoldMismatch {
                hold: hold_id(1),
                entry: Some(place)
            }
        );
    }
    let refusal = book
        .decide(OTHER, &Command::VoidHold(hold_id(1)), at(2))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::UnknownHold {
            hold: hold_id(1),
            entry: None
        }
    );
    let refusal = book
        .decide(MERCHANT, &Command::VoidHold(hold_id(9)), at(2))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::UnknownHold {
            hold: hold_id(9),
            entry: None
        }
    );
}

#[test]
fn room_under_a_greatest_balance_is_reserved_too() {
    let mut book = book();
    book.decide(MERCHANT, &place_credit(1, 3, 450, at(10)), at(0))
        .unwrap();
    let refusal = post(&mut book, &earn(3, 51), at(1)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::BalanceLimitExceeded { would_be, .. } if would_be.get() == 501),
        "{refusal:?}"
    );
    post(&mut book, &earn(3, 50), at(1)).unwrap();
    let entries = vec![
        debit(ISSUANCE, 450),
        NewEntry {
            hold: Some(hold_id(1)),
            ..credit(3, 450)
        },
    ];
    post(&mut book, &general(entries), at(2)).unwrap();
    assert_eq!(balance(&book, 3), 500);
}

#[test]
fn a_refusal_leaves_the_hold_as_it_was() {
    let mut book = held();
    let drawing = NewEntry {
        hold: Some(hold_id(1)),
        ..debit(0, 60)
    };
    // The second pair is refused.
    let entries = vec![
        drawing,
        credit(REDEMPTION, 60),
        debit(1, 5),
        credit(REDEMPTION, 5),
    ];
    post(&mut book, &general(entries), at(2)).unwrap_err();
    assert_eq!((hold(&book, 1).captured.get(), available(&book, 0)), (0, 40));
}
