//! One run: a fleet of its own, traffic, blows, rest, judgement.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use history_checker::{Done, Drain, History, Operation, Outcome, Violation, check};
use lp_stack::{
    Stack,
    fleet::{FLEET, Fleet, Plan},
    interrupt, ports,
    progress::Silent,
};
use lp_types::MerchantId;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::{
    api::Api,
    balance::Balanced,
    faults::{Blow, Fault, Kind, Target, plan},
    observe,
    recorder::Recorder,
    traffic::{self, Shared},
    world::{Size, World},
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
    /// One blow that lasts this long, in place of many that last as the seed says.
    pub(crate) hold: Option<Duration>,
    /// The folder of the services' programs.
    pub(crate) binaries: PathBuf,
    /// The folder of the programs that these are to replace under traffic, in place of faults.
    pub(crate) upgrade_from: Option<PathBuf>,
    /// The folder for the histories and logs of runs that are not ok.
    pub(crate) keep: PathBuf,
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

/// A fleet of so many replicas, each a whole fleet on the databases and topics of the first; and how they are called.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) fleets: Vec<Fleet>,
    pub(crate) apis: Vec<Arc<Api>>,
    name: String,
    /// The services as other services find them, by the variable that says where.
    balanced: BTreeMap<String, Balanced>,
    /// The issuer of tokens of the first replica, which all of them believe.
    issuer: Option<String>,
}

impl Room {
    /// Without replicas yet. `name` is its database and its prefix of topics and keys.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            fleets: Vec::new(),
            apis: Vec::new(),
            name: name.to_owned(),
            balanced: BTreeMap::new(),
            issuer: None,
        }
    }

    /// Migrates with these programs, then starts one more replica of each service.
    ///
    /// # Errors
    /// When a step fails or a service does not become ready.
    pub(crate) fn add(&mut self, stack: &Stack, runtime: &Runtime, binaries: &Path) -> anyhow::Result<()> {
        // Where the channels find the runtime.
        let _inside = runtime.enter();
        let folder = folder(stack, self.fleets.len());
        let mut plan = Plan::apart(&self.name, &folder)?;
        for service in &plan.services {
            let url = service.url_variable();
            if !self.balanced.contains_key(&url) {
                self.balanced
                    .insert(url.clone(), runtime.block_on(Balanced::open())?);
            }
            if let Some(balanced) = self.balanced.get(&url) {
                balanced.add(ports::loopback(service.grpc_port));
                plan.env.push((url, balanced.url()));
            }
        }
        let issuer = self.issuer.get_or_insert_with(|| plan.issuer_url());
        let tokens = format!("{issuer}/token");
        plan.env.extend([
            ("AUTH_ISSUER".to_owned(), issuer.clone()),
            ("AUTH_JWKS_URL".to_owned(), format!("{issuer}/jwks.json")),
            ("AUTH_TOKEN_URL".to_owned(), tokens.clone()),
        ]);
        self.fleets.push(Fleet::start(
            &plan,
            binaries,
            &folder,
            stack.addresses(),
            &Silent,
        )?);
        let mut settings = plan.outside_env();
        settings.insert(0, ("AUTH_TOKEN_URL".to_owned(), tokens));
        self.apis.push(Arc::new(Api::new(&settings)?));
        Ok(())
    }
}

/// What happens while traffic runs; the drains that clients must not notice are returned.
pub(crate) type Experiment<'a> =
    &'a mut dyn FnMut(&mut Stack, &mut Room, &Shared) -> anyhow::Result<Vec<Drain>>;

/// What `play` is given for one run.
pub(crate) struct Stage<'a> {
    pub(crate) stack: &'a mut Stack,
    pub(crate) room: &'a mut Room,
    pub(crate) runtime: &'a Runtime,
    pub(crate) settings: &'a Settings,
}

/// Plays a seed: the blows that it decides.
///
/// # Errors
/// On Ctrl-C; everything else is an outcome.
pub(crate) fn play(stage: &mut Stage<'_>, seed: u64) -> anyhow::Result<Outcomes> {
    let settings = stage.settings;
    let mut blows = plan(seed, settings.traffic, &settings.kinds, settings.replicas);
    if let Some(hold) = settings.hold {
        blows.truncate(1);
        blows.iter_mut().for_each(|blow| blow.hold = hold);
    }
    let faults: Vec<_> = blows
        .iter()
        .flat_map(|blow| &blow.faults)
        .map(ToString::to_string)
        .collect();
    let mut strike_all = |stack: &mut Stack, room: &mut Room, shared: &Shared| {
        let begun = Instant::now();
        let mut drains = Vec::new();
        for blow in &blows {
            drains.extend(strike(stack, &mut room.fleets, shared, blow)?);
        }
        sleep(settings.traffic.saturating_sub(begun.elapsed()))?;
        Ok(drains)
    };
    perform(stage, seed, faults, &mut strike_all)
}

