//! What svc-ledger does on this machine, beside what `pgbench` does on the same server in the same run.
//!
//! `cargo xtask bench ledger` builds the services with optimisations and starts this. Everything runs on the
//! machine's own cores: PostgreSQL that syncs each commit, Kafka with the relay publishing to it, the service, and the
//! generator. Figures of two machines, or of two days, do not compare; the ratio to pgbench does. Start with `load.rs`.

mod ledger;
mod load;
mod pgbench;
mod report;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use lp_auth::TokenSource;
use lp_client::Channel;
use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;
use lp_stack::{
    Durability, ServerKind, Stack, StackName,
    fleet::{Fleet, Plan},
    interrupt::{self, Interrupted},
    progress::Silent,
};
use lp_types::time::Ambient;
use sqlx::{Connection as _, PgConnection};
use url::Url;

use crate::{
    ledger::Ledger,
    load::{at_most, at_rate},
    pgbench::Pgbench,
    report::Report,
};

/// Connections of the generator to the service.
const CONNECTIONS: usize = 8;

/// Measures svc-ledger at fixed arrival rates, and at its most.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Arrivals a second, one measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [250, 1_000, 2_000, 4_000])]
    rates: Vec<u32>,
    /// Callers that send as fast as they get answers, one measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [32, 256])]
    callers: Vec<u32>,
    /// Seconds of each measurement, after as much of a warm-up as a third of it
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Customer accounts over which requests are spread
    #[arg(long, default_value_t = 10_000)]
    accounts: u32,
    /// Where the result goes as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let program = std::env::current_exe()?;
    let binaries = program.parent().context("this program has no folder")?;
    let target = binaries.parent().context("no target folder")?;
    Stack::wipe(target, StackName::Bench)?;
    // As in production: a commit is on the disk before it is acknowledged.
    let kinds = [ServerKind::Postgres, ServerKind::Kafka];
    let stack = Stack::start_some(target, StackName::Bench, Durability::Full, &kinds, &Silent)?;
    let mut plan = Plan::apart("bench", stack.folder())?;
    plan.services.retain(|service| service.name == "ledger");
    plan.env.push(("LOG_FILTER".to_owned(), "warn".to_owned()));
    let fleet = Fleet::start(&plan, binaries, stack.folder(), stack.addresses(), &Silent)?;

    let runtime = tokio::runtime::Runtime::new()?;
    let admin: Url = stack.addresses().postgres_admin_url.parse()?;
    let report = runtime.block_on(measure(arguments, &admin, &plan))?;
    drop(fleet);
    println!("{}", report.table());
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        println!("as JSON: {}", file.display());
    }
    Ok(())
}

/// Connections of the platform's operator, who acts for any merchant.
fn clients(env: &[(String, String)]) -> anyhow::Result<Vec<LedgerServiceClient<Channel>>> {
    let value = |name: &str| {
        let found = env.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone())
            .with_context(|| format!("no {name}"))
    };
    let operator = lp_config::Client {
        auth_token_url: value("AUTH_TOKEN_URL")?.parse()?,
        auth_client_id: "operator".to_owned(),
        auth_client_secret: value("CLIENT_SECRET")?.into(),
    };
    let tokens = TokenSource::new(operator, Ambient::system())?;
    let ledger = value("SVC_LEDGER_URL")?.parse()?;
    (0..CONNECTIONS)
        .map(|_| Ok(LedgerServiceClient::new(lp_client::channel(&ledger, &tokens)?)))
        .collect()
}

async fn measure(arguments: &Arguments, admin: &Url, plan: &Plan) -> anyhow::Result<Report> {
    let lasting = Duration::from_secs(arguments.seconds);
    let warm_up = lasting / 3;
    let pgbench = Pgbench::prepare(admin).await?;
    let tell = |what: &str| eprintln!("  {what}");
    tell("pgbench");
    let before = pgbench.run(lasting)?;

    let clients = clients(&plan.outside_env())?;
    tell(&format!("{} accounts are opened", arguments.accounts));
    let spread = Ledger::open(clients.clone(), arguments.accounts).await?;
    let hot = Ledger::open(clients, 1).await?;

    let mut measured = Vec::new();
    let scenarios = [("earn, spread", &spread), ("earn, one account", &hot)];
    for (name, ledger) in scenarios {
        for rate in &arguments.rates {
            interrupt::check()?;
            tell(&format!("{name}, {rate}/s"));
            let earn = |number| ledger.clone().earn(number);
            at_rate(name, *rate, warm_up, earn).await?;
            measured.push(at_rate(name, *rate, lasting, earn).await?);
        }
        for callers in &arguments.callers {
            interrupt::check()?;
            tell(&format!("{name}, {callers} callers"));
            let ledger = ledger.clone();
            let earn = move |number| ledger.clone().earn(number);
            at_most(name, *callers, warm_up, earn.clone()).await?;
            measured.push(at_most(name, *callers, lasting, earn).await?);
        }
    }
    tell("pgbench again");
    let after = pgbench.run(lasting)?;
    let mut session = PgConnection::connect(admin.as_str()).await?;
    Ok(Report {
        cores: std::thread::available_parallelism()?.get(),
        postgresql: sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut session)
            .await?,
        accounts: arguments.accounts,
        pgbench: vec![before, after],
        measured,
    })
}
