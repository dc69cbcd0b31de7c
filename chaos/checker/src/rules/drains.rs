//! A replica that is asked to end takes nobody's call with it.

use crate::{
    history::{Operation, Outcome},
    index::Index,
    trade::Drain,
    verdict::{Report, Rule},
};

/// What a client takes as UNAVAILABLE: said by a service, or by the transport where nobody listens.
const UNAVAILABLE: [&str; 3] = ["SHUTTING_DOWN", "DEPENDENCY_UNAVAILABLE", "Unavailable"];

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for drain in &index.history.drains {
        if drain.status != "exit status: 0" {
            report.add(
                Rule::Drain,
                format!(
                    "{} was asked to end and ended with {}",
                    drain.replica, drain.status
                ),
                [],
                no_accounts(),
            );
        }
        let during = |call: &&Operation| drain.start <= call.start && call.end <= drain.end;
        for call in index.history.operations.iter().filter(during) {
            if let Some(text) = noticed(call, drain) {
                report.add(Rule::Drain, text, [call.id], no_accounts());
            }
        }
    }
}

fn noticed(call: &Operation, drain: &Drain) -> Option<String> {
    let Outcome::Unknown(reason) = &call.outcome else {
        return None;
    };
    let replica = &drain.replica;
    if !UNAVAILABLE.contains(&reason.as_str()) {
        return Some(format!("while {replica} ended, a call failed with {reason}"));
    }
    // What began before had another reason.
    call.given_up
        .filter(|first| *first >= drain.start)
        .map(|_| format!("while {replica} ended, a call was UNAVAILABLE however often it was tried"))
}

fn no_accounts() -> [&'static str; 0] {
    []
}
