//! One forgery at least for each rule: a history that breaks this promise and no other.

use std::collections::BTreeSet;

use history_checker::{
    Balance, Entry, History, Kind, Line, Outcome, Post, Read, Request, Rule, Side, Source, Violation, check,
};

use crate::forged_holds as holds;
use crate::forged_trades as trades;
use crate::forged_views as views;
use crate::reference::{CAPPED, CUSTOMERS, Fleet, SHOP, burn, earn, transfer};
use crate::till::figures;

pub(crate) const ADA: &str = CUSTOMERS[0];
pub(crate) const BOB: &str = CUSTOMERS[1];

/// Ada: earned 10 and 20, then gave 5 to Bob.
pub(crate) fn base() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.post("k1", &earn("one", ADA, 10));
    fleet.post("k2", &earn("two", ADA, 20));
    fleet.post("k3", &transfer("three", ADA, BOB, 5));
    fleet
}

/// Changes every copy of the entries that `chosen` says, in answers and lists.
pub(crate) fn alter(history: &mut History, chosen: impl Fn(&Entry) -> bool, change: impl Fn(&mut Entry)) {
    let answered = history
        .operations
        .iter_mut()
        .filter_map(|call| match &mut call.outcome {
            Outcome::Posted { transaction, .. } => Some(transaction),
            _ => None,
        });
    let transactions = answered
        .chain(&mut history.transactions)
        .flat_map(|one| &mut one.entries);
    transactions
        .chain(&mut history.entries)
        .filter(|entry| chosen(entry))
        .for_each(change);
    for call in &mut history.operations {
        if let Outcome::Posted {
            transaction,
            balances,
            ..
        } = &mut call.outcome
        {
            for balance in balances {
                let mut entries = transaction.entries.iter();
                if let Some(last) = entries.rfind(|e| e.account == balance.account) {
                    (balance.sequence, balance.balance) = (last.sequence, last.balance_after);
                }
            }
        }
    }
}

/// Makes the balances at the end those of the last entries.
pub(crate) fn settle(history: &mut History) {
    for balance in history
        .ledger_balances
        .iter_mut()
        .chain(&mut history.wallet_balances)
    {
        let of_account = history.entries.iter().filter(|e| e.account == balance.account);
        (balance.sequence, balance.balance) = of_account
            .map(|e| (e.sequence, e.balance_after))
            .max()
            .unwrap_or((0, 0));
    }
}

/// Forgets the answer of call number `id`.
pub(crate) fn lose_answer(history: &mut History, id: usize) {
    history.operations[id].outcome = Outcome::Unknown("UNAVAILABLE".to_owned());
}

pub(crate) fn balance<'a>(balances: &'a mut [Balance], account: &str) -> &'a mut Balance {
    balances
        .iter_mut()
        .find(|balance| balance.account == account)
        .unwrap()
}

fn money_from_nowhere() -> History {
    let mut history = base().finish();
    balance(&mut history.ledger_balances, ADA).balance += 1;
    balance(&mut history.wallet_balances, ADA).balance += 1;
    history
}

fn two_unbalanced_transactions() -> History {
    // Asked for like that, and together they even out.
    let line = |account: &str, side, amount| Line {
        account: account.to_owned(),
        side,
        amount,
        hold: None,
    };
    let uneven = |name: &str, debit, credit| Post {
        kind: Kind::General,
        reference: name.to_owned(),
        lines: vec![line(ADA, Side::Debit, debit), line(BOB, Side::Credit, credit)],
        releases: Vec::new(),
    };
    let mut fleet = base();
    fleet.post("k4", &uneven("four", 1, 2));
    fleet.post("k5", &uneven("five", 2, 1));
    fleet.finish()
}

fn a_skipped_sequence() -> History {
    let mut history = base().finish();
    alter(
        &mut history,
        |e| e.account == ADA && e.sequence == 3,
        |e| e.sequence = 4,
    );
    settle(&mut history);
    history
}

fn a_sequence_given_twice() -> History {
    let mut history = base().finish();
    alter(
        &mut history,
        |e| e.account == ADA && e.sequence == 2,
        |e| e.sequence = 1,
    );
    history
}

fn a_wrong_balance_after() -> History {
    let mut history = base().finish();
    alter(
        &mut history,
        |e| e.account == ADA && e.sequence == 2,
        |e| e.balance_after += 7,
    );
    history
}

