//! One run: a fleet of its own, traffic, blows, rest, judgement.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use history_checker::{History, Outcome, Violation, check};
use lp_stack::{
    Stack,
    fleet::{FLEET, Fleet, Plan},
    interrupt,
    progress::Silent,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::{
    api::Api,
    faults::{Blow, Fault, Kind, Target, plan},
    observe,
    recorder::Recorder,
    traffic::{self, Shared},
    world::World,
};

/// What a run is made of beside its seed.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long traffic lasts at least.
    pub(crate) traffic: Duration,
    pub(crate) clients: u32,
    /// Of each service.
    pub(crate) replicas: usize,
    pub(crate) kinds: Vec<Kind>,
}

/// What became of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    pub(crate) seed: u64,
    /// `ok`, `violations`, or `error`: the fleet could not be started, mended or looked at.
    pub(crate) verdict: String,
    pub(crate) ok: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) seconds: u64,
    pub(crate) faults: Vec<String>,
    pub(crate) violations: Vec<String>,
}

/// Plays a seed. The history of a run that is not `ok`, and the services' logs, are kept in `keep`.
///
/// # Errors
/// On Ctrl-C; everything else is an outcome.
pub(crate) fn play(
    stack: &mut Stack,
    runtime: &Runtime,
    binaries: &Path,
    seed: u64,
    settings: &Settings,
    keep: &Path,
) -> anyhow::Result<Outcomes> {
    let begun = Instant::now();
    let blows = plan(seed, settings.traffic, &settings.kinds, settings.replicas);
    let mut history = History::default();
    let played = try_play(stack, runtime, binaries, seed, settings, &blows, &mut history);
    interrupt::check()?;
    let (verdict, violations) = match played {
        Ok(()) => {
            let violations: Vec<_> = check(&history).iter().map(Violation::to_string).collect();
            (
                if violations.is_empty() { "ok" } else { "violations" },
                violations,
            )
        }
        Err(error) => ("error", vec![format!("{error:#}")]),
    };
    if verdict != "ok" {
        let keep = keep.join(format!("seed-{seed}"));
        keep_traces(&history, stack, settings.replicas, &keep)?;
    }
    let count = |wanted: fn(&Outcome) -> bool| {
        history
            .operations
            .iter()
            .filter(|one| wanted(&one.outcome))
            .count()
    };
    Ok(Outcomes {
        seed,
        verdict: verdict.to_owned(),
        ok: count(|outcome| matches!(outcome, Outcome::Posted { .. } | Outcome::Balance(_))),
        refused: count(|outcome| matches!(outcome, Outcome::Refused(_))),
        unknown: count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        seconds: begun.elapsed().as_secs(),
        faults: blows
            .iter()
            .flat_map(|blow| &blow.faults)
            .map(ToString::to_string)
            .collect(),
        violations,
    })
}

fn try_play(
    stack: &mut Stack,
    runtime: &Runtime,
    binaries: &Path,
    seed: u64,
    settings: &Settings,
    blows: &[Blow],
    history: &mut History,
) -> anyhow::Result<()> {
    let name = format!("chaos_{seed}");
    let addresses = stack.addresses().clone();
    // Where the channels find the runtime.
    let _inside = runtime.enter();
    let (mut fleets, mut apis) = (Vec::new(), Vec::new());
    for replica in 0..settings.replicas {
        // Each a whole fleet, on the databases and topics of the first.
        let folder = folder(stack, replica);
        let plan = Plan::apart(&name, &folder)?;
        fleets.push(Fleet::start(&plan, binaries, &folder, &addresses, &Silent)?);
        apis.push(Api::new(&plan.urls())?);
    }
    runtime.block_on(observe::forget_mails(&addresses.mail_api_url))?;
    let first = apis.first().context("at least one replica is needed")?;
    let world = runtime.block_on(World::open(first, seed, &name))?;
    let shared = Arc::new(Shared {
        apis,
        world,
        recorder: Recorder::new(),
        stop: false.into(),
    });

    let begun = Instant::now();
    let clients = runtime.spawn(traffic::run(Arc::clone(&shared), seed, settings.clients));
    let struck = blows.iter().try_for_each(|blow| strike(stack, &mut fleets, blow));
    let struck = struck.and_then(|()| sleep(settings.traffic.saturating_sub(begun.elapsed())));
    shared.stop.store(true, Ordering::Relaxed);
    // Also after a failure: what was seen until then says most about it.
    runtime.block_on(clients)?;
    history.accounts.clone_from(&shared.world.accounts);
    history.operations = shared.recorder.take();
    struck?;

    let look = observe::at_rest(&shared.apis, &shared.world, &addresses.mail_api_url);
    let seen = runtime.block_on(look)?;
    *history = History {
        operations: std::mem::take(&mut history.operations),
        ..seen
    };
    match fleets.iter_mut().find_map(Fleet::dead_service) {
        Some(error) => Err(error.context("a service ended by itself")),
        None => Ok(()),
    }
}

