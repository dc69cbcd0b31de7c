//! The result: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    load::Measured,
    pgbench::{Reference, TPC_B},
    processors::Memory,
};

/// All that a run measured, and on what.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor cores; server, service and generator share them.
    pub(crate) cores: usize,
    /// `SHOW server_version`.
    pub(crate) postgresql: String,
    /// PostgreSQL's settings that are not its own.
    pub(crate) settings: [(&'static str, &'static str); 5],
    /// Customer accounts over which requests were spread.
    pub(crate) accounts: u32,
    /// Whether Kafka was away.
    pub(crate) without_kafka: bool,
    /// Before and after the service was measured.
    pub(crate) references: Vec<Reference>,
    pub(crate) measured: Vec<Measured>,
    pub(crate) memory: Memory,
}

/// What the processors' time is shown of, in this order.
const PARTS: [&str; 4] = ["service", "postgresql", "kafka", "generator"];

impl Report {
    /// The better one of TPC-B's runs.
    fn reference(&self) -> f64 {
        let runs = self.references.iter().filter(|run| run.script == TPC_B);
        runs.map(|run| run.transactions_per_second).fold(0.0, f64::max)
    }

    /// As a table.
    pub(crate) fn table(&self) -> String {
        let kafka = if self.without_kafka {
            "without Kafka"
        } else {
            "Kafka and the relay beside it"
        };
        let mut text = format!(
            "{} cores for server, service and generator together; PostgreSQL {}, each commit on the disk, {}; {kafka}; \
             {} accounts\n\n",
            self.cores,
            self.postgresql,
            self.settings
                .map(|(name, value)| format!("{name} = {value}"))
                .join(", "),
            self.accounts
        );
        let reference = self.reference();
        let _ = writeln!(
            text,
            "{:<38} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}  {:<31}  not OK",
            "",
            "offered/s",
            "OK/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "ratio",
            "processor us each: svc/pg/kfk/gen"
        );
        for run in &self.references {
            let _ = writeln!(
                text,
                "{:<38} {:>9} {:>9.0} {:>8} {:>9} {:>9} {:>9.2}",
                format!("pgbench, {}, {} clients", run.script, run.clients),
                "",
                run.transactions_per_second,
                format!("avg {:.1}", run.latency_average_ms),
                "",
                "",
                run.transactions_per_second / reference,
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
            if !others.is_empty() {
                others.push(format!("(p99 {:.1} ms)", one.refused_p99_ms));
            }
            if one.not_sent > 0 {
                others.push(format!("{} not sent", one.not_sent));
            }
            let parts = PARTS.map(|part| one.processor_us.get(part).copied().unwrap_or_default());
            let _ = writeln!(
                text,
                "{scenario:<38} {offered:>9} {:>9.0} {:>8.1} {:>9.1} {:>9.1} {:>9.2}  {:<31}  {}",
                one.per_second,
                one.p50_ms,
                one.p99_ms,
                one.max_ms,
                one.per_second / reference,
                parts.map(|us| format!("{us:.0}")).join("/"),
                others.join(", ")
            );
        }
        let _ = writeln!(text, "\nThe service had {} MiB at most.", self.memory.service_mib);
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
            script: TPC_B,
            program: "pgbench".to_owned(),
            clients: 16,
            transactions_per_second,
            latency_average_ms: 10.0,
        };
        let report = Report {
            cores: 2,
            postgresql: "18.4".to_owned(),
            settings: crate::server::SETTINGS,
            accounts: 10,
            without_kafka: false,
            memory: Memory { service_mib: 100 },
            references: vec![reference(1_000.0), reference(2_000.0)],
            measured: vec![Measured {
                scenario: "earn".to_owned(),
                offered_per_second: Some(1_000),
                callers: None,
                seconds: 1.0,
                each: 1,
                ok: 500,
                failed: BTreeMap::from([("ResourceExhausted".to_owned(), 490)]),
                not_sent: 10,
                per_second: 500.0,
                p50_ms: 1.0,
                p99_ms: 2.0,
                max_ms: 3.0,
                refused_p99_ms: 4.0,
                processor_us: BTreeMap::from([("service", 12.0)]),
            }],
        };
        let table = report.table();
        assert!(
            table.contains("0.25")
                && table.contains("12/0/0/0")
                && table.contains("490 ResourceExhausted, (p99 4.0 ms), 10 not sent"),
            "{table}"
        );
    }
}