fn an_entry_that_its_account_does_not_list() -> History {
    let mut history = base().finish();
    let last = history.entries.iter().rposition(|e| e.account == ADA).unwrap();
    history.entries.remove(last);
    // The list alone is short: the account's own balance is right.
    history
}

fn a_transaction_listed_twice() -> History {
    let mut history = base().finish();
    history.transactions.push(history.transactions[0].clone());
    history
}

fn an_account_above_its_limit() -> History {
    let mut fleet = base();
    let capped = fleet
        .history
        .accounts
        .iter_mut()
        .find(|a| a.id == CAPPED)
        .unwrap();
    capped.max = Some(1_000);
    fleet.post("k4", &earn("four", ADA, 200));
    fleet.post("k5", &transfer("five", ADA, CAPPED, 150));
    let capped = fleet
        .history
        .accounts
        .iter_mut()
        .find(|a| a.id == CAPPED)
        .unwrap();
    capped.max = Some(100);
    fleet.finish()
}

fn a_retry_that_posted_again() -> History {
    let mut fleet = base();
    fleet.post("k4", &earn("", ADA, 8));
    lose_answer(&mut fleet.history, 3);
    // The ledger forgot the key.
    fleet.post("forgotten", &earn("", ADA, 8));
    fleet.history.operations[4].key = "k4".to_owned();
    fleet.finish()
}

fn two_keys_with_one_transaction() -> History {
    let mut fleet = base();
    let answer = fleet.post("k4", &earn("", ADA, 8));
    fleet.record(
        fleet.next_span(),
        SHOP,
        "k5",
        Request::Post(earn("", ADA, 8)),
        answer,
    );
    fleet.finish()
}

fn a_replay_with_another_answer() -> History {
    let mut fleet = base();
    let again = Request::Post(earn("one", ADA, 10));
    fleet.record(
        fleet.next_span(),
        SHOP,
        "k1",
        again,
        Outcome::Refused("REFERENCE_TAKEN".to_owned()),
    );
    fleet.finish()
}

fn one_key_and_two_requests() -> History {
    let mut fleet = base();
    fleet.post("k4", &earn("four", ADA, 9));
    fleet.history.operations[3].key = "k1".to_owned();
    fleet.finish()
}

fn a_reuse_that_was_none() -> History {
    let mut fleet = base();
    let refused = Outcome::Refused("IDEMPOTENCY_KEY_REUSED".to_owned());
    fleet.record(
        fleet.next_span(),
        SHOP,
        "k4",
        Request::Post(earn("four", ADA, 9)),
        refused,
    );
    fleet.finish()
}

fn an_acknowledged_write_that_is_gone() -> History {
    let mut history = base().finish();
    let lost = history.transactions.pop().unwrap();
    history.entries.retain(|entry| entry.transaction != lost.id);
    settle(&mut history);
    history.figures = figures(&history);
    history
}

fn an_answer_that_does_not_stand() -> History {
    let mut history = base().finish();
    let Outcome::Posted { balances, .. } = &mut history.operations[0].outcome else {
        panic!("a write")
    };
    balances[0].balance += 1;
    history
}

fn a_write_that_nobody_asked_for() -> History {
    let mut history = base().finish();
    history.operations.pop();
    history
}

fn a_refused_write_that_stands() -> History {
    let mut history = base().finish();
    history.operations[2].outcome = Outcome::Refused("REFERENCE_TAKEN".to_owned());
    history
}

fn a_part_of_a_write() -> History {
    let mut fleet = base();
    let mut whole = transfer("four", ADA, BOB, 2);
    fleet.post("k4", &whole);
    lose_answer(&mut fleet.history, 3);
    whole.lines.extend(transfer("", ADA, CAPPED, 3).lines);
    fleet.history.operations[3].request = Request::Post(whole);
    fleet.finish()
}

fn another_amount_than_asked() -> History {
    let mut fleet = base();
    fleet.post("k4", &earn("four", ADA, 9));
    fleet.history.operations[3].request = Request::Post(earn("four", ADA, 10));
    fleet.finish()
}

fn a_refusal_for_want_of_what_was_there() -> History {
    let mut fleet = base();
    let refused = Outcome::Refused("INSUFFICIENT_FUNDS".to_owned());
    fleet.record(
        fleet.next_span(),
        SHOP,
        "k4",
        Request::Post(burn("four", ADA, 25)),
        refused,
    );
    fleet.finish()
}

