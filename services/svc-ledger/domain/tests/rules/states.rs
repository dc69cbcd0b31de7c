//! Frozen and closed accounts.

use ledger_domain::{AccountState, Command, Refusal};
use lp_types::MinorUnits;

use crate::{holds::place, support::*};

fn set(n: u128, state: AccountState) -> Command {
    Command::SetState(account_id(n), state)
}

#[test]
fn nothing_moves_on_a_frozen_account_until_it_is_open_again() {
    let mut book = book();
    post(&mut book, &earn(0, 100), at(0)).unwrap();
    book.decide(MERCHANT, &place(1, 0, 30, at(9)), at(1)).unwrap();
    book.decide(MERCHANT, &set(0, AccountState::Frozen), at(1))
        .unwrap();
    let frozen = Refusal::AccountFrozen {
        account: account_id(0),
    };
    for command in [earn(0, 1), burn(0, 1), place(2, 0, 1, at(9))] {
        assert_eq!(
            book.decide(MERCHANT, &command, at(2)).unwrap_err(),
            frozen,
            "{command:?}"
        );
    }
    // What was reserved may be given back.
    book.decide(MERCHANT, &Command::VoidHold(hold_id(1)), at(2))
        .unwrap();
    assert_eq!(available(&book, 0), 100);
    book.decide(MERCHANT, &set(0, AccountState::Open), at(3)).unwrap();
    post(&mut book, &burn(0, 100), at(4)).unwrap();
}

#[test]
fn only_an_empty_account_is_closed_and_for_ever() {
    let mut book = book();
    post(&mut book, &earn(0, 100), at(0)).unwrap();
    let refusal = book
        .decide(MERCHANT, &set(0, AccountState::Closed), at(1))
        .unwrap_err();
    let (account, balance, held) = (account_id(0), MinorUnits::new(100), MinorUnits::ZERO);
    assert_eq!(
        refusal,
        Refusal::AccountNotEmpty {
            account,
            balance,
            held
        }
    );
    post(&mut book, &burn(0, 100), at(2)).unwrap();
    book.decide(MERCHANT, &set(0, AccountState::Closed), at(3))
        .unwrap();
    for command in [
        earn(0, 1),
        set(0, AccountState::Open),
        set(0, AccountState::Frozen),
    ] {
        let refusal = book.decide(MERCHANT, &command, at(4)).unwrap_err();
        assert_eq!(refusal, Refusal::AccountClosed { account }, "{command:?}");
    }
    book.decide(MERCHANT, &set(0, AccountState::Closed), at(5))
        .unwrap();
}

#[test]
fn an_empty_account_that_somebody_reserved_room_on_is_not_closed() {
    let mut book = book();
    book.decide(MERCHANT, &crate::holds::place_credit(1, 0, 30, at(9)), at(1))
        .unwrap();
    let refusal = book
        .decide(MERCHANT, &set(0, AccountState::Closed), at(1))
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::AccountNotEmpty { held, .. } if held.get() == 30),
        "{refusal:?}"
    );
}

#[test]
fn another_merchants_account_changes_no_state() {
    let refusal = book()
        .decide(OTHER, &set(0, AccountState::Frozen), at(0))
        .unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownAccount { .. }), "{refusal:?}");
}
