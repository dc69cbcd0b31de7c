//! The judge of what was seen of the fleet from outside. It reads a [`History`] and names every promise that
//! was broken; it shares nothing with the services but the words of the contract, and does no I/O but reading and
//! writing histories.
//!
//! Start with [`check`], then `history.rs` (what is recorded; `trade.rs` has what belongs to
//! cards and purchases), `wanted.rs` (which transaction a request asks for), `verdict.rs` (the rules) and `index.rs` (which
//! writes may have taken effect, and between what times). One module of `rules/` for each kind of promise.
//!
//! A call that was not answered may have taken effect once, at any time after it began. Everything else follows
//! from what was answered.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - a history that a correct ledger could have produced is accepted, with retries, doubles, lost answers and
//!   concurrent calls in it: `valid::histories_of_a_correct_fleet_are_accepted`;
//! - each rule rejects a history that breaks it and no other, and names it: `forged`;
//! - a history is read as it was written: `format`.

mod command;
mod history;
mod index;
mod reserved;
mod rules;
mod trade;
mod verdict;
mod wanted;

pub use command::{ClockBound, Command, Held, Hold, HoldState, Part, Shortfall, State};
pub use history::{
    Account, Balance, Entry, FormatError, History, Kind, Line, Mail, Notification, Operation, Outcome, Post,
    Read, Record, Request, Role, Side, Source, Transaction,
};
pub use trade::{
    AssetFigures, Card, Done, Drain, Figures, Key, Look, Programme, Purchase, Tender, TenderKind, Trade,
};
pub use verdict::{Rule, Violation};

/// Whether a customer is to be told of a transaction between these accounts.
pub fn is_told(accounts: &[Account], transaction: &Transaction) -> bool {
    let account = |id: &str| accounts.iter().find(|account| account.id == id);
    rules::effects::told_to(account, transaction).is_some()
}

/// Every promise that this history shows broken, by rule.
pub fn check(history: &History) -> Vec<Violation> {
    let index = index::Index::new(history);
    let reserved = reserved::Reserved::new(&index);
    let mut report = verdict::Report::default();
    rules::books::check(&index, &mut report);
    rules::writes::check(&index, &mut report);
    rules::refusals::check(&index, &reserved, &mut report);
    rules::order::check(&index, &mut report);
    rules::reads::check(&index, &mut report);
    rules::effects::check(&index, &mut report);
    rules::trades::check(&index, &mut report);
    rules::cards::check(&index, &mut report);
    rules::figures::check(&index, &mut report);
    rules::drains::check(&index, &mut report);
    rules::holds::check(&index, &reserved, &mut report);
    rules::reversals::check(&index, &mut report);
    rules::states::check(&index, &mut report);
    report.finish()
}
