//! Forgeries of cards, purchases, figures, and of the end of a replica.

use history_checker::{Done, Drain, History, Kind, Line, Outcome, Post, Request, Side, TenderKind, Trade};

use crate::{
    forged::{ADA, balance, lose_answer},
    reference::{Fleet, OTHER, SHOP, earn},
    till::{by_card, external, key, line, points, purchase, redemption, sale},
};

const CARD: &str = "crd_1";
const ACCOUNT: &str = "acc_crd_1";

/// Ada has 500 points; a card is made and sold for 50.00; 10.00 are redeemed; a purchase of 24.50 is paid with
/// 20.00 from outside, 3.75 of the card and 0.75 in points. Seven calls, with two looks at the card.
fn base() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.post("k0", &earn("", ADA, 500));
    let product = "prd_1".to_owned();
    fleet.trade("k1", &Trade::Issue { product });
    fleet.trade("k2", &sale(CARD, 5_000));
    fleet.trade("k3", &redemption(CARD, 1_000));
    let tenders = vec![external(2_000), by_card(CARD, 375), points(75)];
    fleet.trade("k4", &purchase(tenders, Some(ADA)));
    fleet.look(SHOP, key(CARD, true), false);
    fleet.look(SHOP, key(CARD, true), true);
    fleet
}

#[test]
fn what_they_are_forged_from_is_accepted() {
    assert_eq!(history_checker::check(&base().finish()), []);
}

fn done(history: &mut History, call: usize) -> &mut Done {
    let Outcome::Done(done) = &mut history.operations[call].outcome else {
        panic!("a trade")
    };
    done
}

/// One that nobody was ever told of: what it does with value alone.
fn at_till(amount: i64) -> Vec<Line> {
    vec![
        line("acc_shop-till", Side::Debit, amount),
        line("acc_shop-sales", Side::Credit, amount),
    ]
}

pub(crate) fn a_purchase_that_was_posted_twice() -> History {
    let mut fleet = base();
    fleet.trade("k5", &purchase(vec![external(100)], None));
    // The step was taken again under another key of the ledger.
    fleet.move_value(at_till(100)).unwrap();
    fleet.finish()
}

pub(crate) fn a_replay_with_another_purchase() -> History {
    let mut fleet = base();
    let bought = purchase(vec![external(100)], None);
    fleet.trade("k5", &bought);
    fleet.record_trade("k5", &bought, Outcome::Refused("TENDERS_UNBALANCED".to_owned()));
    fleet.finish()
}

pub(crate) fn one_key_for_two_purchases() -> History {
    let mut fleet = base();
    fleet.trade("k5", &purchase(vec![external(100)], None));
    fleet.trade("k6", &purchase(vec![external(200)], None));
    fleet.history.operations[8].key = "k5".to_owned();
    fleet.finish()
}

pub(crate) fn a_purchase_that_is_not_in_the_ledger() -> History {
    let mut fleet = base();
    let mut told = fleet.history.purchases[0].clone();
    (told.id, told.transaction) = ("pur_2".to_owned(), "txn_lost".to_owned());
    (told.amount, told.earned, told.burnt) = (100, 0, 0);
    fleet.history.purchases.push(told.clone());
    let answer = Outcome::Done(Done::Purchased(told));
    fleet.record_trade("k5", &purchase(vec![external(100)], None), answer);
    fleet.finish()
}

pub(crate) fn a_refused_purchase_that_was_posted() -> History {
    let mut fleet = base();
    let refused = fleet.trade("k5", &purchase(vec![points(100)], None));
    assert_eq!(refused, Outcome::Refused("POINTS_NOT_A_MULTIPLE".to_owned()));
    let lines = vec![
        line("acc_shop-cost", Side::Debit, 100),
        line("acc_shop-sales", Side::Credit, 100),
    ];
    fleet.move_value(lines).unwrap();
    fleet.finish()
}

pub(crate) fn a_card_that_was_refused_for_nothing() -> History {
    let mut fleet = base();
    let refused = Outcome::Refused("CARD_REFUSED".to_owned());
    fleet.record_trade("k5", &redemption(CARD, 1), refused);
    fleet.finish()
}

