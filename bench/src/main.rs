//! What svc-ledger does on this machine, beside what `pgbench` does on the same server in the same run.
//!
//! `cargo xtask bench ledger` builds the services with optimisations and starts this. Everything runs on the
//! machine's own cores: PostgreSQL that syncs each commit, Kafka with the relay publishing to it, the service, and the
//! generator. Figures of two machines, or of two days, do not compare; the ratio to pgbench does. Start with `load.rs`.

mod ledger;
mod load;
mod pgbench;
mod processors;
mod report;
mod server;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use lp_auth::TokenSource;
use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;
use lp_stack::{
    Durability, ServerKind, Stack, StackName,
    fleet::{Fleet, Plan},
    interrupt::{self, Interrupted},
    progress::Silent,
};
use lp_types::time::Ambient;
use sqlx::{Connection as _, PgConnection};
use tonic::metadata::{Ascii, MetadataValue};
use url::Url;

use crate::{
    ledger::{Ledger, Work},
    load::{at_most, at_rate},
    pgbench::Pgbench,
    processors::Memory,
    report::Report,
};

/// Connections of the generator to the service.
const CONNECTIONS: usize = 8;

/// Measures svc-ledger at its most, at fixed arrival rates, and beyond its most.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Callers that send as fast as they get answers
    #[arg(long, default_value_t = 256)]
    callers: u32,
    /// Seconds of each measurement, after as much of a warm-up as a third of it
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Customer accounts over which requests are spread
    #[arg(long, default_value_t = 10_000)]
    accounts: u32,
    /// Kafka is away meanwhile, as if it had processors of its own; what the relay does in the database is then left
    /// out too
    #[arg(long)]
    without_kafka: bool,
    /// Only the most, without the fixed rates
    #[arg(long)]
    most_only: bool,
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
    let mut stack = Stack::start_some(target, StackName::Bench, Durability::Full, &kinds, &Silent)?;
    let mut plan = Plan::apart("bench", stack.folder())?;
    plan.services.retain(|service| service.name == "ledger");
    plan.env.push(("LOG_FILTER".to_owned(), "warn".to_owned()));
    let fleet = Fleet::start(&plan, binaries, stack.folder(), stack.addresses(), &Silent)?;

    if arguments.without_kafka {
        stack.kill_server(ServerKind::Kafka)?;
    }
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

/// Connections, and the token of the platform's operator, who acts for any merchant.
async fn clients(
    env: &[(String, String)],
) -> anyhow::Result<(
    Vec<LedgerServiceClient<tonic::transport::Channel>>,
    MetadataValue<Ascii>,
)> {
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
    let bearer = TokenSource::new(operator, Ambient::system())?.bearer().await?;
    let ledger = tonic::transport::Endpoint::from_shared(value("SVC_LEDGER_URL")?)?.tcp_nodelay(true);
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(LedgerServiceClient::new(ledger.connect().await?));
    }
    Ok((clients, bearer.to_str()?.parse()?))
}

async fn measure(arguments: &Arguments, admin: &Url, plan: &Plan) -> anyhow::Result<Report> {
    let lasting = Duration::from_secs(arguments.seconds);
    let warm_up = lasting / 3;
    let tell = |what: &str| eprintln!("  {what}");
    tell("the server is set, and its log written once");
    server::settle(admin).await?;
    let pgbench = Pgbench::prepare(admin).await?;
    tell("pgbench");
    let mut references = vec![pgbench.tpc_b(lasting)?, pgbench.one_call(lasting)?];

    let (clients, bearer) = clients(&plan.outside_env()).await?;
    tell(&format!("{} accounts are opened", arguments.accounts));
    let ledger = Ledger::open(clients, bearer, arguments.accounts).await?;

    let mut measured = Vec::new();
    let at = async |work: Work, rate: u32| {
        interrupt::check()?;
        tell(&format!("{}, {rate}/s", work.scenario().0));
        let request = |number| ledger.clone().request(work, number);
        at_rate(work.scenario(), rate, warm_up, request).await?;
        at_rate(work.scenario(), rate, lasting, request).await
    };
    let mut most = 0;
    for work in Work::ALL {
        interrupt::check()?;
        let callers = work.callers(arguments.callers);
        tell(&format!("{}, {callers} callers", work.scenario().0));
        let ledger = ledger.clone();
        let request = move |number| ledger.clone().request(work, number);
        at_most(work.scenario(), callers, warm_up, request.clone()).await?;
        let found = at_most(work.scenario(), callers, lasting, request).await?;
        if work == Work::Spread {
            most = whole(found.per_second);
        }
        measured.push(found);
    }
    if !arguments.most_only {
        for rate in [1_000, most / 2, most.saturating_mul(2)] {
            measured.push(at(Work::Spread, rate).await?);
        }
    }
    let memory = Memory::most();
    tell("pgbench again");
    references.push(pgbench.tpc_b(lasting)?);
    let mut session = PgConnection::connect(admin.as_str()).await?;
    Ok(Report {
        cores: std::thread::available_parallelism()?.get(),
        postgresql: sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut session)
            .await?,
        accounts: arguments.accounts,
        without_kafka: arguments.without_kafka,
        references,
        measured,
        memory,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is some thousands"
)]
fn whole(rate: f64) -> u32 {
    rate as u32
}
