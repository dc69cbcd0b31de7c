//! The reference: what `pgbench` gets of the same server with its own TPC-B-like transaction.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, bail, ensure};
use lp_stack::command;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use url::Url;

/// Accounts are 100,000 times this.
const SCALE: u32 = 10;
const CLIENTS: u32 = 16;
/// pgbench's own script.
pub(crate) const TPC_B: &str = "TPC-B";
const DATABASE: &str = "pgbench";
/// Two accounts out of those of `one_call.sql`, in any order.
const ONE_CALL: &str = "\\set payer random(1, 5000)\n\\set payee random(5001, 10000)\n\
                        SELECT one_transfer(:payer, :payee, 1);\n";

/// What pgbench reported.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reference {
    /// What it ran.
    pub(crate) script: &'static str,
    /// `pgbench` with its version.
    pub(crate) program: String,
    pub(crate) clients: u32,
    /// Without the time for connecting.
    pub(crate) transactions_per_second: f64,
    pub(crate) latency_average_ms: f64,
}

/// pgbench and the database that it works on.
pub(crate) struct Pgbench {
    program: PathBuf,
    version: String,
    url: Url,
}

impl Pgbench {
    /// Makes and fills pgbench's own database on the server of `admin`.
    ///
    /// # Errors
    /// When there is no pgbench, or it fails.
    pub(crate) async fn prepare(admin: &Url) -> anyhow::Result<Self> {
        let program = command::find("pgbench")
            .or_else(|| Some(lp_stack::tools::installed_postgres()?.bin.join("pgbench")))
            .filter(|program| program.exists())
            .context("pgbench is missing: on Debian, `apt-get install postgresql-contrib`")?;
        let version = output(Command::new(&program).arg("--version"))?.trim().to_owned();
        let mut session = PgConnection::connect(admin.as_str()).await?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {DATABASE}"),
            format!("CREATE DATABASE {DATABASE}"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&mut session)
                .await?;
        }
        let mut url = admin.clone();
        url.set_path(DATABASE);
        let scale = SCALE.to_string();
        output(Command::new(&program).args(["-i", "-q", "-s", &scale, url.as_str()]))?;
        let mut session = PgConnection::connect(url.as_str()).await?;
        sqlx::raw_sql(include_str!("one_call.sql"))
            .execute(&mut session)
            .await?;
        Ok(Self {
            program,
            version,
            url,
        })
    }

    /// Runs the TPC-B-like script for `lasting`.
    ///
    /// # Errors
    /// When pgbench fails or says what cannot be read.
    pub(crate) fn tpc_b(&self, lasting: Duration) -> anyhow::Result<Reference> {
        self.run(TPC_B, &[], lasting)
    }

    /// Posts with one call of a function for each transaction.
    ///
    /// # Errors
    /// As [`Self::tpc_b`].
    pub(crate) fn one_call(&self, lasting: Duration) -> anyhow::Result<Reference> {
        let script = tempfile(ONE_CALL)?;
        let file = script.to_string_lossy().into_owned();
        self.run("one SQL call each", &["-n", "-f", &file], lasting)
    }

    fn run(&self, script: &'static str, arguments: &[&str], lasting: Duration) -> anyhow::Result<Reference> {
        let (clients, seconds) = (CLIENTS.to_string(), lasting.as_secs().max(1).to_string());
        let said = output(
            Command::new(&self.program)
                .args(["-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds])
                .args(arguments)
                .arg(self.url.as_str()),
        )?;
        let figure = |before: &str, after: &str| -> anyhow::Result<f64> {
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix(before)?.split_once(after));
            let (figure, _) = line.with_context(|| format!("pgbench said no {before:?}:\n{said}"))?;
            Ok(figure.trim().parse()?)
        };
        Ok(Reference {
            script,
            program: self.version.clone(),
            clients: CLIENTS,
            transactions_per_second: figure("tps = ", " (without initial")?,
            latency_average_ms: figure("latency average = ", " ms")?,
        })
    }
}

fn tempfile(text: &str) -> anyhow::Result<PathBuf> {
    let file = std::env::temp_dir().join(format!("bench-{}.sql", std::process::id()));
    std::fs::write(&file, text)?;
    Ok(file)
}

/// What a command prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().context("pgbench could not be started")?;
    if !done.status.success() {
        bail!("pgbench failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    let said = String::from_utf8(done.stdout)?;
    ensure!(
        !said.contains("failed transactions: 1"),
        "pgbench had failures:\n{said}"
    );
    Ok(said)
}