fn an_own_account_that_is_unknown() -> History {
    let mut fleet = base();
    let read = Read {
        account: ADA.to_owned(),
        from: Source::Ledger,
        token: None,
    };
    let refused = Outcome::Refused("UNKNOWN_ACCOUNT".to_owned());
    fleet.record(fleet.next_span(), SHOP, "", Request::Read(read), refused);
    fleet.finish()
}

fn a_later_write_with_a_lower_sequence() -> History {
    let mut history = base().finish();
    let first = (history.operations[0].start, history.operations[0].end);
    let second = (history.operations[1].start, history.operations[1].end);
    (history.operations[0].start, history.operations[0].end) = second;
    (history.operations[1].start, history.operations[1].end) = first;
    history
}

fn an_unanswered_write_before_its_time() -> History {
    let mut history = base().finish();
    let after_all = history.operations[2].end + 10;
    (history.operations[0].start, history.operations[0].end) = (after_all, after_all + 10);
    lose_answer(&mut history, 0);
    history
}

type Forgery = (Rule, fn() -> History);

const FORGERIES: &[Forgery] = &[
    (Rule::Conservation, money_from_nowhere),
    (Rule::Balanced, two_unbalanced_transactions),
    (Rule::Gapless, a_skipped_sequence),
    (Rule::Gapless, a_sequence_given_twice),
    (Rule::Chain, a_wrong_balance_after),
    (Rule::Views, an_entry_that_its_account_does_not_list),
    (Rule::Views, a_transaction_listed_twice),
    (Rule::Limits, an_account_above_its_limit),
    (Rule::OneEffect, a_retry_that_posted_again),
    (Rule::OneEffect, two_keys_with_one_transaction),
    (Rule::SameAnswer, a_replay_with_another_answer),
    (Rule::KeyReuse, one_key_and_two_requests),
    (Rule::KeyReuse, a_reuse_that_was_none),
    (Rule::LostWrite, an_acknowledged_write_that_is_gone),
    (Rule::ChangedWrite, an_answer_that_does_not_stand),
    (Rule::UnaskedWrite, a_write_that_nobody_asked_for),
    (Rule::RefusedWrite, a_refused_write_that_stands),
    (Rule::PartialWrite, a_part_of_a_write),
    (Rule::PartialWrite, another_amount_than_asked),
    (Rule::Refusal, a_refusal_for_want_of_what_was_there),
    (Rule::Refusal, an_own_account_that_is_unknown),
    (Rule::RealTimeOrder, a_later_write_with_a_lower_sequence),
    (Rule::RealTimeOrder, an_unanswered_write_before_its_time),
    (Rule::StaleRead, views::a_stale_read_of_the_ledger),
    (Rule::StaleRead, views::a_read_older_than_another_before_it),
    (Rule::FutureRead, views::a_read_of_the_future),
    (Rule::ReadValue, views::a_balance_that_never_was),
    (Rule::TokenRead, views::a_read_behind_its_token),
    (Rule::WalletEqualsLedger, views::a_wallet_that_is_behind),
    (Rule::OneNotification, views::two_notifications_of_one_earn),
    (Rule::OneNotification, views::a_notification_that_was_not_sent),
    (Rule::OneNotification, views::a_message_to_who_declines_them),
    (Rule::OneMail, views::two_different_mails_of_one_notification),
    (Rule::OneMail, views::a_mail_to_somebody_else),
    (
        Rule::Isolation,
        views::a_transfer_between_another_merchant_s_accounts,
    ),
    (Rule::Isolation, views::another_merchant_s_balance),
    (Rule::Fault, views::a_fault),
    (Rule::OneEffect, trades::a_purchase_that_was_posted_twice),
    (Rule::SameAnswer, trades::a_replay_with_another_purchase),
    (Rule::KeyReuse, trades::one_key_for_two_purchases),
    (Rule::LostWrite, trades::a_purchase_that_is_not_in_the_ledger),
    (Rule::RefusedWrite, trades::a_refused_purchase_that_was_posted),
    (Rule::Refusal, trades::a_card_that_was_refused_for_nothing),
    (Rule::Refusal, trades::a_purchase_that_was_refused_for_nothing),
    (Rule::Conservation, trades::a_card_whose_value_came_from_nowhere),
    (Rule::Tenders, trades::a_tender_that_another_account_paid),
    (Rule::Tenders, trades::a_redemption_with_another_balance),
    (Rule::Points, trades::points_that_were_rounded_up),
    (Rule::Points, trades::an_answer_with_other_points),
    (Rule::PurchaseView, trades::a_purchase_that_changed),
    (Rule::CardEqualsLedger, trades::a_card_with_a_balance_of_its_own),
    (Rule::CardEqualsLedger, trades::a_card_below_zero),
    (Rule::CardSoldOnce, trades::a_card_that_was_sold_twice),
    (Rule::CardSoldOnce, trades::a_sold_card_that_is_not_active),
    (Rule::CardSoldOnce, trades::two_cards_with_one_code),
    (Rule::CardRead, trades::a_stale_look_at_a_card),
    (Rule::CardSecret, trades::a_wrong_pin_that_opens),
    (Rule::CardSecret, trades::a_wrong_pin_that_pays),
    (Rule::Isolation, trades::another_merchant_s_card),
    (Rule::Liability, trades::value_that_left_a_card_by_a_side_door),
    (Rule::DailyFigures, trades::a_transaction_counted_twice),
    (Rule::DailyFigures, trades::a_transaction_on_another_day),
    (Rule::Drain, trades::a_replica_that_was_killed_at_its_end),
    (Rule::Drain, trades::a_call_that_broke_while_a_replica_ended),
    (
        Rule::Drain,
        trades::a_call_that_was_given_up_while_a_replica_ended,
    ),
    (Rule::HoldCaptures, holds::more_captured_than_was_held),
    (Rule::HoldCaptures, holds::a_capture_that_the_hold_does_not_show),
    (Rule::HoldCaptures, holds::a_capture_of_another_account_s_hold),
    (Rule::HoldRoom, holds::held_value_that_was_burnt),
    (Rule::HoldRoom, holds::held_value_that_was_held_again),
    (Rule::HoldEnd, holds::a_capture_after_the_end),
    (Rule::HoldEnd, holds::a_capture_after_the_last_one),
    (Rule::HoldEnd, holds::a_hold_that_was_voided_twice),
    (Rule::HoldTime, holds::a_hold_that_expired_too_soon),
    (Rule::HoldTime, holds::a_capture_long_after_the_time),
    (Rule::Available, holds::more_available_than_there_was),
    (Rule::Available, holds::an_end_that_gave_nothing_back),
    (Rule::LostWrite, holds::a_hold_that_is_gone),
    (Rule::ReversalTotal, holds::more_undone_than_was_done),
    (Rule::ReversalTotal, holds::a_reversal_of_another_part),
    (Rule::ReversalTotal, holds::a_reversal_that_left_something),
    (Rule::ReversalOrigin, holds::a_tender_that_went_back_elsewhere),
    (Rule::ReversalOrigin, holds::a_reversal_of_a_reversal),
    (Rule::AccountState, holds::an_entry_on_a_frozen_account),
    (Rule::AccountState, holds::a_hold_on_a_frozen_account),
    (Rule::AccountState, holds::a_closed_account_that_holds_something),
    (Rule::Refusal, holds::a_capture_refused_for_an_end_that_was_none),
    (Rule::Refusal, holds::a_capture_refused_for_what_was_left),
    (Rule::Refusal, holds::a_hold_refused_although_there_was_enough),
    (Rule::Refusal, holds::a_reversal_refused_as_done),
    (Rule::Refusal, holds::a_refusal_for_a_frost_that_was_none),
];

#[test]
fn what_they_are_forged_from_is_accepted() {
    assert_eq!(check(&base().finish()), []);
}

#[test]
fn every_rule_has_a_forgery() {
    let forged: BTreeSet<_> = FORGERIES.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(forged, Rule::ALL.iter().copied().collect());
}

#[test]
fn each_forgery_is_rejected_by_its_rule_and_no_other() {
    let mut wrong = Vec::new();
    for (number, (rule, forge)) in FORGERIES.iter().enumerate() {
        let violations = check(&forge());
        let rules: BTreeSet<_> = violations.iter().map(|violation| violation.rule).collect();
        if rules != BTreeSet::from([*rule]) {
            let told: Vec<_> = violations.iter().map(Violation::to_string).collect();
            wrong.push(format!("forgery {number} of {rule}:\n{}", told.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_violation_names_rule_operations_and_accounts_in_one_line() {
    let [violation] = &check(&a_retry_that_posted_again())[..] else {
        panic!("one violation")
    };
    assert_eq!(
        violation.to_string(),
        "one-effect: the ledger has txn_4, more than the keys that asked for it; operations 3, 4; \
         accounts acc_ada, acc_shop-issuance"
    );
}