pub(crate) fn a_purchase_that_was_refused_for_nothing() -> History {
    let mut fleet = base();
    let refused = Outcome::Refused("TENDER_REFUSED".to_owned());
    fleet.record_trade("k5", &purchase(vec![by_card(CARD, 3_625)], None), refused);
    fleet.finish()
}

pub(crate) fn a_card_whose_value_came_from_nowhere() -> History {
    let mut history = base().finish();
    balance(&mut history.ledger_balances, "acc_shop-sales").balance -= 7;
    history
}

pub(crate) fn a_tender_that_another_account_paid() -> History {
    let mut fleet = base();
    fleet.trade("k5", &purchase(vec![external(75)], None));
    let Request::Trade(Trade::Purchase { tenders, .. }) = &mut fleet.history.operations[7].request else {
        panic!("a purchase")
    };
    // Points were to pay; nobody's, so none were burnt either.
    tenders[0].kind = TenderKind::Points;
    let mut history = fleet.finish();
    let Done::Purchased(told) = done(&mut history, 7) else {
        panic!("a purchase")
    };
    told.burnt = 50;
    history.purchases[1].burnt = 50;
    history
}

pub(crate) fn a_redemption_with_another_balance() -> History {
    let mut history = base().finish();
    let Done::Redeemed { balance, .. } = done(&mut history, 3) else {
        panic!("a redemption")
    };
    *balance -= 1;
    history
}

pub(crate) fn points_that_were_rounded_up() -> History {
    let mut fleet = base();
    // 1.99 earn 2.985 points.
    let mut lines = at_till(199);
    lines.extend([
        line("acc_shop-issuance", Side::Debit, 3),
        line(ADA, Side::Credit, 3),
    ]);
    let mut told = fleet.history.purchases[0].clone();
    told.transaction = fleet.move_value(lines).unwrap();
    (told.id, told.amount, told.earned, told.burnt) = ("pur_2".to_owned(), 199, 2, 0);
    fleet.history.purchases.push(told.clone());
    let bought = purchase(vec![external(199)], Some(ADA));
    fleet.record_trade("k5", &bought, Outcome::Done(Done::Purchased(told)));
    fleet.finish()
}

pub(crate) fn an_answer_with_other_points() -> History {
    let mut history = base().finish();
    let Done::Purchased(told) = done(&mut history, 4) else {
        panic!("a purchase")
    };
    told.earned += 1;
    history.purchases[0].earned += 1;
    history
}

pub(crate) fn a_purchase_that_changed() -> History {
    let mut history = base().finish();
    history.purchases[0].state = "PENDING".to_owned();
    history
}

pub(crate) fn a_card_with_a_balance_of_its_own() -> History {
    let mut history = base().finish();
    history.cards[0].balance += 1;
    history
}

pub(crate) fn a_card_below_zero() -> History {
    let mut fleet = base();
    // The ledger was told no limit.
    let account = fleet.history.accounts.iter_mut().find(|one| one.id == ACCOUNT);
    account.unwrap().min = None;
    fleet.trade("k5", &redemption(CARD, 3_626));
    fleet.finish()
}

pub(crate) fn a_card_that_was_sold_twice() -> History {
    let mut fleet = base();
    fleet.trade("k5", &redemption(CARD, 3_625));
    // It holds nothing, and is sold once more under another key.
    let mut lines = at_till(3_000);
    lines[1].account = ACCOUNT.to_owned();
    let transaction = fleet.move_value(lines).unwrap();
    let (card, account) = (CARD.to_owned(), ACCOUNT.to_owned());
    let answer = Outcome::Done(Done::Sold {
        card,
        account,
        face_value: 3_000,
        transaction,
    });
    fleet.record_trade("k6", &sale(CARD, 3_000), answer);
    fleet.finish()
}

pub(crate) fn a_sold_card_that_is_not_active() -> History {
    let mut history = base().finish();
    history.cards[0].state = "ACTIVATING".to_owned();
    history
}

