//! The command line, and what every proof is given.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use lp_fleet::{Environment, Fleet};

use crate::{
    cluster::Cluster, deploy, network, promotion, push, report, repository::Repository, rollout,
    secrets::Vault, stores::DATA,
};

/// Delivers the fleet to a cluster, and proves on a real one that it works.
#[derive(Debug, Parser)]
#[command(name = "delivery", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Let an environment run what the one before it runs well: one commit, for you to push
    Promote {
        /// `staging` or `prod`
        to: String,
        /// The services, as `ledger`; all when none is named
        services: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Prove on a real cluster with Argo CD that a commit becomes running pods
    Cluster {
        #[command(subcommand)]
        proof: Kind,
    },
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// From an empty cluster with Argo CD to the whole fleet in three environments, and the demo in it
    Deploy(Proof),
    /// Roll the fleet forward under load; then a broken image, a killed pod, a drained node, a scale-out
    Rollout(Proof),
    /// From `git push` to the new version answering in prod, through dev and staging with their gates
    PushToProd(Proof),
    /// Try each declared call and each undeclared pair from inside the pods
    Network(Proof),
    /// All four, one after the other, and their summary into docs/platform-contracts/proof.md
    All(Proof),
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
struct Target {
    /// Absent: what KUBECONFIG names, or the cluster that this program runs in
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

/// What a proof is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct Proof {
    #[command(flatten)]
    target: Target,
    /// Where the proof pushes its copy of this repository: a URL, or a folder for a bare repository. What is on its
    /// branch `main` is replaced
    #[arg(long, env = "PROOF_GIT_PUSH")]
    pub(crate) git_push: String,
    /// The same repository, as Argo CD reaches it from inside the cluster
    #[arg(long, env = "PROOF_GIT_URL")]
    pub(crate) git_url: String,
    /// A shell command that puts image archives (its arguments) into every node, where there is no registry
    #[arg(long, env = "PROOF_LOAD_IMAGES")]
    pub(crate) load_images: String,
    /// The work tree whose last commit is delivered
    #[arg(long, default_value = ".")]
    pub(crate) root: PathBuf,
}

impl Proof {
    /// The cluster.
    pub(crate) async fn connect(&self) -> anyhow::Result<Cluster> {
        Cluster::connect(self.target.kubeconfig.as_deref()).await
    }

    /// Where proofs keep what they make.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join("target/cluster")
    }

    /// The work tree of the copy that Argo CD follows.
    pub(crate) fn repository_folder(&self) -> PathBuf {
        self.folder().join("repository")
    }

    /// The copy, as the last proof left it.
    pub(crate) fn repository(&self) -> anyhow::Result<Repository> {
        Repository::at(&self.repository_folder(), &self.git_push)
    }

    /// What kustomize makes of a folder.
    pub(crate) fn kustomize(&self, folder: &Path) -> anyhow::Result<String> {
        let cache = lp_stack::cache::Cache::open()?;
        let program = lp_stack::tools::kustomize(&cache, &|_| {})?;
        let output = Command::new(program).arg("build").arg(folder).output()?;
        if !output.status.success() {
            bail!(
                "kustomize build {}: {}",
                folder.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        String::from_utf8(output.stdout).context("kustomize printed no text")
    }

    /// What callers from outside the fleet need, inside the cluster.
    pub(crate) fn outside_env(
        &self,
        fleet: &Fleet,
        environment: &Environment,
        vault: &Vault,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let namespace = &environment.namespace;
        let mut variables = vec![
            (
                "AUTH_TOKEN_URL".to_owned(),
                format!("{}/token", environment.issuer.url),
            ),
            ("CLIENT_SECRET".to_owned(), vault.client_secret()?.to_owned()),
            ("MAIL_API_URL".to_owned(), format!("http://mail.{DATA}:1080")),
        ];
        let services = fleet.services.iter().map(|service| {
            let address = format!("http://{}.{namespace}:{}", service.binary(), service.ports.grpc);
            (service.url_variable(), address)
        });
        variables.extend(services);
        Ok(variables)
    }
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only fails when it was done before, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime
        .context("the runtime cannot start")
        .and_then(|runtime| runtime.block_on(run(arguments.command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Promote { to, services, target } => {
            let cluster = Cluster::connect(target.kubeconfig.as_deref()).await?;
            let repository = Repository::at(Path::new("."), "")?;
            match promotion::promote(&cluster, &repository, lp_fleet::fleet(), &to, &services).await? {
                Some(commit) => println!("{commit}: push it, and Argo CD does the rest"),
                None => println!("nothing to promote"),
            }
            Ok(())
        }
        Task::Cluster { proof } => match proof {
            Kind::Deploy(proof) => deploy::run(&proof).await,
            Kind::Rollout(proof) => rollout::run(&proof).await,
            Kind::PushToProd(proof) => push::run(&proof).await,
            Kind::Network(proof) => network::run(&proof).await,
            Kind::All(proof) => {
                deploy::run(&proof).await?;
                rollout::run(&proof).await?;
                push::run(&proof).await?;
                network::run(&proof).await?;
                report::summarize(&proof)
            }
        },
    }
}
