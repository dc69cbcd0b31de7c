//! Everything at random, against sums that are counted anew from what was posted.

use std::collections::HashMap;

use ledger_domain::{
    AccountState, Book, Command, Decision, Direction, HoldState, NewEntry, NewTransaction, Original,
    PostedEntry, Shortfall, TransactionKind,
};
use lp_types::AccountId;
use proptest::{prelude::*, sample::Index};

use crate::{
    holds::{capture, place, place_credit},
    reversals::reverse,
    support::*,
};

#[derive(Debug, Clone)]
enum Step {
    Earn(u128, i64),
    Burn(u128, i64),
    Move(Vec<(u128, u128, i64)>),
    Place {
        account: u128,
        n: i64,
        seconds: i64,
        credit: bool,
    },
    Capture {
        hold: Index,
        n: Option<i64>,
        ends: bool,
    },
    /// Draws on a hold, and pays as much again without.
    Mixed {
        hold: Index,
        n: i64,
    },
    Void(Index),
    Freeze(u128),
    Open(u128),
    Reverse {
        transaction: Index,
        part: Option<i64>,
        shortfall: u8,
    },
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let customer = || 0..CUSTOMERS;
    prop_oneof![
        4 => (customer(), 1..400_i64).prop_map(|(a, n)| Step::Earn(a, n)),
        2 => (customer(), 1..400_i64).prop_map(|(a, n)| Step::Burn(a, n)),
        2 => prop::collection::vec((customer(), customer(), 1..200_i64), 1..4).prop_map(Step::Move),
        4 => (customer(), 1..200_i64, 1..30_i64, prop::bool::weighted(0.2))
            .prop_map(|(account, n, seconds, credit)| Step::Place { account, n, seconds, credit }),
        3 => (any::<Index>(), prop::option::of(1..150_i64), any::<bool>())
            .prop_map(|(hold, n, ends)| Step::Capture { hold, n, ends }),
        2 => (any::<Index>(), 1..100_i64).prop_map(|(hold, n)| Step::Mixed { hold, n }),
        1 => any::<Index>().prop_map(Step::Void),
        1 => customer().prop_map(Step::Freeze),
        2 => customer().prop_map(Step::Open),
        4 => (any::<Index>(), prop::option::of(1..200_i64), 0..3_u8)
            .prop_map(|(transaction, part, shortfall)| Step::Reverse { transaction, part, shortfall }),
        2 => (1..20_i64).prop_map(Step::Wait),
    ]
}

/// What was done so far, and nothing derived from it.
#[derive(Default)]
struct History {
    /// By account: signed on its normal side, with the sequence and balance that the ledger told.
    entries: HashMap<AccountId, Vec<PostedEntry>>,
    posted: Vec<(TransactionKind, Vec<PostedEntry>)>,
    /// By transaction and line.
    reversed: HashMap<(usize, i16), i64>,
    /// Account, side, amount, expiry.
    placed: Vec<(u128, Direction, i64, i64)>,
    captured: HashMap<usize, i64>,
    ended: HashMap<usize, HoldState>,
    frozen: [bool; CUSTOMERS as usize],
    /// Seconds.
    now: i64,
}

impl History {
    fn reserved(&self, account: u128, direction: Direction) -> i64 {
        let open = (0..).zip(&self.placed).filter(|(number, (on, side, ..))| {
            *on == account && *side == direction && !self.ended.contains_key(number)
        });
        open.map(|(number, (_, _, n, _))| n - self.captured.get(&number).copied().unwrap_or(0))
            .sum()
    }

    fn balance(&self, account: u128) -> i64 {
        let raises = if matches!(account, ISSUANCE | OUTSIDE) {
            Direction::Debit
        } else {
            Direction::Credit
        };
        let entries = self.entries.get(&account_id(account)).into_iter().flatten();
        entries
            .map(|entry| {
                if entry.direction == raises {
                    entry.amount.get()
                } else {
                    -entry.amount.get()
                }
            })
            .sum()
    }

