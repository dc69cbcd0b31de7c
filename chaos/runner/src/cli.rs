//! `chaos`: the command line, and the runs that it asks for.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Parser;
use history_checker::{History, Violation, check};
use lp_stack::{
    Durability, Stack, StackName,
    interrupt::{self, Interrupted},
    progress::Silent,
};
use tokio::runtime::Runtime;

use crate::{
    faults::{Kind, Kinds},
    run::{Outcomes, Room, Settings, Stage, digest, play},
    summary::Summary,
    upgrade,
};

/// Traffic with faults against a fleet of its own, judged by the history checker. Ends with 1 on any violation.
#[derive(Debug, Parser)]
#[command(name = "chaos", args_override_self = true)]
struct Arguments {
    /// How many runs, with this seed and those after it
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of traffic in each run
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Which faults: kill, kafka, valkey, postgres, pause, sigterm, with commas; or none
    #[arg(long, default_value_t = Kinds(Kind::ALL.to_vec()))]
    faults: Kinds,
    /// One blow that stays for so many seconds, in place of many that the seed decides
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
    /// Clients at once
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Replicas of each service, over which the clients spread their calls
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Leave out seeds that the last summary, of the same commit and settings, calls ok
    #[arg(long)]
    resume: bool,
    /// The folder of the services' programs (default: this program's own)
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// The folder for the servers' data, failed histories and the summary (default: above the programs')
    #[arg(long)]
    target: Option<PathBuf>,
    /// In place of faults: start the programs in this folder, and replace them by those in `--binaries` under traffic
    #[arg(long, value_name = "FOLDER")]
    upgrade_from: Option<PathBuf>,
    /// Start nothing: judge this history again
    #[arg(long, value_name = "HISTORY")]
    judge: Option<PathBuf>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.judge {
        Some(file) => judge(file),
        None => all_runs(&arguments),
    };
    exit_code(outcome)
}

/// What the shell is told.
pub(crate) fn exit_code(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn judge(file: &PathBuf) -> anyhow::Result<bool> {
    let source = File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
    let violations = check(&History::read(BufReader::new(source))?);
    violations
        .iter()
        .for_each(|violation: &Violation| println!("{violation}"));
    println!("{} violations", violations.len());
    Ok(violations.is_empty())
}

/// Whether all runs were ok.
fn all_runs(arguments: &Arguments) -> anyhow::Result<bool> {
    interrupt::install()?;
    let own = std::env::current_exe()?
        .parent()
        .context("this program has no folder")?
        .to_owned();
    let target = arguments
        .target
        .clone()
        .or_else(|| Some(own.parent()?.to_owned()))
        .context("no target folder")?;
    let keep = target.join("chaos");
    std::fs::create_dir_all(&keep)?;
    let settings = Settings {
        traffic: Duration::from_secs(arguments.seconds),
        clients: arguments.clients,
        replicas: arguments.replicas,
        kinds: arguments.faults.0.clone(),
        hold: arguments.hold.map(Duration::from_secs),
        binaries: arguments.binaries.clone().unwrap_or_else(|| own.clone()),
        upgrade_from: arguments.upgrade_from.clone(),
        keep: keep.clone(),
    };
    let Arguments {
        seconds,
        clients,
        replicas,
        faults,
        ..
    } = arguments;
    if arguments.replicas < 2 && arguments.faults.0.contains(&Kind::Sigterm) {
        bail!(
            "sigterm needs a second replica, which serves on: leave it out of --faults, or say --replicas 2"
        );
    }
    let mut stamp = format!("{seconds} s, {clients} clients, {replicas} replicas, faults {faults}");
    if let Some(hold) = arguments.hold {
        stamp.push_str(&format!(", one blow of {hold} s"));
    }
    if let Some(binaries) = &arguments.binaries {
        // The commit is not theirs.
        stamp.push_str(&format!(", programs in {}", binaries.display()));
    }
    if let Some(old) = &arguments.upgrade_from {
        stamp.push_str(&format!(", in place of faults an upgrade from {}", old.display()));
    }
    let mut summary = Summary::open(keep.join("summary.json"), stamp, arguments.resume);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    Stack::wipe(&target, StackName::Chaos)?;
    // As in production: what was acknowledged must survive the crash of a server.
    let mut stack = Some(Stack::start(
        &target,
        StackName::Chaos,
        Durability::Full,
        &Silent,
    )?);
    let mut room = None;
    let play = |seed| {
        let outcomes = one_run(
            &settings,
            &runtime,
            stack.as_mut().context("no servers")?,
            &mut room,
            seed,
        )?;
        if outcomes.verdict != "ok" {
            // It may have left a service or a server broken.
            drop(room.take());
            drop(stack.take());
            stack = Some(Stack::start(
                &target,
                StackName::Chaos,
                Durability::Full,
                &Silent,
            )?);
        }
        Ok(outcomes)
    };
    each_seed(&mut summary, arguments.seed, arguments.runs, &keep, play)
}

/// Plays the seeds that the summary does not call ok yet, tells of each, and keeps what became of it. Whether all were
/// ok.
pub(crate) fn each_seed(
    summary: &mut Summary,
    first: u64,
    runs: u64,
    keep: &Path,
    mut play: impl FnMut(u64) -> anyhow::Result<Outcomes>,
) -> anyhow::Result<bool> {
    println!("commit {}; {}", summary.commit(), summary.settings());
    println!(
        "{:>6} {:>7} {:>7} {:>7} {:>5}  {:<10} faults",
        "seed", "ok", "refused", "unknown", "time", "verdict"
    );
    for seed in first..first.saturating_add(runs) {
        if summary.has(seed) {
            continue;
        }
        let outcomes = play(seed)?;
        tell(&outcomes, keep);
        summary.add(outcomes)?;
    }
    let failed = summary.failed();
    println!(
        "{} runs, {failed} not ok; {}",
        summary.len(),
        summary.file().display()
    );
    Ok(failed == 0)
}

/// Plays a seed on the fleet that the run before left, or on a new one.
fn one_run(
    settings: &Settings,
    runtime: &Runtime,
    stack: &mut Stack,
    room: &mut Option<Room>,
    seed: u64,
) -> anyhow::Result<Outcomes> {
    let mut own = match room.take() {
        Some(own) => own,
        None => {
            let mut own = Room::new(&format!("chaos_{seed}"));
            let (first, replicas) = match &settings.upgrade_from {
                Some(old) => (old, 1),
                None => (&settings.binaries, settings.replicas),
            };
            for _ in 0..replicas {
                own.add(stack, runtime, first)?;
            }
            own
        }
    };
    let mut stage = Stage {
        stack,
        room: &mut own,
        runtime,
        settings,
    };
    if settings.upgrade_from.is_some() {
        return upgrade::play(&mut stage, seed);
    }
    let outcomes = play(&mut stage, seed)?;
    *room = Some(own);
    Ok(outcomes)
}

fn tell(outcomes: &Outcomes, keep: &Path) {
    println!(
        "{:>6} {:>7} {:>7} {:>7} {:>3} s  {:<10} {}",
        outcomes.seed,
        outcomes.ok,
        outcomes.refused,
        outcomes.unknown,
        outcomes.seconds,
        outcomes.verdict,
        outcomes.faults.join(", ")
    );
    digest(&outcomes.violations)
        .iter()
        .for_each(|line| println!("       {line}"));
    if outcomes.verdict != "ok" {
        let kept = keep.join(format!("seed-{}", outcomes.seed));
        println!("       kept in {}", kept.display());
    }
}
