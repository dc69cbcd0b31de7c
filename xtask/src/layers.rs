//! `cargo xtask check-layers`: dependencies run one way, held by a program and not by habit.
//!
//! Between packages the rules read `cargo metadata`; inside a service they read which modules a file names.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::modules;
use crate::workspace::{Workspace, name_of};

/// What a pure domain may build on.
const DOMAIN_ALLOWED: [&str; 4] = ["lp-types", "serde", "thiserror", "jiff"];

/// A library that only one chassis crate may use, so that changing it is one crate's work. A name that ends in `*`
/// stands for all that begin so.
const WRAPPED: [(&str, &[&str]); 3] = [
    ("rdkafka*", &["lp-kafka"]),
    ("fred", &["lp-cache"]),
    ("opentelemetry*", &["lp-telemetry"]),
];

/// Exceptions to [`WRAPPED`]: package, library.
const ALSO: [(&str, &str); 2] = [
    ("lp-test", "opentelemetry-proto"),
    ("chaos", "opentelemetry-proto"),
];

/// For each layer of a service, the layers it may not name.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("domain", &["api", "application", "infrastructure"]),
    ("application", &["api"]),
    ("infrastructure", &["api", "application"]),
];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for a normal one.
    kind: Option<String>,
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let output = workspace
        .cargo(&["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("`cargo metadata` could not be started")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` wrote no JSON")?;
    let mut faults: Vec<String> = metadata.packages.iter().flat_map(package_faults).collect();
    for service in workspace.services() {
        let source = service.join("src");
        for file in workspace.files()? {
            let file = workspace.root.join(file);
            if let Ok(inside) = file.strip_prefix(&source)
                && inside.extension().is_some_and(|extension| extension == "rs")
            {
                let text = std::fs::read_to_string(&file)?;
                let shown = format!("services/{}/src/{}", name_of(&service), inside.display());
                faults.extend(
                    source_faults(inside, &text)
                        .into_iter()
                        .map(|(line, fault)| format!("{shown}:{line} {fault}")),
                );
            }
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

fn is_service(name: &str) -> bool {
    name.starts_with("svc-")
}

fn is_domain(name: &str) -> bool {
    name.ends_with("-domain")
}

/// The service that a domain package is the domain of.
fn service_of_domain(name: &str) -> String {
    format!("svc-{}", name.trim_end_matches("-domain"))
}

/// The rules between packages.
fn package_faults(package: &Package) -> Vec<String> {
    let from = package.name.as_str();
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        let mut fault = |reason: &str| faults.push(format!("{from} depends on {to}: {reason}"));
        let for_tests = dependency.kind.as_deref() == Some("dev");
        if is_domain(from) && !for_tests && !DOMAIN_ALLOWED.contains(&to) {
            fault(&format!(
                "a domain is pure and may use {} only",
                DOMAIN_ALLOWED.join(", ")
            ));
        }
        // A domain that stays inside the rule above cannot break this one, nor a service its own domain. In its tests
        // a service may run the real one that it calls, through its contract.
        let another = is_service(to) && !for_tests || is_domain(to) && service_of_domain(to) != from;
        if is_service(from) && another {
            fault("services know each other by their contracts (lp-contracts, lp-client) only");
        }
        if from.starts_with("lp-") && (is_service(to) || is_domain(to)) {
            fault("the chassis knows no service");
        }
        for (library, owners) in WRAPPED {
            let hit = library
                .strip_suffix('*')
                .map_or(to == library, |start| to.starts_with(start));
            if hit && !owners.contains(&from) && !ALSO.contains(&(from, to)) {
                fault(&format!("only {} may use it", owners.join(", ")));
            }
        }
    }
    faults
}

/// The rules inside a service; `file` is relative to its `src`.
fn source_faults(file: &Path, text: &str) -> Vec<(usize, String)> {
    let first = file
        .iter()
        .next()
        .map(|part| part.to_string_lossy().into_owned())
        .unwrap_or_default();
    let layer = first.strip_suffix(".rs").unwrap_or(&first);
    let Some((_, forbidden)) = FORBIDDEN.iter().find(|(known, _)| *known == layer) else {
        return Vec::new();
    };
    modules::used(text)
        .into_iter()
        .filter(|(_, name)| forbidden.contains(&name.as_str()))
        .map(|(line, name)| {
            (line, format!("uses crate::{name}: `{layer}` may not; dependencies run api → application → {{domain, infrastructure}}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = Dependency {
            name: to.to_owned(),
            kind: kind.map(str::to_owned),
        };
        package_faults(&Package {
            name: from.to_owned(),
            dependencies: vec![dependency],
        })
    }

    #[test]
    fn a_domain_is_pure() {
        assert!(faults("ledger-domain", "lp-types", None).is_empty());
        assert!(faults("ledger-domain", "proptest", Some("dev")).is_empty());
        for bad in ["tokio", "sqlx", "tonic", "lp-pg", "svc-ledger"] {
            assert_eq!(faults("ledger-domain", bad, None).len(), 1, "{bad}");
        }
        assert_eq!(faults("ledger-domain", "prost-build", Some("build")).len(), 1);
    }

    #[test]
    fn services_know_each_other_by_contract_only() {
        assert!(faults("svc-wallet", "lp-contracts", None).is_empty());
        assert!(faults("svc-ledger", "ledger-domain", None).is_empty());
        for kind in [None, Some("dev"), Some("build")] {
            let real_one_in_tests = kind == Some("dev");
            assert_eq!(
                faults("svc-wallet", "svc-ledger", kind).is_empty(),
                real_one_in_tests
            );
            assert_eq!(faults("svc-wallet", "ledger-domain", kind).len(), 1);
        }
        assert!(faults("e2e", "svc-ledger", Some("dev")).is_empty());
    }

    #[test]
    fn the_chassis_knows_no_service() {
        assert!(faults("lp-chassis", "lp-config", None).is_empty());
        assert_eq!(faults("lp-chassis", "svc-ledger", None).len(), 1);
        assert_eq!(faults("lp-test", "ledger-domain", None).len(), 1);
    }

    #[test]
    fn a_library_stays_in_its_wrapper() {
        assert!(faults("lp-kafka", "rdkafka", None).is_empty());
        assert!(faults("lp-telemetry", "opentelemetry_sdk", None).is_empty());
        assert!(faults("lp-test", "opentelemetry-proto", None).is_empty());
        for (from, to) in [
            ("svc-wallet", "rdkafka"),
            ("lp-test", "rdkafka"),
            ("svc-wallet", "fred"),
            ("lp-chassis", "opentelemetry"),
            ("lp-test", "opentelemetry_sdk"),
            ("svc-ledger", "opentelemetry-proto"),
        ] {
            assert_eq!(faults(from, to, None).len(), 1, "{from} → {to}");
        }
    }

    #[test]
    fn layers_look_one_way() {
        let refused = |file: &str, text: &str| source_faults(Path::new(file), text).len();
        assert_eq!(refused("application/earn.rs", "use crate::api::convert;"), 1);
        assert_eq!(refused("application.rs", "use crate::api;"), 1);
        assert_eq!(
            refused(
                "application/earn.rs",
                "use crate::{domain, infrastructure::postgres};"
            ),
            0
        );
        assert_eq!(
            refused(
                "infrastructure/postgres/accounts.rs",
                "use crate::{api, application::earn};"
            ),
            2
        );
        assert_eq!(
            refused("infrastructure/events.rs", "use crate::config::Config;"),
            0
        );
        assert_eq!(refused("domain/mod.rs", "use crate::infrastructure::x;"), 1);
        assert_eq!(
            refused("api/grpc.rs", "use crate::{application, domain, infrastructure};"),
            0
        );
        assert_eq!(
            refused("lib.rs", "use crate::{api, application, infrastructure};"),
            0
        );
        assert_eq!(refused("application/earn.rs", "// crate::api is above us\n"), 0);
    }
}