pub(crate) fn two_cards_with_one_code() -> History {
    let mut fleet = base();
    let product = "prd_1".to_owned();
    fleet.trade("k5", &Trade::Issue { product });
    let mut history = fleet.finish();
    let Done::Issued { secret, .. } = done(&mut history, 7) else {
        panic!("a card")
    };
    "secret of crd_1".clone_into(secret);
    history
}

pub(crate) fn a_stale_look_at_a_card() -> History {
    let mut history = base().finish();
    let Outcome::Card(seen) = &mut history.operations[6].outcome else {
        panic!("a card")
    };
    // What it held before the purchase.
    seen.balance = 4_000;
    history
}

pub(crate) fn a_wrong_pin_that_opens() -> History {
    let mut history = base().finish();
    let Request::Look(look) = &mut history.operations[6].request else {
        panic!("a look")
    };
    look.key.opens = false;
    history
}

pub(crate) fn a_wrong_pin_that_pays() -> History {
    let mut history = base().finish();
    let Request::Trade(Trade::Redemption { card, .. }) = &mut history.operations[3].request else {
        panic!("a redemption")
    };
    card.opens = false;
    history
}

pub(crate) fn another_merchant_s_card() -> History {
    let mut fleet = base();
    fleet.look(OTHER, key(CARD, true), false);
    fleet.finish()
}

pub(crate) fn value_that_left_a_card_by_a_side_door() -> History {
    let mut fleet = base();
    let post = Post {
        kind: Kind::General,
        reference: String::new(),
        lines: vec![
            line(ACCOUNT, Side::Debit, 5),
            line("acc_shop-sales", Side::Credit, 5),
        ],
        releases: Vec::new(),
    };
    fleet.post("k5", &post);
    fleet.finish()
}

pub(crate) fn a_transaction_counted_twice() -> History {
    let mut history = base().finish();
    history.figures[1].transactions += 1;
    history
}

pub(crate) fn a_transaction_on_another_day() -> History {
    let mut history = base().finish();
    let (sold, amount) = (1, 5_000);
    let eur = |history: &mut History, day: usize| {
        let assets = &mut history.figures[day].assets;
        assets.iter().position(|one| one.asset == "EUR").unwrap()
    };
    let (from, to) = (eur(&mut history, 0), eur(&mut history, 1));
    history.figures[0].assets[from].cards_sold -= sold;
    history.figures[0].assets[from].cards_sold_amount -= amount;
    history.figures[1].assets[to].cards_sold += sold;
    history.figures[1].assets[to].cards_sold_amount += amount;
    history
}

/// All calls were made while a replica ended, with `status`.
fn drained(mut history: History, status: &str) -> History {
    let end = history.operations.iter().map(|call| call.end).max().unwrap();
    let (replica, status) = ("ledger-1".to_owned(), status.to_owned());
    history.drains.push(Drain {
        replica,
        start: 0,
        end,
        status,
    });
    history
}

#[test]
fn a_replica_that_ends_well_is_accepted_and_so_is_a_call_that_is_tried_again() {
    let mut history = base().finish();
    let mut again = history.operations[3].clone();
    again.id = 99;
    again.outcome = Outcome::Unknown("SHUTTING_DOWN".to_owned());
    history.operations.push(again);
    assert_eq!(history_checker::check(&drained(history, "exit status: 0")), []);
}

pub(crate) fn a_replica_that_was_killed_at_its_end() -> History {
    drained(base().finish(), "signal: 9 (SIGKILL)")
}

pub(crate) fn a_call_that_broke_while_a_replica_ended() -> History {
    let mut history = base().finish();
    lose_answer(&mut history, 3);
    history.operations[3].outcome = Outcome::Unknown("Cancelled".to_owned());
    drained(history, "exit status: 0")
}

pub(crate) fn a_call_that_was_given_up_while_a_replica_ended() -> History {
    let mut history = base().finish();
    history.operations[3].outcome = Outcome::Unknown("Unavailable".to_owned());
    history.operations[3].given_up = Some(history.operations[3].start);
    drained(history, "exit status: 0")
}
