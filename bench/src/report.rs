//! The result: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{load::Measured, pgbench::Reference};

/// All that a run measured, and on what.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor cores; server, service and generator share them.
    pub(crate) cores: usize,
    /// `SHOW server_version`.
    pub(crate) postgresql: String,
    /// Customer accounts over which requests were spread.
    pub(crate) accounts: u32,
    /// Before and after the service was measured.
    pub(crate) pgbench: Vec<Reference>,
    pub(crate) measured: Vec<Measured>,
}

impl Report {
    /// The better one of the reference's runs.
    fn reference(&self) -> f64 {
        let runs = self.pgbench.iter().map(|run| run.transactions_per_second);
        runs.fold(0.0, f64::max)
    }

    /// As a table.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} cores for server, service and generator together; PostgreSQL {}; {} accounts\n\n",
            self.cores, self.postgresql, self.accounts
        );
        let reference = self.reference();
        let _ = writeln!(
            text,
            "{:<34} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}  not OK",
            "", "offered/s", "OK/s", "ratio", "p50 ms", "p99 ms", "max ms"
        );
        for run in &self.pgbench {
            let _ = writeln!(
                text,
                "{:<34} {:>9} {:>9.0} {:>8.2} {:>9} {:>9} {:>9}",
                format!("pgbench TPC-B, {} clients", run.clients),
                "",
                run.transactions_per_second,
                run.transactions_per_second / reference,
                format!("avg {:.1}", run.latency_average_ms),
                "",
                ""
            );
        }
        for one in &self.measured {
            let offered = one
                .offered_per_second
                .map_or_else(String::new, |rate| rate.to_string());
            let scenario = one.callers.map_or_else(
                || one.scenario.clone(),
                |callers| format!("{}, {callers} callers", one.scenario),
            );
            let mut others: Vec<String> = one
                .failed
                .iter()
                .map(|(code, count)| format!("{count} {code}"))
                .collect();
            if one.not_sent > 0 {
                others.push(format!("{} not sent", one.not_sent));
            }
            let _ = writeln!(
                text,
                "{scenario:<34} {offered:>9} {:>9.0} {:>8.2} {:>9.1} {:>9.1} {:>9.1}  {}",
                one.per_second,
                one.per_second / reference,
                one.p50_ms,
                one.p99_ms,
                one.max_ms,
                others.join(", ")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_ratio_is_to_the_better_reference_and_refusals_are_shown() {
        let reference = |transactions_per_second| Reference {
            program: "pgbench".to_owned(),
            clients: 32,
            transactions_per_second,
            latency_average_ms: 10.0,
        };
        let report = Report {
            cores: 2,
            postgresql: "18.4".to_owned(),
            accounts: 10,
            pgbench: vec![reference(1_000.0), reference(2_000.0)],
            measured: vec![Measured {
                scenario: "earn".to_owned(),
                offered_per_second: Some(1_000),
                callers: None,
                seconds: 1.0,
                ok: 500,
                failed: BTreeMap::from([("ResourceExhausted".to_owned(), 490)]),
                not_sent: 10,
                per_second: 500.0,
                p50_ms: 1.0,
                p99_ms: 2.0,
                max_ms: 3.0,
            }],
        };
        let table = report.table();
        assert!(
            table.contains("0.25") && table.contains("490 ResourceExhausted, 10 not sent"),
            "{table}"
        );
    }
}
