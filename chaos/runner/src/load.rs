//! Load at a fixed rate on the fleet that the environment names, and the checker's word on what it saw.
//!
//! Open loop: each request has a moment at which it is sent, whatever became of those before it, and its latency counts
//! from that moment. Calls go through the client channel that services use, which spreads them over all replicas; what
//! is not answered is sent again under its key, as the project's clients do.

mod mix;

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use hdrhistogram::Histogram;
use history_checker::{History, Outcome, Violation, check};
use lp_types::{IdSource as _, SystemIds};
use serde::Serialize;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use self::mix::Mix;
use crate::{
    api::{Api, reaching},
    observe,
    recorder::Recorder,
    run::{digest, purchases},
    traffic::{self, Shared},
    world::{Size, World},
};

/// Until then a request must have its answer, with all tries.
const PATIENCE: Duration = Duration::from_secs(10);
/// More requests without answer are not sent: they count as failed.
const UNDER_WAY: usize = 2_000;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Every earn, burn and purchase of a customer is told by an e-mail, and hundreds in a second are more than the fleet's
/// mail catcher is for: so one customer of each merchant agrees to messages, and the notifications of the others are
/// seen to be suppressed.
const WORLD: Size = Size {
    customers: 60,
    told: 1,
    pins: false,
};

/// Requests at a fixed rate, all recorded and judged. Ends with 0 when each was answered and no promise was broken; on
/// SIGTERM it stops sending, and judges what was sent.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// Requests in a second
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// For how many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Decides merchants and calls (default: another one each time)
    #[arg(long)]
    seed: Option<u64>,
    /// The file for the history, which `chaos --judge` reads
    #[arg(long)]
    history: Option<PathBuf>,
}

/// What is printed in the end, as one line of JSON.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Requests whose moment came: `ok`, `refused` and `failed` together.
    sent: u64,
    ok: u64,
    /// Answered with a refusal that the contract knows; the checker judges whether it was right.
    refused: u64,
    /// Without an answer in ten seconds.
    failed: u64,
    /// Calls that were made again.
    retried: u64,
    /// The failed ones by what was said last; `NOT_SENT`: too many were under way; `LATE`: answered after ten seconds.
    failures: BTreeMap<String, u64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    violations: Vec<String>,
}

/// What became of the requests so far.
#[derive(Debug)]
struct Tally {
    report: Report,
    /// Microseconds.
    latencies: Histogram<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            report: Report::default(),
            latencies: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        })
    }

    fn failed(&mut self, reason: &str) {
        self.report.sent += 1;
        self.report.failed += 1;
        *self.report.failures.entry(reason.to_owned()).or_default() += 1;
    }

    fn ended(&mut self, outcome: &Outcome, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        match outcome {
            Outcome::Unknown(reason) => return self.failed(reason),
            _ if took > PATIENCE => return self.failed("LATE"),
            Outcome::Refused(_) => self.report.refused += 1,
            _ => self.report.ok += 1,
        }
        self.report.sent += 1;
    }

    /// Milliseconds.
    fn quantile(&self, quantile: f64) -> f64 {
        let micros = self.latencies.value_at_quantile(quantile);
        (Duration::from_micros(micros).as_secs_f64() * 1e4).round() / 10.0
    }
}

/// Loads the fleet that the environment names (`SVC_LEDGER_URL` and so on, `AUTH_TOKEN_URL`, `CLIENT_SECRET`,
/// `MAIL_API_URL`).
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings: Vec<_> = std::env::vars().collect();
    let loaded = || {
        let mail_api = std::env::var("MAIL_API_URL").context("MAIL_API_URL is not set")?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(load(&arguments, &settings, &mail_api))
    };
    match loaded() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether each request was answered and no promise was broken.
async fn load(arguments: &Arguments, settings: &[(String, String)], mail_api: &str) -> anyhow::Result<bool> {
    let run = SystemIds.uuid();
    let seed = arguments.seed.unwrap_or_else(|| run.as_u64_pair().1);
    let api = Arc::new(Api::new(settings)?);
    let begun = Instant::now();
    let name = format!("load-{}", run.simple());
    let world = reaching(|| World::open(&api, seed, &name, WORLD))
        .await
        .context("the merchants and wallets cannot be opened")?;
    eprintln!(
        "seed {seed}: merchants and wallets opened in {:.1?}",
        begun.elapsed()
    );
    let shared = Arc::new(Shared {
        apis: RwLock::new(vec![Arc::clone(&api)]),
        world,
        recorder: Recorder::new(),
        stop: false.into(),
        patience: Some(PATIENCE),
    });
    let tally = Arc::new(Mutex::new(Tally::new()?));
    send(arguments, seed, &shared, &tally).await?;

    let mut report = report(&tally, &shared);
    let begun = Instant::now();
    let judged = judge(arguments, &shared, &api, mail_api).await;
    report.violations = judged.unwrap_or_else(|error| vec![format!("the fleet cannot be judged: {error:#}")]);
    eprintln!("looked at and judged in {:.1?}", begun.elapsed());
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.failed == 0 && report.violations.is_empty())
}

