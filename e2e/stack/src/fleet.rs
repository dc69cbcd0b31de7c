//! Our services as processes: the one table of them, the environment each gets, and their start on fixed ports.
//!
//! A new service is one line in [`FLEET`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::process::{Process, Spec};
use crate::progress::{self, Progress};
use crate::{Addresses, command, http, pidfile, ports};

/// The password of every role that `provision` makes on a local stack; it listens on loopback only.
pub const ROLE_PASSWORD: &str = "localplus-dev";

/// Above the services' own limit for a drain, which is 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(25);

const READY_LIMIT: Duration = Duration::from_mins(1);

/// One service: its name without `svc-`, which is its schema as well, and its default ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// `ledger` for `svc-ledger`.
    pub name: &'static str,
    /// Where it serves gRPC.
    pub grpc_port: u16,
    /// Where it serves REST, health and metrics.
    pub http_port: u16,
    /// Its schema in the fleet's database.
    pub schema: &'static str,
}

/// All services.
pub const FLEET: [Service; 3] = [
    Service {
        name: "ledger",
        grpc_port: 7101,
        http_port: 7201,
        schema: "ledger",
    },
    Service {
        name: "wallet",
        grpc_port: 7102,
        http_port: 7202,
        schema: "wallet",
    },
    Service {
        name: "notification",
        grpc_port: 7105,
        http_port: 7205,
        schema: "notification",
    },
];

impl Service {
    /// The name of its program and package.
    #[must_use]
    pub fn binary(&self) -> String {
        format!("svc-{}", self.name)
    }

    /// The base URL of its gRPC port.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        format!("http://{}", ports::loopback(self.grpc_port))
    }

    /// The base URL of its HTTP port.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", ports::loopback(self.http_port))
    }

    /// `SVC_LEDGER_URL` for the ledger.
    #[must_use]
    pub fn url_variable(&self) -> String {
        format!("SVC_{}_URL", self.name.to_uppercase())
    }

    /// `SVC_LEDGER_HTTP_URL` for the ledger.
    #[must_use]
    pub fn http_url_variable(&self) -> String {
        format!("SVC_{}_HTTP_URL", self.name.to_uppercase())
    }

    /// What `serve` gets.
    fn serve_env(&self, plan: &Plan, addresses: &Addresses) -> anyhow::Result<Vec<(String, String)>> {
        let admin = &addresses.postgres_admin_url;
        let mut env = vec![
            (
                "GRPC_ADDR".to_owned(),
                ports::loopback(self.grpc_port).to_string(),
            ),
            (
                "HTTP_ADDR".to_owned(),
                ports::loopback(self.http_port).to_string(),
            ),
            (
                "DATABASE_URL".to_owned(),
                role_url(admin, &format!("{}_app", self.schema), &plan.database)?,
            ),
            ("DATABASE_SCHEMA".to_owned(), self.schema.to_owned()),
            ("KAFKA_BROKERS".to_owned(), addresses.kafka_brokers.clone()),
            ("VALKEY_URL".to_owned(), addresses.valkey_url.clone()),
            ("SMTP_URL".to_owned(), addresses.smtp_url.clone()),
            (
                "MAIL_FROM".to_owned(),
                "Local-Plus <points@localplus.example>".to_owned(),
            ),
            ("LOG_FORMAT".to_owned(), "json".to_owned()),
            ("CALLER_AUTH".to_owned(), "trusted-headers".to_owned()),
        ];
        env.extend(
            plan.services
                .iter()
                .map(|service| (service.url_variable(), service.grpc_url())),
        );
        env.extend(plan.env.iter().cloned());
        Ok(env)
    }

    /// What `migrate` gets.
    fn migrate_env(&self, plan: &Plan, addresses: &Addresses) -> anyhow::Result<Vec<(String, String)>> {
        let mut env = self.serve_env(plan, addresses)?;
        let owner = format!("{}_owner", self.schema);
        env.push((
            "MIGRATION_DATABASE_URL".to_owned(),
            role_url(&addresses.postgres_admin_url, &owner, &plan.database)?,
        ));
        Ok(env)
    }

    /// What `provision` gets.
    fn provision_env(&self, plan: &Plan, addresses: &Addresses) -> anyhow::Result<Vec<(String, String)>> {
        let mut env = self.migrate_env(plan, addresses)?;
        // As it is: the fleet's database is what this step makes, so nobody can connect to it yet.
        env.push((
            "ADMIN_DATABASE_URL".to_owned(),
            addresses.postgres_admin_url.clone(),
        ));
        Ok(env)
    }
}

/// Which services run where, and what keeps them apart from other fleets on the same servers.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The services and their ports.
    pub services: Vec<Service>,
    /// The database that holds every service's schema.
    pub database: String,
    /// What every service gets beside its own, for example prefixes of topics and keys.
    pub env: Vec<(String, String)>,
}

impl Default for Plan {
    /// The fleet on its fixed ports.
    fn default() -> Self {
        Self {
            services: FLEET.to_vec(),
            database: "localplus".to_owned(),
            env: Vec::new(),
        }
    }
}

