//! A service's command line: the same for all, so that a `main.rs` names the service and nothing else.

use std::{future::Future, process::ExitCode};

use anyhow::Context as _;
use clap::{
    Args, FromArgMatches, Parser, Subcommand,
    builder::{PossibleValue, PossibleValuesParser},
};
use futures::future::BoxFuture;
use lp_config::{Admin, Common, Database, Kafka, Owner};
use lp_kafka::topics::Topic;
use lp_telemetry::Settings;
use lp_types::time::Ambient;
use sqlx::migrate::Migrator;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Chassis,
    serve::{App, start},
};

/// Something that a service does when it is told to, and then ends: `svc-x job NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// As the command line names it.
    pub name: &'static str,
    /// What it does, and what its exit codes mean.
    pub about: &'static str,
    /// Does it, under the role that serves.
    pub run: fn(lp_pg::Database) -> BoxFuture<'static, anyhow::Result<ExitCode>>,
}

/// A job that could not be done, whatever its other exit codes mean.
const NOT_DONE: u8 = 2;

/// A service of the fleet.
pub trait Service: 'static {
    /// Its name, for example `svc-ledger`.
    const NAME: &'static str;
    /// Its settings.
    type Config: Args + Clone + Send + std::fmt::Debug;

    /// What it can be told to do beside serving.
    const JOBS: &'static [Job] = &[];

    /// The settings that every service has.
    fn common(config: &Self::Config) -> &Common;

    /// Its schema, the chassis' tables included.
    fn migrator() -> Migrator;

    /// Puts its parts together; connects to nothing that may be away.
    fn build(config: Self::Config, chassis: Chassis) -> impl Future<Output = anyhow::Result<App>> + Send;
}

/// A service of Local-Plus. Every option can be given as the environment variable that it names.
#[derive(Debug, Parser)]
struct Cli<C: Args> {
    #[command(subcommand)]
    command: Command<C>,
}

#[derive(Debug, Subcommand)]
enum Command<C: Args> {
    /// Serves until SIGTERM.
    Serve(C),
    /// Brings the schema and the service's own topics up to this version.
    Migrate(Migrate),
    /// Makes the database, the roles and the schema, as far as they are missing.
    Provision(Provision),
    /// Does one of the service's jobs, and ends.
    Job(Told),
    /// Prints the settings of `serve` as a Markdown table.
    Config,
}

#[derive(Debug, Args)]
struct Migrate {
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    kafka: Kafka,
}

#[derive(Debug, Args)]
struct Provision {
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Args)]
struct Told {
    /// Which.
    name: String,
    #[command(flatten)]
    database: Database,
}

/// Runs a service's command line.
pub fn main<S: Service>() -> ExitCode {
    let jobs = S::JOBS
        .iter()
        .map(|job| PossibleValue::new(job.name).help(job.about));
    let jobs = PossibleValuesParser::new(jobs);
    let matches = <Cli<S::Config> as clap::CommandFactory>::command()
        .name(S::NAME)
        .mut_subcommand("job", |job| {
            job.hide(S::JOBS.is_empty())
                .mut_arg("name", |name| name.value_parser(jobs))
        })
        .get_matches();
    let cli = match Cli::<S::Config>::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    // Only fails when it was done before, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")
        .and_then(|runtime| runtime.block_on(run::<S>(cli.command)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error:#}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

async fn run<S: Service>(command: Command<S::Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Job(told) => return Ok(job::<S>(&told).await),
        Command::Serve(config) => serve::<S>(config).await?,
        Command::Migrate(to) => {
            lp_pg::schema::migrate(&to.owner, &to.database, &S::migrator()).await?;
            let owned = lp_contracts::topics::owned_by(S::NAME)?;
            let topics: Vec<_> = owned
                .iter()
                .map(|t| Topic {
                    name: &t.name,
                    partitions: t.partitions,
                    retention_days: t.retention_days,
                })
                .collect();
            lp_kafka::topics::ensure(&to.kafka, &topics).await?;
        }
        Command::Provision(to) => lp_pg::tenant::provision(&to.admin, &to.owner, &to.database).await?,
        Command::Config => {
            print!("{}", lp_config::table::<S::Config>());
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn job<S: Service>(told: &Told) -> ExitCode {
    let done = async {
        let database = lp_pg::Database::open(&told.database, S::NAME)?;
        lp_pg::schema::check(&database, &S::migrator()).await?;
        let job = S::JOBS.iter().find(|job| job.name == told.name);
        (job.context("no such job")?.run)(database).await
    };
    done.await.unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", S::NAME);
        ExitCode::from(NOT_DONE)
    })
}

async fn serve<S: Service>(config: S::Config) -> anyhow::Result<()> {
    let common = S::common(&config).clone();
    let telemetry = lp_telemetry::init(&Settings {
        service: S::NAME,
        version: common.telemetry.localplus_release.clone(),
        log_format: common.telemetry.log_format,
        log_filter: common.telemetry.log_filter.clone(),
        otlp_endpoint: common.telemetry.otel_exporter_otlp_endpoint.clone(),
    })?;
    let outcome = until_stopped::<S>(config, &common, &telemetry).await;
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "the service failed");
    }
    telemetry.shutdown().await;
    outcome
}

async fn until_stopped<S: Service>(
    config: S::Config,
    common: &Common,
    telemetry: &lp_telemetry::Telemetry,
) -> anyhow::Result<()> {
    let chassis = Chassis::open(S::NAME, common, telemetry.metrics().clone(), Ambient::system())?;
    lp_pg::schema::check(&chassis.database, &S::migrator()).await?;
    let app = S::build(config, chassis.clone()).await?;
    let running = start(S::NAME, common, &chassis, app).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = running.stopper();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    running.ended().await
}