    fn command(&self, step: &Step) -> Option<Command> {
        let some_hold = |index: &Index| (!self.placed.is_empty()).then(|| index.index(self.placed.len()));
        Some(match step {
            Step::Earn(a, n) => earn(*a, *n),
            Step::Burn(a, n) => burn(*a, *n),
            Step::Move(moves) => {
                let entries = moves
                    .iter()
                    .flat_map(|(from, to, n)| [debit(*from, *n), credit(*to, *n)]);
                general(entries.collect())
            }
            Step::Place {
                account,
                n,
                seconds,
                credit,
            } => {
                let (id, until) = (self.placed.len() as u128, at(self.now + seconds));
                if *credit {
                    place_credit(id, *account, *n, until)
                } else {
                    place(id, *account, *n, until)
                }
            }
            Step::Capture { hold, n, ends } => {
                let number = some_hold(hold)?;
                let to = if self.placed[number].1 == Direction::Debit {
                    REDEMPTION
                } else {
                    ISSUANCE
                };
                capture(number as u128, *n, to, *ends)
            }
            Step::Mixed { hold, n } => {
                let number = some_hold(hold)?;
                let (account, side, ..) = self.placed[number];
                let own = entry(account, side, *n);
                let drawing = NewEntry {
                    hold: Some(hold_id(number as u128)),
                    ..own.clone()
                };
                let against = entry(OUTSIDE, side.opposite(), 2 * n);
                Command::Post(NewTransaction::general(vec![drawing, own, against], Vec::new()).unwrap())
            }
            Step::Void(hold) => Command::VoidHold(hold_id(some_hold(hold)? as u128)),
            Step::Freeze(a) => Command::SetState(account_id(*a), AccountState::Frozen),
            Step::Open(a) => Command::SetState(account_id(*a), AccountState::Open),
            Step::Reverse {
                transaction,
                part,
                shortfall,
            } => {
                let number = (!self.posted.is_empty()).then(|| transaction.index(self.posted.len()))?;
                let shortfall = match shortfall {
                    0 => Shortfall::Refuse,
                    1 => Shortfall::Overdraw,
                    _ => Shortfall::Owe(account_id(OUTSIDE)),
                };
                reverse(number as u128, part.map(|n| (n, "PTS")), shortfall)
            }
            Step::Wait(_) => return None,
        })
    }

    /// Whether the step must be carried out, where that can be told from the sums alone.
    fn allows(&self, step: &Step) -> Option<bool> {
        let spare = |account: u128| self.balance(account) - self.reserved(account, Direction::Debit);
        let room = |account: u128| match account {
            3 => 500 - self.balance(account) - self.reserved(account, Direction::Credit),
            _ => i64::MAX,
        };
        let open = |account: u128| !self.frozen[account as usize];
        Some(match step {
            Step::Earn(a, n) => open(*a) && *n <= room(*a),
            Step::Burn(a, n) => open(*a) && *n <= spare(*a),
            Step::Place {
                account, n, credit, ..
            } => open(*account) && *n <= if *credit { room(*account) } else { spare(*account) },
            Step::Capture { hold, n, .. } => {
                let number = hold.index(self.placed.len());
                let (account, _, amount, _) = self.placed[number];
                let left = amount - self.captured.get(&number).copied().unwrap_or(0);
                open(account) && !self.ended.contains_key(&number) && n.is_none_or(|n| n <= left)
            }
            Step::Void(hold) => !self.ended.contains_key(&hold.index(self.placed.len())),
            Step::Freeze(_) | Step::Open(_) => true,
            _ => return None,
        })
    }

