//! One run: merchants of its own on the servers and replicas of the command, traffic, blows, the truth told by retries,
//! judgement.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use history_checker::{History, Outcome, Violation, check};
use jiff::Timestamp;
use lp_stack::{
    Durability, ServerKind, Stack, StackName,
    fleet::{CLIENT_SECRET, Fleet, Plan},
    interrupt,
    progress::Silent,
};
use lp_types::time::Ambient;
use tokio::runtime::Runtime;

use super::{
    api::{LedgerApi, Reading},
    faults::{Blow, Fault, Kind, plan},
    observe,
    shim::{Control, Shim},
    sums::Sums,
    traffic::{self, Shared},
    world::World,
};
use crate::{
    recorder::Recorder,
    run::{Outcomes, sleep},
};

const SERVICE: &str = "ledger";
const DATABASE: &str = "chaos_ledger";
/// How long retries may take until everything is answered.
const TRUTH: Duration = Duration::from_secs(30);

/// What a run is made of beside its seed.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) traffic: Duration,
    pub(crate) clients: u32,
    pub(crate) replicas: usize,
    pub(crate) kinds: Vec<Kind>,
    /// What the failpoints do, in place of what the seed says.
    pub(crate) failpoints: Option<String>,
    /// The folder of the programs: svc-ledger with failpoints, and the issuer of tokens.
    pub(crate) binaries: PathBuf,
    /// The folder for the histories and logs of runs that are not ok.
    pub(crate) keep: PathBuf,
}

/// The servers and replicas that all runs share.
#[derive(Debug)]
pub(crate) struct Stage {
    // Before the servers, which end after them.
    fleets: Vec<Fleet>,
    urls: Vec<(String, String)>,
    stack: Stack,
    sums: Sums,
    clocks: Vec<Control>,
    disk: Control,
    _shim: Shim,
}

impl Stage {
    /// Starts PostgreSQL, Kafka, and the replicas, on an empty database.
    ///
    /// # Errors
    /// When a step fails.
    pub(crate) fn open(target: &Path, settings: &Settings) -> anyhow::Result<Self> {
        Stack::wipe(target, StackName::Chaos)?;
        let shim = Shim::compile()?;
        let disk = shim.control("postgres")?;
        let env = BTreeMap::from([(ServerKind::Postgres, shim.env(&disk))]);
        let kinds = [ServerKind::Postgres, ServerKind::Kafka];
        // As in production: what was acknowledged must survive the crash of a server.
        let durability = Durability::Full;
        let stack = Stack::start_with(target, StackName::Chaos, durability, &kinds, &env, &Silent)?;
        let sums = Sums::new(&stack.addresses().postgres_admin_url, DATABASE)?;
        let mut stage = Self {
            fleets: Vec::new(),
            urls: Vec::new(),
            stack,
            sums,
            clocks: Vec::new(),
            disk,
            _shim: shim,
        };
        let mut issuer = None;
        for replica in 0..settings.replicas {
            let folder = stage.stack.folder().join(format!("replica-{replica}"));
            let mut plan = Plan::apart(DATABASE, &folder)?;
            plan.services.retain(|service| service.name == SERVICE);
            let issuer = issuer.get_or_insert_with(|| plan.issuer_url()).clone();
            let clock = stage._shim.control(&format!("replica-{replica}"))?;
            plan.env.extend(stage._shim.env(&clock));
            plan.env.extend([
                ("AUTH_ISSUER".to_owned(), issuer.clone()),
                ("AUTH_JWKS_URL".to_owned(), format!("{issuer}/jwks.json")),
            ]);
            let service = plan.services.first().context("the fleet has no ledger")?;
            stage.urls.push((service.grpc_url(), format!("{issuer}/token")));
            let addresses = stage.stack.addresses();
            let fleet = Fleet::start(&plan, &settings.binaries, &folder, addresses, &Silent)?;
            stage.fleets.push(fleet);
            stage.clocks.push(clock);
        }
        Ok(stage)
    }

    fn fleet(&mut self, replica: usize) -> anyhow::Result<&mut Fleet> {
        self.fleets.get_mut(replica).context("no such replica")
    }

    fn strike(&mut self, runtime: &Runtime, blow: &Blow) -> anyhow::Result<()> {
        sleep(blow.after)?;
        let mut cuts = 0;
        for fault in &blow.faults {
            match fault {
                Fault::Kill(replica) => self.fleet(*replica)?.kill(SERVICE)?,
                Fault::Pause(replica) => self.fleet(*replica)?.pause(SERVICE)?,
                Fault::Postgres => self.stack.kill_server(ServerKind::Postgres)?,
                Fault::Cut(times) => cuts = *times,
                Fault::Disk(by) => self.disk.slow_down(*by)?,
                Fault::Clock(replica, off) => self.clock(*replica)?.shift_clock(*off)?,
                Fault::Failpoint(replica, points) => {
                    let fleet = self.fleet(*replica)?;
                    fleet.kill(SERVICE)?;
                    fleet.set_env("FAILPOINTS", points.clone());
                    // One that fails while it starts is started again in the end.
                    let _ = fleet.revive(SERVICE);
                    fleet.set_env("FAILPOINTS", String::new());
                }
            }
        }
        for _ in 0..cuts {
            // Of a database that is away there is nothing to cut.
            let _ = runtime.block_on(self.sums.cut());
            sleep(blow.hold.checked_div(cuts).unwrap_or_default())?;
        }
        if cuts == 0 {
            sleep(blow.hold)?;
        }
        for fault in &blow.faults {
            match fault {
                Fault::Kill(replica) => self.fleet(*replica)?.revive(SERVICE)?,
                Fault::Pause(replica) => self.fleet(*replica)?.resume(SERVICE)?,
                Fault::Postgres => self.stack.restart_server(ServerKind::Postgres)?,
                Fault::Cut(_) => {}
                Fault::Disk(_) => self.disk.slow_down(Duration::ZERO)?,
                Fault::Clock(replica, _) => self.clock(*replica)?.shift_clock(0)?,
                Fault::Failpoint(replica, _) => {
                    let fleet = self.fleet(*replica)?;
                    fleet.kill(SERVICE)?;
                    fleet.revive(SERVICE)?;
                }
            }
        }
        Ok(())
    }

