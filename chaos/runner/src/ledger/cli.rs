//! `chaos-ledger`: the command line, and the runs that it asks for.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use lp_stack::interrupt;

use super::{
    faults::{Kind, Kinds},
    run::{Settings, Stage},
};
use crate::{cli, summary::Summary};

/// The ledger alone under faults, judged by the history checker. Ends with 1 on any violation.
#[derive(Debug, Parser)]
#[command(name = "chaos-ledger", args_override_self = true)]
struct Arguments {
    /// How many runs, with this seed and those after it
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of traffic in each run
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Which faults: kill, pause, postgres, cut, disk, clock, failpoint, with commas; or none
    #[arg(long, default_value_t = Kinds(Kind::ALL.to_vec()))]
    faults: Kinds,
    /// What svc-ledger's failpoints do, in place of what the seed says: `poster-before-commit=20%return(stall)`
    #[arg(long, value_name = "POINTS")]
    failpoints: Option<String>,
    /// Clients at once
    #[arg(long, default_value_t = 40)]
    clients: u32,
    /// Replicas of svc-ledger, over which the clients spread their calls
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Leave out seeds that the last summary, of the same commit and settings, calls ok
    #[arg(long)]
    resume: bool,
    /// The folder of svc-ledger with its failpoints, and of the issuer of tokens (default: this program's own)
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// The folder for the servers' data, failed histories and the summary (default: above this program's)
    #[arg(long)]
    target: Option<PathBuf>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    cli::exit_code(all_runs(&Arguments::parse()))
}

/// Whether all runs were ok.
fn all_runs(arguments: &Arguments) -> anyhow::Result<bool> {
    interrupt::install()?;
    let own = std::env::current_exe()?;
    let own = own.parent().context("this program has no folder")?;
    let above = || own.parent().map(PathBuf::from);
    let target = arguments
        .target
        .clone()
        .or_else(above)
        .context("no target folder")?;
    let keep = target.join("chaos-ledger");
    std::fs::create_dir_all(&keep)?;
    let settings = Settings {
        traffic: Duration::from_secs(arguments.seconds),
        clients: arguments.clients,
        replicas: arguments.replicas,
        kinds: arguments.faults.0.clone(),
        failpoints: arguments.failpoints.clone(),
        binaries: arguments.binaries.clone().unwrap_or_else(|| own.to_owned()),
        keep: keep.clone(),
    };
    let Arguments {
        seconds,
        clients,
        replicas,
        faults,
        ..
    } = arguments;
    let mut stamp = format!("{seconds} s, {clients} clients, {replicas} replicas, faults {faults}");
    if let Some(points) = &arguments.failpoints {
        stamp.push_str(&format!(", failpoints {points}"));
    }
    let mut summary = Summary::open(keep.join("summary.json"), stamp, arguments.resume);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut stage = None;
    cli::each_seed(&mut summary, arguments.seed, arguments.runs, &keep, |seed| {
        let mut own = match stage.take() {
            Some(stage) => stage,
            None => Stage::open(&target, &settings)?,
        };
        let outcomes = own.play(&runtime, &settings, seed)?;
        // One that was not ok may have left something broken.
        if outcomes.verdict == "ok" {
            stage = Some(own);
        }
        Ok(outcomes)
    })
}
