//! What ended before another began comes before it.

use crate::{
    index::{Index, Step},
    verdict::{Report, Rule},
};

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for (account, steps) in &index.steps {
        // Of the entries so far, the one that began last.
        let mut latest: Option<&Step<'_>> = None;
        for step in steps {
            if let (Some(earlier), Some(end)) = (latest, step.span.end)
                && end < earlier.span.start
            {
                report.add(
                    Rule::RealTimeOrder,
                    format!(
                        "{} has sequence {}, {} has {}, but the first was begun after the second had ended",
                        earlier.entry.transaction,
                        earlier.entry.sequence,
                        step.entry.transaction,
                        step.entry.sequence
                    ),
                    earlier.calls.iter().chain(&step.calls).copied(),
                    [*account],
                );
            }
            if latest.is_none_or(|latest| step.span.start > latest.span.start) {
                latest = Some(step);
            }
        }
    }
}
