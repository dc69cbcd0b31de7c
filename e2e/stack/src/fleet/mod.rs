//! Our services as processes: the environment each gets, the issuer of their tokens, and their start on fixed ports.
//!
//! Which there are stands in `k8s/fleet.yaml`: see [`FLEET`].

mod issuer;
mod plan;
mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::process::{Process, Spec};
use crate::progress::{self, Progress};
use crate::{Addresses, command, http, pidfile, ports};

pub use issuer::{MERCHANT_SCOPES, PLATFORM_SCOPES, issuer_clients};
pub use plan::Plan;
pub use service::{FLEET, Service};

/// The password of every role that `provision` makes on a local stack; it listens on loopback only.
pub const ROLE_PASSWORD: &str = "localplus-dev";

/// The secret of every client of the issuer; it listens on loopback only, too.
pub const CLIENT_SECRET: &str = "localplus-dev";

/// Above the services' own limit for a drain, which is 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(25);

const READY_LIMIT: Duration = Duration::from_mins(1);

/// The running services, and the issuer of their tokens. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    services: Vec<(Service, Process)>,
    issuer: Process,
    starter: Starter,
}

/// What it takes to start a service, again if need be.
#[derive(Debug)]
struct Starter {
    plan: Plan,
    binaries: PathBuf,
    folder: PathBuf,
    addresses: Addresses,
}

impl Fleet {
    /// The folder of the services' logs and pid files in a stack's folder.
    #[must_use]
    pub fn folder(stack_folder: &Path) -> PathBuf {
        stack_folder.join("services")
    }

    /// Ends services that a killed run left, then checks that every port of the fleet is free.
    ///
    /// # Errors
    /// When a port is busy: names the port, the service it belongs to, and who has it.
    pub fn require_ports(stack_folder: &Path) -> anyhow::Result<()> {
        let mut used = vec![(issuer::BINARY.to_owned(), "HTTP", issuer::PORT)];
        for service in FLEET.iter() {
            used.push((service.binary(), "gRPC", service.grpc_port));
            used.push((service.binary(), "HTTP", service.http_port));
        }
        for (binary, _, _) in &used {
            let file = Self::folder(stack_folder).join(format!("{binary}.pid"));
            pidfile::end_leftover(&file, STOP_LIMIT);
        }
        let busy: Vec<String> = used
            .into_iter()
            .filter(|(_, _, port)| !ports::is_free(*port))
            .map(|(binary, use_, port)| {
                let owner = ports::owner(port).unwrap_or_else(|| "another user's process".to_owned());
                format!(
                    "port {port}, where {binary} serves {use_}, is taken by {owner}: end it and try again"
                )
            })
            .collect();
        if busy.is_empty() {
            Ok(())
        } else {
            bail!(busy.join("\n"))
        }
    }

    /// Provisions and migrates every service, then starts the issuer and all of them, and waits until they are
    /// ready. `binaries` is the folder of their programs.
    ///
    /// # Errors
    /// When a step fails or a service does not become ready: quotes its log. What was started is ended.
    pub fn start(
        plan: &Plan,
        binaries: &Path,
        stack_folder: &Path,
        addresses: &Addresses,
        progress: &dyn Progress,
    ) -> anyhow::Result<Self> {
        let folder = Self::folder(stack_folder);
        std::fs::create_dir_all(&folder)?;
        progress::step(progress, "Migrations", || {
            // One after the other: the first one makes the database, and nothing serves before all topics exist.
            for service in &plan.services {
                for (verb, env) in [
                    ("provision", service.provision_env(plan, addresses)?),
                    ("migrate", service.migrate_env(plan, addresses)?),
                ] {
                    progress.detail("Migrations", &format!("{} {verb}", service.binary()));
                    let mut step = Command::new(binaries.join(service.binary()));
                    step.arg(verb).envs(env);
                    let log = folder.join(format!("{}-{verb}.log", service.binary()));
                    command::run(&mut step, &log, Duration::from_mins(2))?;
                }
            }
            Ok(())
        })?;
        let issuer = issuer::start(plan, binaries, &folder)?;
        let starter = Starter {
            plan: plan.clone(),
            binaries: binaries.to_owned(),
            folder,
            addresses: addresses.clone(),
        };
        let started: Vec<anyhow::Result<_>> = std::thread::scope(|scope| {
            let start = |service: &Service| {
                progress::step(progress, &service.binary(), || starter.start(service))
                    .map(|process| (*service, process))
            };
            let threads: Vec<_> = plan
                .services
                .iter()
                .map(|service| scope.spawn(move || start(service)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("a starting thread panicked")))
                })
                .collect()
        });
        Ok(Self {
            services: started.into_iter().collect::<anyhow::Result<_>>()?,
            issuer,
            starter,
        })
    }

    /// Kills a service as a crash would.
    ///
    /// # Errors
    /// When the fleet has no such service.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.find(name)?.1.kill();
        Ok(())
    }

    /// Asks a service to end, as an orchestrator does, and waits until it has: how it ended.
    ///
    /// # Errors
    /// When the fleet has no such service, or it does not end within its limit.
    pub fn terminate(&mut self, name: &str) -> anyhow::Result<ExitStatus> {
        self.find(name)?.1.terminate()
    }

    /// Starts a service that was killed, or has ended, and waits until it is ready.
    ///
    /// # Errors
    /// When the fleet has no such service, or it does not become ready.
    pub fn revive(&mut self, name: &str) -> anyhow::Result<()> {
        let service = self.find(name)?.0;
        let process = self.starter.start(&service)?;
        self.find(name)?.1 = process;
        Ok(())
    }

    /// Sets a variable of every service that is started from now on.
    pub fn set_env(&mut self, name: &str, value: String) {
        let env = &mut self.starter.plan.env;
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value));
    }

    /// Stops a service where it stands.
    ///
    /// # Errors
    /// When the fleet has no such service.
    pub fn pause(&mut self, name: &str) -> anyhow::Result<()> {
        self.find(name)?.1.pause();
        Ok(())
    }

    /// Lets a service that was paused go on.
    ///
    /// # Errors
    /// When the fleet has no such service.
    pub fn resume(&mut self, name: &str) -> anyhow::Result<()> {
        self.find(name)?.1.resume();
        Ok(())
    }

    fn find(&mut self, name: &str) -> anyhow::Result<&mut (Service, Process)> {
        let found = self.services.iter_mut().find(|(service, _)| service.name == name);
        found.ok_or_else(|| anyhow!("the fleet has no service {name}"))
    }

    /// The first service, or the issuer, that ended by itself, as an error with the end of its log.
    pub fn dead_service(&mut self) -> Option<anyhow::Error> {
        let services = self.services.iter_mut().map(|(_, process)| process);
        services.chain([&mut self.issuer]).find_map(|process| {
            let status = process.exited()?;
            Some(process.died(status))
        })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for (_, process) in &mut self.services {
                scope.spawn(|| process.stop());
            }
        });
    }
}

impl Starter {
    fn start(&self, service: &Service) -> anyhow::Result<Process> {
        let name = service.binary();
        let mut spec = Spec::new(&name, self.binaries.join(&name), &self.folder)
            .args(["serve"])
            .env(service.serve_env(&self.plan, &self.addresses)?);
        spec.stop_limit = STOP_LIMIT;
        let mut process = Process::spawn(spec)?;
        let address = ports::loopback(service.http_port);
        process.wait_ready(READY_LIMIT, || {
            http::get_status(address, "/healthz/ready") == Some(200)
        })?;
        Ok(process)
    }
}
