//! Nothing moves on an account that is frozen or closed, and nothing is reserved there.

use std::collections::BTreeMap;

use crate::{
    command::{Command, State},
    history::Request,
    index::{Index, Intent},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    let changes = by_account(index);
    for (account, changes) in &changes {
        let mut moved = |what: String, (start, end): (u64, u64), calls: Vec<u64>| {
            if let Some(shut) = surely_shut(changes, start, end) {
                let state = shut.1;
                let calls = calls.into_iter().chain(shut.0.ids());
                report.add(
                    Rule::AccountState,
                    format!("{what} on an account that is {state:?}"),
                    calls,
                    [*account],
                );
            }
        };
        for step in index.steps(account) {
            if let Some(end) = step.span.end {
                let what = format!(
                    "entry {} ({}) was posted",
                    step.entry.sequence, step.entry.transaction
                );
                moved(what, (step.span.start, end), step.calls.clone());
            }
        }
        for intent in index.intents() {
            if let (Request::Command(Command::Place { account: on, .. }), Some(held), Some(end)) =
                (intent.request, intent.held(), intent.end())
                && on == account
            {
                moved(
                    format!("hold {} was placed", held.hold.id),
                    (intent.start(), end),
                    intent.ids(),
                );
            }
        }
        let closed = changes
            .iter()
            .any(|(intent, state)| *state == State::Closed && intent.is_done());
        let last = index
            .steps(account)
            .last()
            .map_or(0, |step| step.entry.balance_after);
        if closed && last != 0 {
            let text = format!("the account is closed and holds {last}");
            report.add(Rule::AccountState, text, [], [*account]);
        }
    }
}

/// The intents that may have changed what may happen to an account, and to what.
pub(crate) type Changes<'i, 'a> = Vec<(&'i Intent<'a>, State)>;

pub(crate) fn by_account<'i, 'a>(index: &'i Index<'a>) -> BTreeMap<&'a str, Changes<'i, 'a>> {
    let mut changes: BTreeMap<&str, Changes<'_, '_>> = BTreeMap::new();
    for intent in index.intents() {
        if let Request::Command(Command::SetState { account, state }) = intent.request
            && (intent.is_done() || index.is_open(intent))
        {
            changes.entry(account).or_default().push((intent, *state));
        }
    }
    changes
}

/// What shut an account surely before `start`, where nothing may have opened it since then until `end`.
fn surely_shut<'i, 'a>(changes: &Changes<'i, 'a>, start: u64, end: u64) -> Option<(&'i Intent<'a>, State)> {
    changes.iter().copied().find(|(shut, state)| {
        let Some(shut_by) = shut.end().filter(|_| shut.is_done()) else {
            return false;
        };
        let opened = changes.iter().any(|(other, state)| {
            let before = other.end().is_some_and(|by| by < shut.start());
            *state == State::Open && other.start() <= end && !before
        });
        // One that is closed stays so.
        shut_by < start && (*state == State::Closed || *state == State::Frozen && !opened)
    })
}

/// Whether an account may have been in this state between two moments.
pub(crate) fn may_be(changes: &Changes<'_, '_>, wanted: State, start: u64, end: u64) -> bool {
    changes.iter().any(|(shut, state)| {
        *state == wanted
            && shut.start() <= end
            && !changes.iter().any(|(other, state)| {
                let opened = *state == State::Open && other.is_done();
                let after = shut.end().is_some_and(|by| by < other.start());
                wanted == State::Frozen && opened && after && other.end().is_some_and(|by| by < start)
            })
    })
}
