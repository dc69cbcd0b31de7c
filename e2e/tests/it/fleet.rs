//! A fleet of this test alone.

use std::path::{Path, PathBuf};

use e2e::Till;
use lp_stack::{
    Addresses,
    fleet::{Fleet, Plan},
    progress::Silent,
};
use lp_test::servers;
use tempfile::TempDir;

/// The services as processes, in a database and under prefixes of their own.
pub(crate) struct Own {
    pub(crate) fleet: Fleet,
    pub(crate) plan: Plan,
    // Holds logs and pid files; dropped after the fleet.
    folder: TempDir,
}

/// Starts the programs that `cargo xtask test` built, with `env` beside their own.
pub(crate) fn start(env: &[(&str, String)]) -> Own {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::apart(&servers::unique("e2e"), folder.path()).unwrap();
    plan.env.extend(
        env.iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    let addresses = Addresses {
        postgres_admin_url: servers::postgres_admin().expose().to_owned(),
        kafka_brokers: servers::kafka().kafka_brokers,
        valkey_url: servers::valkey().valkey_url.expose().to_owned(),
        smtp_url: servers::smtp_url().expose().to_owned(),
        mail_api_url: servers::mail_api_url(),
    };
    let fleet = Fleet::start(&plan, &binaries(), folder.path(), &addresses, &Silent).unwrap();
    Own { fleet, plan, folder }
}

/// The folder above the tests' own: `target/debug`.
pub(crate) fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

impl Own {
    pub(crate) fn till(&self) -> Till {
        Till::of_new_merchant(|name| Ok(self.setting(name))).unwrap()
    }

    /// The folder of its stack.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What callers from outside are told under `name`.
    pub(crate) fn setting(&self, name: &str) -> String {
        let env = self.plan.outside_env();
        env.into_iter().find(|(known, _)| known == name).unwrap().1
    }
}
