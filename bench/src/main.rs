//! What svc-ledger does on this machine, beside what `pgbench` does on the same server in the same run.
//!
//! `cargo xtask bench ledger` builds the services with optimisations and starts this. Everything runs on the
//! machine's own cores: PostgreSQL that syncs each commit, Kafka with the relay publishing to it, the service, and the
//! generator. Figures of two machines, or of two days, do not compare; the ratio to pgbench does. Start with `load.rs`.

mod growth;
mod ledger;
mod load;
mod pgbench;
mod processors;
mod report;
mod server;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

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
use url::Url;

use crate::{
    growth::Growth,
    ledger::{Ledger, Work},
    load::{Measured, at_most, at_rate},
    pgbench::Pgbench,
    processors::Memory,
    report::Report,
    server::SETTINGS,
    tls::Tls,
};

/// The service's database, and what keeps its topics apart.
const NAME: &str = "bench";
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
    #[command(flatten)]
    growth: Growth,
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
    let runtime = tokio::runtime::Runtime::new()?;
    let admin: Url = stack.addresses().postgres_admin_url.parse()?;
    tell("PostgreSQL is set, and the files of its log made");
    runtime.block_on(server::set(&admin))?;
    stack.restart_server(ServerKind::Postgres)?;
    runtime.block_on(server::settle(&admin))?;

    let mut plan = Plan::apart(NAME, stack.folder())?;
    plan.services.retain(|service| service.name == "ledger");
    plan.env.push(("LOG_FILTER".to_owned(), "warn".to_owned()));
    let fleet = start(&mut stack, &plan, binaries, arguments.without_kafka)?;
    let bench = Bench { arguments, admin };
    let (mut report, ledger) = runtime.block_on(bench.measure(&plan.outside_env()))?;
    drop(fleet);
    if !arguments.growth.growth {
        let tls = Tls::generate(stack.folder())?;
        plan.env.extend(tls.env());
        let _fleet = start(&mut stack, &plan, binaries, arguments.without_kafka)?;
        let over_tls = runtime.block_on(bench.measure_over(&plan.outside_env(), &tls, &ledger))?;
        report.measured.extend(over_tls);
    }
    println!("{}", report.table());
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        println!("as JSON: {}", file.display());
    }
    Ok(())
}

/// The service, which makes its topics before Kafka may go.
fn start(stack: &mut Stack, plan: &Plan, binaries: &Path, without_kafka: bool) -> anyhow::Result<Fleet> {
    if without_kafka {
        stack.restart_server(ServerKind::Kafka)?;
    }
    let fleet = Fleet::start(plan, binaries, stack.folder(), stack.addresses(), &Silent)?;
    if without_kafka {
        stack.kill_server(ServerKind::Kafka)?;
    }
    Ok(fleet)
}

fn tell(what: &str) {
    eprintln!("  {what}");
}

/// Connections, and the tokens of the platform's operator, who acts for any merchant.
async fn clients(
    env: &[(String, String)],
    tls: Option<&Tls>,
) -> anyhow::Result<(Vec<LedgerServiceClient<tonic::transport::Channel>>, TokenSource)> {
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
    let mut ledger = tonic::transport::Endpoint::from_shared(value("SVC_LEDGER_URL")?)?.tcp_nodelay(true);
    if let Some(tls) = tls {
        let url = value("SVC_LEDGER_URL")?.replacen("http:", "https:", 1);
        ledger = tonic::transport::Endpoint::from_shared(url)?
            .tcp_nodelay(true)
            .tls_config(tls.client())?;
    }
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(LedgerServiceClient::new(ledger.connect().await?));
    }
    Ok((clients, tokens))
}

struct Bench<'a> {
    arguments: &'a Arguments,
    /// PostgreSQL, under its superuser.
    admin: Url,
}

impl Bench<'_> {
    async fn measure(&self, env: &[(String, String)]) -> anyhow::Result<(Report, Ledger)> {
        let lasting = Duration::from_secs(self.arguments.seconds);
        let pgbench = Pgbench::prepare(&self.admin).await?;
        tell("pgbench");
        let mut references = vec![pgbench.tpc_b(lasting)?, pgbench.one_call(lasting)?];
        let (clients, tokens) = clients(env, None).await?;
        tell(&format!("{} accounts are opened", self.arguments.accounts));
        let ledger = Ledger::open(clients, tokens, self.arguments.accounts).await?;
        let measured = if self.arguments.growth.growth {
            let mut database = self.admin.clone();
            database.set_path(NAME);
            let growth = &self.arguments.growth;
            growth.measure(&ledger, &database, self.arguments.callers).await?
        } else {
            self.measure_all(&ledger).await?
        };
        let memory = Memory::most();
        tell("pgbench again");
        references.push(pgbench.tpc_b(lasting)?);
        let mut session = PgConnection::connect(self.admin.as_str()).await?;
        let report = Report {
            cores: std::thread::available_parallelism()?.get(),
            postgresql: sqlx::query_scalar("SHOW server_version")
                .fetch_one(&mut session)
                .await?,
            settings: SETTINGS,
            accounts: self.arguments.accounts,
            without_kafka: self.arguments.without_kafka,
            references,
            measured,
            memory,
        };
        Ok((report, ledger))
    }

    /// Each work at its most, and the first of them at fixed rates.
    async fn measure_all(&self, ledger: &Ledger) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for work in Work::ALL {
            measured.push(self.most(ledger, work, work.name()).await?);
        }
        if self.arguments.most_only {
            return Ok(measured);
        }
        let most = measured.first().map_or(0, |spread| whole(spread.per_second));
        let lasting = Duration::from_secs(self.arguments.seconds);
        for rate in [1_000, most / 2, most.saturating_mul(2)] {
            interrupt::check()?;
            tell(&format!("{}, {rate}/s", Work::Spread.name()));
            let request = |number| ledger.clone().request(Work::Spread, number);
            let scenario = (Work::Spread.name(), Work::Spread.each());
            at_rate(scenario, rate, lasting / 3, request).await?;
            measured.push(at_rate(scenario, rate, lasting, request).await?);
        }
        Ok(measured)
    }

    /// The same accounts over TLS.
    async fn measure_over(
        &self,
        env: &[(String, String)],
        tls: &Tls,
        ledger: &Ledger,
    ) -> anyhow::Result<Vec<Measured>> {
        let (clients, _) = clients(env, Some(tls)).await?;
        let ledger = ledger.over(clients);
        Ok(vec![
            self.most(&ledger, Work::Spread, "earn, spread, TLS").await?,
            self.most(&ledger, Work::Reads, "balance reads, spread, TLS")
                .await?,
        ])
    }

    async fn most(&self, ledger: &Ledger, work: Work, name: &str) -> anyhow::Result<Measured> {
        interrupt::check()?;
        let callers = work.callers(self.arguments.callers);
        tell(&format!("{name}, {callers} callers"));
        let lasting = Duration::from_secs(self.arguments.seconds);
        let ledger = ledger.clone();
        let request = move |number| ledger.clone().request(work, number);
        at_most((name, work.each()), callers, lasting / 3, request.clone()).await?;
        at_most((name, work.each()), callers, lasting, request).await
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is some thousands"
)]
fn whole(rate: f64) -> u32 {
    rate as u32
}