    fn clock(&self, replica: usize) -> anyhow::Result<&Control> {
        self.clocks.get(replica).context("no such replica")
    }

    /// Plays a seed. The history of one that is not `ok`, and the replicas' logs, are kept.
    ///
    /// # Errors
    /// On Ctrl-C; everything else is an outcome.
    pub(crate) fn play(
        &mut self,
        runtime: &Runtime,
        settings: &Settings,
        seed: u64,
    ) -> anyhow::Result<Outcomes> {
        let begun = Instant::now();
        let mut blows = plan(seed, settings.traffic, &settings.kinds, settings.replicas);
        for fault in blows.iter_mut().flat_map(|blow| &mut blow.faults) {
            if let (Fault::Failpoint(_, points), Some(wanted)) = (fault, &settings.failpoints) {
                points.clone_from(wanted);
            }
        }
        let mut history = History::default();
        let played = self.try_play(runtime, settings, seed, &blows, &mut history);
        interrupt::check()?;
        let (verdict, violations) = match played {
            Ok(mut violations) => {
                violations.extend(check(&history).iter().map(Violation::to_string));
                (
                    if violations.is_empty() { "ok" } else { "violations" },
                    violations,
                )
            }
            Err(error) => ("error", vec![format!("{error:#}")]),
        };
        if verdict != "ok" {
            self.keep_traces(&history, &settings.keep.join(format!("seed-{seed}")))?;
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            let operations = history.operations.iter();
            operations.filter(|one| wanted(&one.outcome)).count()
        };
        let refused = count(|outcome| matches!(outcome, Outcome::Refused(_)));
        let unknown = count(|outcome| matches!(outcome, Outcome::Unknown(_)));
        Ok(Outcomes {
            seed,
            verdict: verdict.to_owned(),
            ok: history
                .operations
                .len()
                .saturating_sub(refused.saturating_add(unknown)),
            refused,
            unknown,
            seconds: begun.elapsed().as_secs(),
            faults: blows
                .iter()
                .flat_map(|blow| &blow.faults)
                .map(ToString::to_string)
                .collect(),
            violations,
        })
    }

    /// What the database itself says is wrong; everything else is in the history.
    fn try_play(
        &mut self,
        runtime: &Runtime,
        settings: &Settings,
        seed: u64,
        blows: &[Blow],
        history: &mut History,
    ) -> anyhow::Result<Vec<String>> {
        // Where the channels find the runtime.
        let _inside = runtime.enter();
        let apis = self
            .urls
            .iter()
            .map(|(url, tokens)| LedgerApi::new(url, tokens, CLIENT_SECRET))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let first = apis.first().context("at least one replica is needed")?;
        let world = runtime.block_on(World::open(first, seed))?;
        let recorder = Recorder::new();
        let shared = Arc::new(Shared {
            reading: Reading {
                origin: origin(&recorder)?,
                assets: world.assets(),
            },
            apis,
            world,
            recorder,
            stop: false.into(),
            open_batches: Mutex::default(),
            imported: Mutex::default(),
            wrong: Mutex::default(),
        });

        let clients = runtime.spawn(traffic::run(Arc::clone(&shared), seed, settings.clients));
        let begun = Instant::now();
        let struck = blows.iter().try_for_each(|blow| self.strike(runtime, blow));
        let struck = struck.and_then(|()| sleep(settings.traffic.saturating_sub(begun.elapsed())));
        shared.stop.store(true, Ordering::Relaxed);
        // Also after a failure: what was seen until then says most about it.
        runtime.block_on(clients)?;
        if struck.is_ok() {
            runtime.block_on(traffic::finish(&shared, TRUTH));
        }
        history.accounts.clone_from(&shared.world.accounts);
        history.operations = shared.recorder.operations();
        struck?;

        let replica = usize::try_from(seed)?.checked_rem(shared.apis.len()).unwrap_or(0);
        *history = runtime.block_on(observe::look(&shared, replica))?;
        let mut wrong = runtime.block_on(self.sums.wrong())?;
        wrong.extend(shared.wrong(history));
        match self.fleets.iter_mut().find_map(Fleet::dead_service) {
            Some(error) => Err(error.context("a service ended by itself")),
            None => Ok(wrong),
        }
    }

    fn keep_traces(&self, history: &History, keep: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(keep)?;
        history.write(BufWriter::new(File::create(keep.join("history.jsonl"))?))?;
        for replica in 0..self.fleets.len() {
            let folder = Fleet::folder(&self.stack.folder().join(format!("replica-{replica}")));
            // Where the replica was not even started there is none.
            let _ = std::fs::copy(
                folder.join("svc-ledger.log"),
                keep.join(format!("{replica}-svc-ledger.log")),
            );
        }
        Ok(())
    }
}

/// The wall clock's time at which the recorder's began, in whole microseconds as the database keeps times.
fn origin(recorder: &Recorder) -> anyhow::Result<Timestamp> {
    let now = Ambient::system().clock.now().as_microsecond();
    let since = i64::try_from(recorder.now())?;
    Ok(Timestamp::from_microsecond(now.saturating_sub(since))?)
}
