//! Who used the processors: the figures of Linux's `/proc` for this process and all that it started.

use std::{collections::BTreeMap, fs, time::Duration};

use serde::Serialize;

/// `USER_HZ`: 100 on every Linux that is in use (`man 5 proc`, `/proc/[pid]/stat`).
const TICKS_PER_SECOND: u64 = 100;

/// Processor time so far, by part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used(BTreeMap<&'static str, Duration>);

/// Microseconds of processor time for each transaction, by part.
pub(crate) type PerTransaction = BTreeMap<&'static str, f64>;

/// The most memory that the service had, in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    pub(crate) service_mib: u64,
}

struct Process {
    parent: u32,
    part: &'static str,
    used: Duration,
}

impl Used {
    /// As of now.
    pub(crate) fn now() -> Self {
        let all = processes();
        let own = std::process::id();
        let mut used = BTreeMap::new();
        for (pid, process) in &all {
            if descends(*pid, own, &all) {
                let part: &mut Duration = used.entry(process.part).or_default();
                *part = part.saturating_add(process.used);
            }
        }
        Self(used)
    }

    /// What was used since, for each of `count` transactions.
    pub(crate) fn since(&self, before: &Self, count: u64) -> PerTransaction {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let of = |(part, used): (&&'static str, &Duration)| {
            let before = before.0.get(part).copied().unwrap_or_default();
            let each = used.saturating_sub(before).as_secs_f64() / f64::from(count);
            (*part, each * 1e6)
        };
        self.0.iter().map(of).collect()
    }
}

impl Memory {
    /// The service's high-water mark.
    pub(crate) fn most() -> Self {
        let of_service = processes().into_iter().filter(|(_, p)| p.part == "service");
        let marks = of_service.filter_map(|(pid, _)| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        Self {
            service_mib: marks.max().unwrap_or_default() / 1024,
        }
    }
}

fn descends(pid: u32, from: u32, all: &BTreeMap<u32, Process>) -> bool {
    let mut at = pid;
    while at != from {
        match all.get(&at) {
            Some(process) if process.parent > 1 => at = process.parent,
            _ => return false,
        }
    }
    true
}

fn processes() -> BTreeMap<u32, Process> {
    let Ok(folders) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pids = folders
        .flatten()
        .filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = [11, 12]
        .into_iter()
        .map(|at| fields.get(at)?.parse::<u64>().ok())
        .sum::<Option<u64>>()?;
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        part: match name {
            "svc-ledger" => "service",
            "postgres" => "postgresql",
            "java" => "kafka",
            "bench" => "generator",
            _ => "other",
        },
        used: Duration::from_millis(ticks.saturating_mul(1_000 / TICKS_PER_SECOND)),
    })
}
