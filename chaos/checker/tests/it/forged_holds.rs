//! Forgeries of what holds, reversals and states promise.

use history_checker::{ClockBound, Command, History, HoldState, Outcome, Request, Shortfall, Source, State};

use crate::forged::{ADA, BOB, alter, base, settle};
use crate::holding::{capture, place, reverse, set_state, void};
use crate::reference::{Fleet, SHOP, burn, earn};

const LATE: u64 = 1_000_000;

/// Ada has 25; 20 of it are held, of which 5 were captured.
pub(crate) fn held() -> Fleet {
    let mut fleet = base();
    fleet.command("h1", &place(ADA, 20, LATE));
    fleet.command("h2", &capture("hld_1", Some(5), false));
    fleet
}

/// As if a call of somebody had been forgotten by the rules of the model: the ledger does it in any case.
fn behind_its_back(fleet: &mut Fleet, key: &str, command: &Command, change: impl Fn(&mut Fleet)) {
    let holds = fleet.history.holds.clone();
    let shut = fleet.shut.clone();
    change(fleet);
    fleet.command(key, command);
    for (hold, before) in fleet.history.holds.iter_mut().zip(holds) {
        (hold.state, hold.remaining) = (before.state, before.remaining);
    }
    fleet.shut = shut;
}

fn reopen(fleet: &mut Fleet) {
    for hold in &mut fleet.history.holds {
        (hold.state, hold.remaining) = (HoldState::Open, hold.amount - hold.captured);
    }
}

pub(crate) fn more_captured_than_was_held() -> History {
    let mut fleet = held();
    fleet.post("k4", &earn("four", ADA, 50));
    fleet.history.holds[0].amount = 60;
    fleet.history.holds[0].remaining = 55;
    fleet.command("h3", &capture("hld_1", Some(40), false));
    let hold = &mut fleet.history.holds[0];
    (hold.amount, hold.remaining, hold.state) = (20, 0, HoldState::Captured);
    let mut history = fleet.finish();
    for call in &mut history.operations {
        if let Outcome::Posted { holds, .. } = &mut call.outcome {
            holds.iter_mut().for_each(|hold| hold.amount = 20);
        }
    }
    history
}

pub(crate) fn a_capture_that_the_hold_does_not_show() -> History {
    let mut history = held().finish();
    (history.holds[0].captured, history.holds[0].remaining) = (4, 16);
    history
}

pub(crate) fn a_capture_of_another_account_s_hold() -> History {
    let mut history = held().finish();
    history.holds[0].account = BOB.to_owned();
    for call in &mut history.operations {
        match (&mut call.request, &mut call.outcome) {
            (Request::Command(Command::Place { account, .. }), Outcome::Held(held)) => {
                BOB.clone_into(account);
                BOB.clone_into(&mut held.hold.account);
                BOB.clone_into(&mut held.balance.account);
                (
                    held.balance.balance,
                    held.balance.sequence,
                    held.balance.available,
                ) = (5, 1, None);
            }
            (_, Outcome::Posted { holds, .. }) => holds.clear(),
            _ => {}
        }
    }
    for balance in &mut history.ledger_balances {
        balance.available = None;
    }
    history
}

pub(crate) fn held_value_that_was_burnt() -> History {
    let mut fleet = held();
    // Ada has 20 left, of which 15 are held.
    let rest = std::mem::replace(&mut fleet.history.holds[0].remaining, 0);
    fleet.post("k4", &burn("four", ADA, 6));
    fleet.history.holds[0].remaining = rest;
    fleet.finish()
}

pub(crate) fn held_value_that_was_held_again() -> History {
    let mut fleet = held();
    let rest = std::mem::replace(&mut fleet.history.holds[0].remaining, 0);
    fleet.command("h3", &place(ADA, 20, LATE));
    fleet.history.holds[0].remaining = rest;
    let mut history = fleet.finish();
    for call in &mut history.operations {
        if let (Outcome::Held(held), "h3") = (&mut call.outcome, call.key.as_str()) {
            held.balance.available = Some(-15);
        }
    }
    history
}