impl Plan {
    /// A fleet of its own: free ports, and `name` as its database and prefix. `folder` remembers the ports.
    ///
    /// # Errors
    /// When no port is free.
    pub fn apart(name: &str, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut ports = ports::Ports::load(&folder.join("ports.json"));
        let mut services = FLEET.to_vec();
        for service in &mut services {
            service.grpc_port = ports.pick(&format!("{}-grpc", service.name))?;
            service.http_port = ports.pick(&format!("{}-http", service.name))?;
        }
        let env = [
            ("KAFKA_PREFIX", format!("{name}.")),
            ("VALKEY_PREFIX", format!("{name}:")),
        ];
        let env = env.map(|(variable, value)| (variable.to_owned(), value)).to_vec();
        Ok(Self {
            services,
            database: name.to_owned(),
            env,
        })
    }

    /// What finds this fleet by: `SVC_LEDGER_URL`, `SVC_LEDGER_HTTP_URL` and so on.
    #[must_use]
    pub fn urls(&self) -> Vec<(String, String)> {
        let of = |service: &Service| {
            [
                (service.url_variable(), service.grpc_url()),
                (service.http_url_variable(), service.http_url()),
            ]
        };
        self.services.iter().flat_map(of).collect()
    }
}

/// The parts of a database URL that are replaced.
struct UrlParts<'a> {
    scheme: &'a str,
    host: &'a str,
    query: &'a str,
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> anyhow::Result<Self> {
        let parse = || {
            let (scheme, rest) = url.split_once("://")?;
            let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
            let (authority, _database) = rest.split_once('/').unwrap_or((rest, ""));
            let (_login, host) = authority.rsplit_once('@')?;
            Some(Self { scheme, host, query })
        };
        // The text is not quoted: it may hold a password.
        parse().ok_or_else(|| {
            anyhow!("the URL of PostgreSQL is none of the form postgres://user:password@host:port/database")
        })
    }

    fn with(&self, login: &str, database: &str) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!(
            "{}://{login}@{}/{database}{mark}{}",
            self.scheme, self.host, self.query
        )
    }
}

/// The URL of a role in `database` on the server of `admin_url`.
fn role_url(admin_url: &str, role: &str, database: &str) -> anyhow::Result<String> {
    Ok(UrlParts::of(admin_url)?.with(&format!("{role}:{ROLE_PASSWORD}"), database))
}

/// The running services. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    services: Vec<(Service, Process)>,
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
        for service in FLEET {
            let file = Self::folder(stack_folder).join(format!("{}.pid", service.binary()));
            pidfile::end_leftover(&file, STOP_LIMIT);
        }
        let busy: Vec<String> = FLEET
            .iter()
            .flat_map(|service| {
                [
                    (service, "gRPC", service.grpc_port),
                    (service, "HTTP", service.http_port),
                ]
            })
            .filter(|(_, _, port)| !ports::is_free(*port))
            .map(|(service, use_, port)| {
                let owner = ports::owner(port).unwrap_or_else(|| "another user's process".to_owned());
                format!(
                    "port {port}, where svc-{} serves {use_}, is taken by {owner}: end it and try again",
                    service.name
                )
            })
            .collect();
        if busy.is_empty() {
            Ok(())
        } else {
            bail!(busy.join("\n"))
        }
    }

    /// Provisions and migrates every service, then starts them all and waits until they are ready. `binaries`
    /// is the folder of their programs.
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

    /// Starts a service that was killed, and waits until it is ready.
    ///
    /// # Errors
    /// When the fleet has no such service, or it does not become ready.
    pub fn revive(&mut self, name: &str) -> anyhow::Result<()> {
        let service = self.find(name)?.0;
        let process = self.starter.start(&service)?;
        self.find(name)?.1 = process;
        Ok(())
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

    /// The first service that ended by itself, as an error with the end of its log.
    pub fn dead_service(&mut self) -> Option<anyhow::Error> {
        self.services.iter_mut().find_map(|(_, process)| {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            postgres_admin_url: "postgres://postgres:s3@127.0.0.1:5432/postgres?sslmode=disable".to_owned(),
            kafka_brokers: "127.0.0.1:9092".to_owned(),
            valkey_url: "redis://127.0.0.1:6379".to_owned(),
            smtp_url: "smtp://127.0.0.1:25".to_owned(),
            mail_api_url: "http://127.0.0.1:80".to_owned(),
        }
    }

    fn value<'a>(env: &'a [(String, String)], name: &str) -> &'a str {
        env.iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    #[test]
    fn each_command_gets_the_roles_it_needs_and_no_more() {
        let [ledger, ..] = FLEET;
        let serve = ledger.serve_env(&Plan::default(), &addresses()).unwrap();
        assert_eq!(
            value(&serve, "DATABASE_URL"),
            "postgres://ledger_app:localplus-dev@127.0.0.1:5432/localplus?sslmode=disable"
        );
        assert_eq!(value(&serve, "SVC_WALLET_URL"), "http://127.0.0.1:7102");
        assert_eq!(value(&serve, "MIGRATION_DATABASE_URL"), "");
        let provision = ledger.provision_env(&Plan::default(), &addresses()).unwrap();
        assert_eq!(
            value(&provision, "ADMIN_DATABASE_URL"),
            "postgres://postgres:s3@127.0.0.1:5432/postgres?sslmode=disable"
        );
        assert!(value(&provision, "MIGRATION_DATABASE_URL").contains("ledger_owner:"));
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_text() {
        let error = role_url("postgres:s3cret", "a", "b").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn no_two_services_share_a_port() {
        let mut ports: Vec<u16> = FLEET
            .iter()
            .flat_map(|service| [service.grpc_port, service.http_port])
            .collect();
        ports.sort_unstable();
        let all = ports.len();
        ports.dedup();
        assert_eq!(ports.len(), all);
    }
}