fn strike(stack: &mut Stack, fleets: &mut [Fleet], blow: &Blow) -> anyhow::Result<()> {
    let fleet = |fleets: &mut [Fleet], target: Target, act: fn(&mut Fleet, &str) -> anyhow::Result<()>| {
        let fleet = fleets.get_mut(target.replica).context("no such replica")?;
        act(fleet, target.service)
    };
    sleep(blow.after)?;
    for fault in &blow.faults {
        match fault {
            Fault::Kill(target) => fleet(fleets, *target, Fleet::kill)?,
            Fault::Pause(target) => fleet(fleets, *target, Fleet::pause)?,
            Fault::Server(server) => stack.kill_server(*server)?,
        }
    }
    sleep(blow.hold)?;
    for fault in &blow.faults {
        match fault {
            Fault::Kill(target) => fleet(fleets, *target, Fleet::revive)?,
            Fault::Pause(target) => fleet(fleets, *target, Fleet::resume)?,
            Fault::Server(server) => stack.restart_server(*server)?,
        }
    }
    Ok(())
}

/// Where a replica's logs and pid files are.
fn folder(stack: &Stack, replica: usize) -> PathBuf {
    match replica {
        0 => stack.folder().to_owned(),
        _ => stack.folder().join(format!("replica-{replica}")),
    }
}

/// Until the time has passed or somebody presses Ctrl-C.
fn sleep(time: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        interrupt::check()?;
        std::thread::sleep(interrupt::TICK.min(time.saturating_sub(begun.elapsed())));
    }
    Ok(())
}

fn keep_traces(history: &History, stack: &Stack, replicas: usize, keep: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(keep)?;
    history.write(BufWriter::new(File::create(keep.join("history.jsonl"))?))?;
    for replica in 0..replicas {
        for service in FLEET {
            let log = format!("{}.log", service.binary());
            let to = keep.join(format!("{replica}-{log}"));
            // Where the fleet was not even started there is none.
            let _ = std::fs::copy(Fleet::folder(&folder(stack, replica)).join(log), to);
        }
    }
    Ok(())
}

/// How often each sentence's rule was broken, and the first sentences of each.
pub(crate) fn digest(violations: &[String]) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut by_rule: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for violation in violations {
        by_rule
            .entry(violation.split(':').next().unwrap_or_default())
            .or_default()
            .push(violation);
    }
    let mut lines = Vec::new();
    for (rule, all) in by_rule {
        lines.extend(all.iter().take(SHOWN).map(|one| (*one).clone()));
        if let Some(more) = all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            lines.push(format!("{rule}: and {more} more"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_shows_some_of_each_rule() {
        let many: Vec<_> = (0..5)
            .map(|n| format!("gapless: {n}"))
            .chain(["chain: x".to_owned()])
            .collect();
        assert_eq!(
            digest(&many),
            [
                "chain: x",
                "gapless: 0",
                "gapless: 1",
                "gapless: 2",
                "gapless: and 2 more"
            ]
        );
    }
}