pub(crate) fn a_capture_after_the_end() -> History {
    let mut fleet = held();
    fleet.command("h3", &void("hld_1"));
    behind_its_back(&mut fleet, "h4", &capture("hld_1", Some(5), false), reopen);
    fleet.history.holds[0].captured = 10;
    fleet.finish()
}

pub(crate) fn a_capture_after_the_last_one() -> History {
    let mut fleet = held();
    fleet.command("h3", &capture("hld_1", Some(1), true));
    behind_its_back(&mut fleet, "h4", &capture("hld_1", Some(5), false), reopen);
    fleet.history.holds[0].captured = 11;
    fleet.finish()
}

pub(crate) fn a_hold_that_was_voided_twice() -> History {
    let mut fleet = held();
    fleet.command("h3", &void("hld_1"));
    behind_its_back(&mut fleet, "h4", &void("hld_1"), reopen);
    fleet.finish()
}

pub(crate) fn a_hold_that_expired_too_soon() -> History {
    let mut fleet = held();
    let hold = &mut fleet.history.holds[0];
    (hold.state, hold.remaining) = (HoldState::Expired, 0);
    fleet.finish()
}

pub(crate) fn a_capture_long_after_the_time() -> History {
    let mut fleet = base();
    let expires_at = fleet.next_span().0 + 30;
    fleet.command("h1", &place(ADA, 20, expires_at));
    for number in 0..9 {
        fleet.post(&format!("b{number}"), &earn("", BOB, 1));
    }
    fleet.history.holds[0].expires_at = LATE;
    fleet.command("h2", &capture("hld_1", None, false));
    fleet.history.holds[0].expires_at = expires_at;
    let mut history = fleet.finish();
    for call in &mut history.operations {
        if let Outcome::Posted { holds, .. } = &mut call.outcome {
            holds.iter_mut().for_each(|hold| hold.expires_at = expires_at);
        }
    }
    history
}

pub(crate) fn more_available_than_there_was() -> History {
    let mut fleet = held();
    fleet.read(ADA, Source::Ledger, None);
    let mut history = fleet.finish();
    let Some(Outcome::Balance(seen)) = history.operations.last_mut().map(|call| &mut call.outcome) else {
        return history;
    };
    seen.available = Some(seen.balance);
    history
}

pub(crate) fn an_end_that_gave_nothing_back() -> History {
    let mut fleet = held();
    fleet.command("h3", &void("hld_1"));
    let mut history = fleet.finish();
    for balance in &mut history.ledger_balances {
        if balance.account == ADA {
            balance.available = Some(5);
        }
    }
    history
}

pub(crate) fn a_hold_that_is_gone() -> History {
    let mut fleet = base();
    fleet.command("h1", &place(ADA, 20, LATE));
    let mut history = fleet.finish();
    history.holds.clear();
    for call in &mut history.operations {
        if let Outcome::Held(held) = &mut call.outcome {
            held.balance.available = None;
        }
    }
    history
        .ledger_balances
        .iter_mut()
        .for_each(|balance| balance.available = None);
    history
}

pub(crate) fn more_undone_than_was_done() -> History {
    let mut fleet = base();
    fleet.command("r1", &reverse("txn_2", Some(15), Shortfall::Refuse));
    // The model looks at the first line alone.
    fleet.history.transactions[3].reverses = None;
    fleet.command("r2", &reverse("txn_2", Some(15), Shortfall::Overdraw));
    fleet.history.transactions[3].reverses = Some("txn_2".to_owned());
    fleet.finish()
}

pub(crate) fn a_reversal_of_another_part() -> History {
    let mut fleet = base();
    fleet.command("r1", &reverse("txn_2", Some(15), Shortfall::Refuse));
    let mut history = fleet.finish();
    for call in &mut history.operations {
        if let Request::Command(Command::Reverse { part: Some(part), .. }) = &mut call.request {
            part.amount = 14;
        }
    }
    history
}