/// Sends each request at its moment, until the time is over or SIGTERM comes, and waits for the last answers.
async fn send(
    arguments: &Arguments,
    seed: u64,
    shared: &Arc<Shared>,
    tally: &Arc<Mutex<Tally>>,
) -> anyhow::Result<()> {
    let mix = Arc::new(Mix::new(seed));
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut progress = interval(PROGRESS);
    let mut under_way = JoinSet::new();
    let begun = Instant::now();
    let total = arguments.rate.saturating_mul(arguments.seconds);
    let mut number = 0;
    while number < total {
        let offset = Duration::from_secs(number.into()) / arguments.rate;
        let moment = begun.checked_add(offset).context("a moment")?;
        select! {
            biased;
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            () = sleep_until(moment) => {
                if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                    let (shared, mix, tally) = (Arc::clone(shared), Arc::clone(&mix), Arc::clone(tally));
                    under_way.spawn(async move {
                        let outcome = mix.request(&shared, number).await;
                        lock(&tally).ended(&outcome, moment.elapsed());
                        drop(permit);
                    });
                } else {
                    lock(tally).failed("NOT_SENT");
                }
                number = number.saturating_add(1);
                while under_way.try_join_next().is_some() {}
            }
            _ = progress.tick() => tell(&lock(tally), under_way.len(), begun.elapsed()),
        }
    }
    while under_way.join_next().await.is_some() {}
    tell(&lock(tally), 0, begun.elapsed());
    Ok(())
}

fn tell(tally: &Tally, under_way: usize, since: Duration) {
    let Report {
        sent,
        ok,
        refused,
        failed,
        ..
    } = &tally.report;
    eprintln!(
        "{:>4} s: {sent} sent, {ok} ok, {refused} refused, {failed} failed, {under_way} under way, p50 {:.1} ms, p99 {:.1} ms",
        since.as_secs(),
        tally.quantile(0.5),
        tally.quantile(0.99),
    );
}

fn report(tally: &Mutex<Tally>, shared: &Shared) -> Report {
    let mut tally = lock(tally);
    let report = std::mem::take(&mut tally.report);
    let not_sent = report.failures.get("NOT_SENT").copied().unwrap_or(0);
    let calls = u64::try_from(shared.recorder.count()).unwrap_or(u64::MAX);
    Report {
        retried: calls.saturating_sub(report.sent.saturating_sub(not_sent)),
        p50_ms: tally.quantile(0.5),
        p99_ms: tally.quantile(0.99),
        max_ms: tally.quantile(1.0),
        ..report
    }
}

/// What the checker finds broken, once the fleet has come to rest.
async fn judge(
    arguments: &Arguments,
    shared: &Shared,
    api: &Arc<Api>,
    mail_api: &str,
) -> anyhow::Result<Vec<String>> {
    traffic::finish(shared).await?;
    let operations = shared.recorder.operations();
    let purchases = purchases(&operations, &shared.world);
    let seen = observe::at_rest(&[Arc::clone(api)], &shared.world, &purchases, mail_api).await?;
    let history = History { operations, ..seen };
    if let Some(file) = &arguments.history {
        history.write(BufWriter::new(File::create(file)?))?;
    }
    eprintln!(
        "{} calls, {} transactions, {} entries, {} notifications, {} e-mails",
        history.operations.len(),
        history.transactions.len(),
        history.entries.len(),
        history.notifications.len(),
        history.mails.len()
    );
    let violations: Vec<_> = check(&history).iter().map(Violation::to_string).collect();
    Ok(digest(&violations))
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_and_a_late_one_are_failures_and_a_refusal_is_none() {
        let mut tally = Tally::new().unwrap();
        let second = Duration::from_secs(1);
        let unknown = Outcome::Unknown("Unavailable".to_owned());
        let refused = Outcome::Refused("INSUFFICIENT_FUNDS".to_owned());
        tally.ended(&unknown, second);
        tally.ended(&refused, second);
        tally.ended(&refused, PATIENCE + second);
        tally.failed("NOT_SENT");
        let report = &tally.report;
        assert_eq!(
            (report.sent, report.ok, report.refused, report.failed),
            (4, 0, 1, 3)
        );
        let failures: Vec<_> = report
            .failures
            .iter()
            .map(|(why, n)| (why.as_str(), *n))
            .collect();
        assert_eq!(failures, [("LATE", 1), ("NOT_SENT", 1), ("Unavailable", 1)]);
    }
}