/// Plays an experiment on the fleet. The history of one that is not `ok`, and the services' logs, are kept.
///
/// # Errors
/// On Ctrl-C; everything else is an outcome.
pub(crate) fn perform(
    stage: &mut Stage<'_>,
    seed: u64,
    faults: Vec<String>,
    experiment: Experiment<'_>,
) -> anyhow::Result<Outcomes> {
    let begun = Instant::now();
    let mut history = History::default();
    let played = try_perform(stage, seed, experiment, &mut history);
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
        let keep = stage.settings.keep.join(format!("seed-{seed}"));
        keep_traces(&history, stage.stack, stage.room.apis.len(), &keep)?;
    }
    let count = |wanted: fn(&Outcome) -> bool| {
        history
            .operations
            .iter()
            .filter(|one| wanted(&one.outcome))
            .count()
    };
    let (refused, unknown) = (
        count(|outcome| matches!(outcome, Outcome::Refused(_))),
        count(|outcome| matches!(outcome, Outcome::Unknown(_))),
    );
    Ok(Outcomes {
        seed,
        verdict: verdict.to_owned(),
        ok: history.operations.len().saturating_sub(refused + unknown),
        refused,
        unknown,
        seconds: begun.elapsed().as_secs(),
        faults,
        violations,
    })
}

fn try_perform(
    stage: &mut Stage<'_>,
    seed: u64,
    experiment: Experiment<'_>,
    history: &mut History,
) -> anyhow::Result<()> {
    let Stage {
        stack,
        room,
        runtime,
        settings,
    } = stage;
    let mail_api = stack.addresses().mail_api_url.clone();
    runtime.block_on(observe::forget_mails(&mail_api))?;
    let first = room.apis.first().context("at least one replica is needed")?;
    let world = runtime.block_on(World::open(first, seed, &format!("chaos-{seed}"), Size::SMALL))?;
    let shared = Arc::new(Shared {
        apis: RwLock::new(room.apis.clone()),
        world,
        recorder: Recorder::new(),
        stop: false.into(),
        patience: None,
    });

    let clients = runtime.spawn(traffic::run(Arc::clone(&shared), seed, settings.clients));
    let struck = experiment(stack, room, &shared);
    shared.stop.store(true, Ordering::Relaxed);
    // Also after a failure: what was seen until then says most about it.
    runtime.block_on(clients)?;
    let finished = struck.and_then(|drains| {
        history.drains = drains;
        runtime.block_on(traffic::finish(&shared))
    });
    history.accounts.clone_from(&shared.world.accounts);
    history.operations = shared.recorder.operations();
    finished?;

    let apis = shared.apis.read().unwrap_or_else(PoisonError::into_inner).clone();
    let purchases = purchases(&history.operations, &shared.world);
    let look = observe::at_rest(&apis, &shared.world, &purchases, &mail_api);
    let seen = runtime.block_on(look)?;
    *history = History {
        operations: std::mem::take(&mut history.operations),
        drains: std::mem::take(&mut history.drains),
        ..seen
    };
    match room.fleets.iter_mut().find_map(Fleet::dead_service) {
        Some(error) => Err(error.context("a service ended by itself")),
        None => Ok(()),
    }
}

/// Every purchase that somebody was told of.
pub(crate) fn purchases(operations: &[Operation], world: &World) -> Vec<(String, MerchantId)> {
    let told: BTreeSet<_> = operations
        .iter()
        .filter_map(|call| match &call.outcome {
            Outcome::Done(Done::Purchased(purchase)) => {
                Some((purchase.id.clone(), world.merchant(&purchase.merchant)?.id))
            }
            _ => None,
        })
        .collect();
    told.into_iter().collect()
}

fn strike(
    stack: &mut Stack,
    fleets: &mut [Fleet],
    shared: &Shared,
    blow: &Blow,
) -> anyhow::Result<Vec<Drain>> {
    let fleet = |fleets: &mut [Fleet], target: Target, act: fn(&mut Fleet, &str) -> anyhow::Result<()>| {
        let fleet = fleets.get_mut(target.replica).context("no such replica")?;
        act(fleet, target.service)
    };
    let mut drains = Vec::new();
    sleep(blow.after)?;
    for fault in &blow.faults {
        match fault {
            Fault::Kill(target) => fleet(fleets, *target, Fleet::kill)?,
            Fault::Pause(target) => fleet(fleets, *target, Fleet::pause)?,
            Fault::Server(server) => stack.kill_server(*server)?,
            Fault::Sigterm(target) => {
                let start = shared.recorder.now();
                let fleet = fleets.get_mut(target.replica).context("no such replica")?;
                let status = fleet.terminate(target.service)?;
                drains.push(Drain {
                    replica: target.to_string(),
                    start,
                    end: start,
                    status: status.to_string(),
                });
            }
        }
    }
    sleep(blow.hold)?;
    for fault in &blow.faults {
        match fault {
            Fault::Kill(target) | Fault::Sigterm(target) => fleet(fleets, *target, Fleet::revive)?,
            Fault::Pause(target) => fleet(fleets, *target, Fleet::resume)?,
            Fault::Server(server) => stack.restart_server(*server)?,
        }
    }
    // Until it was back.
    let end = shared.recorder.now();
    drains.iter_mut().for_each(|drain| drain.end = end);
    Ok(drains)
}

/// Where a replica's logs and pid files are.
fn folder(stack: &Stack, replica: usize) -> PathBuf {
    match replica {
        0 => stack.folder().to_owned(),
        _ => stack.folder().join(format!("replica-{replica}")),
    }
}

/// Until the time has passed or somebody presses Ctrl-C.
pub(crate) fn sleep(time: Duration) -> anyhow::Result<()> {
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
        for service in FLEET.iter() {
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