pub(crate) fn a_reversal_that_left_something() -> History {
    let mut fleet = base();
    fleet.command("r1", &reverse("txn_2", Some(15), Shortfall::Refuse));
    let mut history = fleet.finish();
    for call in &mut history.operations {
        if let Request::Command(Command::Reverse { part, .. }) = &mut call.request {
            *part = None;
        }
    }
    history
}

pub(crate) fn a_tender_that_went_back_elsewhere() -> History {
    let mut fleet = base();
    fleet.command("r1", &reverse("txn_3", Some(2), Shortfall::Refuse));
    let mut history = fleet.finish();
    // What Ada gave to Bob goes back to an account that gave nothing.
    let other = crate::reference::CAPPED;
    alter(
        &mut history,
        |entry| entry.transaction == "txn_4" && entry.account == ADA,
        |entry| {
            other.clone_into(&mut entry.account);
            (entry.sequence, entry.balance_after) = (1, 2);
        },
    );
    for call in &mut history.operations {
        if let Outcome::Posted {
            transaction,
            balances,
            ..
        } = &mut call.outcome
            && transaction.id == "txn_4"
        {
            balances.clear();
        }
    }
    settle(&mut history);
    history
}

pub(crate) fn a_reversal_of_a_reversal() -> History {
    let mut fleet = base();
    fleet.command("r1", &reverse("txn_3", None, Shortfall::Refuse));
    fleet.history.transactions[3].kind = history_checker::Kind::General;
    fleet.command("r2", &reverse("txn_4", None, Shortfall::Refuse));
    fleet.history.transactions[3].kind = history_checker::Kind::Reversal;
    fleet.finish()
}

pub(crate) fn an_entry_on_a_frozen_account() -> History {
    let mut fleet = base();
    fleet.command("s1", &set_state(ADA, State::Frozen));
    fleet.shut.clear();
    fleet.post("k4", &earn("four", ADA, 1));
    fleet.finish()
}

pub(crate) fn a_hold_on_a_frozen_account() -> History {
    let mut fleet = base();
    fleet.command("s1", &set_state(ADA, State::Frozen));
    fleet.shut.clear();
    fleet.command("h1", &place(ADA, 1, LATE));
    fleet.finish()
}

pub(crate) fn a_closed_account_that_holds_something() -> History {
    let mut fleet = base();
    let outcome = Outcome::State {
        account: BOB.to_owned(),
        state: State::Closed,
    };
    let span = fleet.next_span();
    let request = Request::Command(set_state(BOB, State::Closed));
    fleet.record(span, SHOP, "s1", request, outcome);
    fleet.finish()
}

fn a_refusal(command: &Command, reason: &str) -> History {
    let mut fleet = held();
    let refused = Outcome::Refused(reason.to_owned());
    let span = fleet.next_span();
    fleet.record(span, SHOP, "x1", Request::Command(command.clone()), refused);
    fleet.finish()
}

pub(crate) fn a_capture_refused_for_an_end_that_was_none() -> History {
    a_refusal(&capture("hld_1", Some(1), false), "HOLD_NOT_OPEN")
}

pub(crate) fn a_capture_refused_for_what_was_left() -> History {
    a_refusal(&capture("hld_1", Some(15), false), "HOLD_EXCEEDED")
}

pub(crate) fn a_hold_refused_although_there_was_enough() -> History {
    a_refusal(&place(ADA, 5, LATE), "INSUFFICIENT_FUNDS")
}

pub(crate) fn a_reversal_refused_as_done() -> History {
    a_refusal(&reverse("txn_2", Some(1), Shortfall::Refuse), "ALREADY_REVERSED")
}

pub(crate) fn a_refusal_for_a_frost_that_was_none() -> History {
    a_refusal(&capture("hld_1", Some(1), false), "ACCOUNT_FROZEN")
}

#[test]
fn what_they_are_forged_from_is_accepted() {
    assert_eq!(history_checker::check(&held().finish()), []);
}

#[test]
fn a_clock_that_may_be_ahead_excuses_an_early_expiry() {
    let mut history = a_hold_that_expired_too_soon();
    history.clock = ClockBound {
        ahead: LATE,
        behind: 0,
    };
    assert_eq!(history_checker::check(&history), []);
}
