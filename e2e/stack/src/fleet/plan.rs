//! What a fleet is made of.

use std::path::Path;

use super::{CLIENT_SECRET, FLEET, Service, issuer};
use crate::ports;

/// Which services run where, and what keeps them apart from other fleets on the same servers.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The services and their ports.
    pub services: Vec<Service>,
    /// Where the issuer of tokens listens.
    pub issuer_port: u16,
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
            issuer_port: issuer::PORT,
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
        let issuer_port = ports.pick("issuer")?;
        let env = [
            ("KAFKA_PREFIX", format!("{name}.")),
            ("VALKEY_PREFIX", format!("{name}:")),
        ];
        let env = env.map(|(variable, value)| (variable.to_owned(), value)).to_vec();
        Ok(Self {
            services,
            issuer_port,
            database: name.to_owned(),
            env,
        })
    }

    /// The base URL of the issuer.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        format!("http://{}", ports::loopback(self.issuer_port))
    }

    /// What callers from outside need: where the services are (`SVC_LEDGER_URL`, `SVC_LEDGER_HTTP_URL` and so
    /// on), and where and how they get tokens (`AUTH_TOKEN_URL`, `CLIENT_SECRET`).
    #[must_use]
    pub fn outside_env(&self) -> Vec<(String, String)> {
        let of = |service: &Service| {
            [
                (service.url_variable(), service.grpc_url()),
                (service.http_url_variable(), service.http_url()),
            ]
        };
        let mut env: Vec<_> = self.services.iter().flat_map(of).collect();
        env.push(("AUTH_TOKEN_URL".to_owned(), issuer::token_url(self)));
        env.push(("CLIENT_SECRET".to_owned(), CLIENT_SECRET.to_owned()));
        env
    }
}