    fn record(&mut self, step: &Step, command: &Command, decision: &Decision) {
        match decision {
            Decision::Posted { entries, .. } => {
                for entry in entries {
                    self.entries.entry(entry.account).or_default().push(entry.clone());
                    if let Some(hold) = entry.hold {
                        let number = (hold.uuid().as_u128() - 1_000) as usize;
                        let captured = self.captured.entry(number).or_default();
                        *captured += entry.amount.get();
                        if *captured == self.placed[number].2 {
                            self.ended.insert(number, HoldState::Captured);
                        }
                    }
                    if let (Some(line), Step::Reverse { transaction, .. }) = (entry.reverses, step) {
                        let number = transaction.index(self.posted.len());
                        *self.reversed.entry((number, line)).or_default() += entry.amount.get();
                    }
                }
                if let Step::Capture { hold, ends: true, .. } = step {
                    self.ended
                        .entry(hold.index(self.placed.len()))
                        .or_insert(HoldState::Voided);
                }
                let kind = match command {
                    Command::Post(transaction) => transaction.kind(),
                    _ => TransactionKind::Reversal,
                };
                self.posted.push((kind, entries.clone()));
            }
            Decision::Hold(hold) => match step {
                Step::Place {
                    account, n, seconds, ..
                } => {
                    self.placed
                        .push((*account, hold.direction, *n, self.now + seconds));
                }
                _ => {
                    let number = (hold.id.uuid().as_u128() - 1_000) as usize;
                    self.ended.insert(number, HoldState::Voided);
                }
            },
            Decision::State(account, state) => {
                let number = (account.uuid().as_u128() - 100) as usize;
                self.frozen[number] = *state == AccountState::Frozen;
            }
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.now += seconds;
        for (number, (.., expires)) in (0..).zip(&self.placed) {
            if *expires <= self.now {
                self.ended.entry(number).or_insert(HoldState::Expired);
            }
        }
    }

    /// As the ledger's rows would tell.
    fn originals(&self) -> Vec<Original> {
        let with = |(number, (kind, entries)): (usize, &(TransactionKind, Vec<PostedEntry>))| {
            let mut told = original(number as u128, *kind, entries);
            for line in &mut told.lines {
                line.reversed = self.reversed.get(&(number, line.line)).copied().unwrap_or(0);
            }
            told
        };
        (0..).zip(&self.posted).map(with).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_book_agrees_with_what_was_posted(steps in prop::collection::vec(step(), 1..60)) {
        let mut book = book();
        let mut history = History::default();
        for step in &steps {
            if let Step::Wait(seconds) = step {
                history.wait(*seconds);
                book.expire(at(history.now)).unwrap();
                continue;
            }
            let Some(command) = history.command(step) else { continue };
            book = book.with_originals(history.originals());
            let expected = history.allows(step);
            let before: Vec<_> = (0..CUSTOMERS).map(|n| (balance(&book, n), available(&book, n))).collect();
            let decided = book.decide(MERCHANT, &command, at(history.now));
            if let Some(expected) = expected {
                prop_assert_eq!(decided.is_ok(), expected, "{:?}: {:?}", command, decided);
            }
            match decided {
                Ok(decision) => history.record(step, &command, &decision),
                Err(_) => {
                    let after: Vec<_> = (0..CUSTOMERS).map(|n| (balance(&book, n), available(&book, n))).collect();
                    prop_assert_eq!(&before, &after, "a refusal changed something: {:?}", command);
                    continue;
                }
            }
            agrees(&book, &history, step, &before)?;
        }
    }
}

fn agrees(book: &Book, history: &History, step: &Step, before: &[(i64, i64)]) -> Result<(), TestCaseError> {
    for n in (0..CUSTOMERS).chain([ISSUANCE, REDEMPTION, OUTSIDE]) {
        let account = book.get(account_id(n)).unwrap();
        prop_assert_eq!(balance(book, n), history.balance(n), "balance of {}", n);
        prop_assert_eq!(
            account.held_debits.get(),
            history.reserved(n, Direction::Debit),
            "held debits of {}",
            n
        );
        prop_assert_eq!(
            account.held_credits.get(),
            history.reserved(n, Direction::Credit),
            "held credits of {}",
            n
        );
        let entries = history.entries.get(&account_id(n)).cloned().unwrap_or_default();
        prop_assert!(
            (1..)
                .zip(&entries)
                .all(|(number, entry)| entry.account_sequence == number),
            "a gap in {}",
            n
        );
        if let Some(last) = entries.last() {
            prop_assert_eq!(last.balance_after.get(), history.balance(n));
        }
    }
    // Nobody falls below zero but by a reversal that says so, and nobody in debt falls further otherwise.
    for (n, (_, was)) in (0..CUSTOMERS).zip(before) {
        let now = available(book, n);
        let overdraws = matches!(step, Step::Reverse { shortfall: 1, .. });
        prop_assert!(
            now >= 0 || now >= *was || overdraws,
            "customer {} fell from {} to {}: {:?}",
            n,
            was,
            now,
            step
        );
        let debt = book.get(account_id(n)).unwrap().debt.get();
        prop_assert_eq!(debt, (-available(book, n)).max(0));
    }
    for ((number, line), reversed) in &history.reversed {
        let (_, entries) = &history.posted[*number];
        let amount = entries
            .iter()
            .find(|entry| entry.line == *line)
            .unwrap()
            .amount
            .get();
        prop_assert!(*reversed <= amount, "{} of {} went back", reversed, amount);
    }
    let mut sum = 0;
    for entry in history
        .posted
        .last()
        .map(|(_, entries)| entries)
        .into_iter()
        .flatten()
    {
        sum += if entry.direction == Direction::Debit {
            entry.amount.get()
        } else {
            -entry.amount.get()
        };
    }
    prop_assert_eq!(sum, 0);
    Ok(())
}
