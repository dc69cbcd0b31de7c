//! Our services, and the environment each gets.

use std::sync::LazyLock;

use anyhow::anyhow;

use super::{Plan, ROLE_PASSWORD, issuer};
use crate::{Addresses, ports};

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
    /// What it may do at other services, for the merchants it acts for: the scopes of what it calls.
    pub scopes: &'static [&'static str],
    /// Its settings that are the same on every machine, and what stands for its secrets here.
    pub settings: &'static [(&'static str, &'static str)],
}

/// All services, as `k8s/fleet.yaml` describes them for every place where they run.
pub static FLEET: LazyLock<Vec<Service>> = LazyLock::new(|| {
    lp_fleet::fleet()
        .services
        .iter()
        .map(Service::described)
        .collect()
});

impl Service {
    /// Kept for the rest of the process, as the description itself is.
    fn described(service: &'static lp_fleet::Service) -> Self {
        let scopes = lp_fleet::contract::scopes(service).into_iter();
        let config = lp_fleet::fleet().config.iter().chain(&service.config);
        let config = config.map(|(name, value)| (name.as_str(), value.as_str()));
        let secrets = service.secrets.iter();
        let secrets = secrets.map(|secret| (secret.variable.as_str(), secret.laptop.as_str()));
        Self {
            name: &service.name,
            grpc_port: service.ports.grpc,
            http_port: service.ports.http,
            schema: service.schema(),
            scopes: scopes.map(|scope| &*scope.leak()).collect::<Vec<_>>().leak(),
            settings: config.chain(secrets).collect::<Vec<_>>().leak(),
        }
    }

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
    pub(super) fn serve_env(
        &self,
        plan: &Plan,
        addresses: &Addresses,
    ) -> anyhow::Result<Vec<(String, String)>> {
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
        ];
        let own = self.settings.iter();
        env.extend(own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env.extend(issuer::service_env(self, plan));
        env.extend(
            plan.services
                .iter()
                .map(|service| (service.url_variable(), service.grpc_url())),
        );
        env.extend(plan.env.iter().cloned());
        Ok(env)
    }

    /// What `migrate` gets.
    pub(super) fn migrate_env(
        &self,
        plan: &Plan,
        addresses: &Addresses,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let mut env = self.serve_env(plan, addresses)?;
        let owner = format!("{}_owner", self.schema);
        env.push((
            "MIGRATION_DATABASE_URL".to_owned(),
            role_url(&addresses.postgres_admin_url, &owner, &plan.database)?,
        ));
        Ok(env)
    }

    /// What `provision` gets.
    pub(super) fn provision_env(
        &self,
        plan: &Plan,
        addresses: &Addresses,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let mut env = self.migrate_env(plan, addresses)?;
        // As it is: the fleet's database is what this step makes, so nobody can connect to it yet.
        env.push((
            "ADMIN_DATABASE_URL".to_owned(),
            addresses.postgres_admin_url.clone(),
        ));
        Ok(env)
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
        let ledger = FLEET.first().unwrap();
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
    fn a_service_gets_its_settings_and_what_stands_for_its_secrets() {
        let env = |name| {
            let service = FLEET.iter().find(|service| service.name == name).unwrap();
            service.serve_env(&Plan::default(), &addresses()).unwrap()
        };
        assert_eq!(value(&env("ledger"), "LOG_FORMAT"), "json");
        assert!(value(&env("notification"), "MAIL_FROM").contains("@localplus.example"));
        assert!(!value(&env("giftcard"), "CARD_CODE_KEY").is_empty());
        assert_eq!(value(&env("ledger"), "CARD_CODE_KEY"), "");
    }
}
