//! What is demanded of the rendered objects of an environment, beyond what schemas can say. Each rule has a name, by
//! which it fails; `tests/it/rules.rs` breaks what each one guards.

mod fields;
mod network;
mod objects;
mod pods;
mod references;

use crate::rendered::Set;

/// A rule: what it finds is a line each, which names the object.
pub struct Rule {
    /// By which it fails.
    pub name: &'static str,
    check: fn(&Set<'_>) -> Vec<String>,
}

/// All of them.
pub const RULES: [Rule; 21] = [
    Rule {
        name: "fields",
        check: fields::fields,
    },
    Rule {
        name: "namespace",
        check: objects::namespace,
    },
    Rule {
        name: "complete",
        check: objects::complete,
    },
    Rule {
        name: "waves",
        check: objects::waves,
    },
    Rule {
        name: "migration",
        check: objects::migration,
    },
    Rule {
        name: "cron-jobs",
        check: objects::cron_jobs,
    },
    Rule {
        name: "rollout",
        check: objects::rollout,
    },
    Rule {
        name: "scaling",
        check: objects::scaling,
    },
    Rule {
        name: "disruption-budget",
        check: objects::disruption_budget,
    },
    Rule {
        name: "selectors",
        check: objects::selectors,
    },
    Rule {
        name: "headless",
        check: objects::headless,
    },
    Rule {
        name: "service-ports",
        check: objects::service_ports,
    },
    Rule {
        name: "routes",
        check: objects::routes,
    },
    Rule {
        name: "security",
        check: pods::security,
    },
    Rule {
        name: "image-by-digest",
        check: pods::image_by_digest,
    },
    Rule {
        name: "resources",
        check: pods::resources,
    },
    Rule {
        name: "probes",
        check: pods::probes,
    },
    Rule {
        name: "graceful-stop",
        check: pods::graceful_stop,
    },
    Rule {
        name: "spread",
        check: pods::spread,
    },
    Rule {
        name: "references",
        check: references::references,
    },
    Rule {
        name: "network",
        check: network::network,
    },
];

/// What is wrong with a set: rule and finding.
pub fn faults(set: &Set<'_>) -> Vec<(&'static str, String)> {
    RULES
        .iter()
        .flat_map(|rule| (rule.check)(set).into_iter().map(|fault| (rule.name, fault)))
        .collect()
}
