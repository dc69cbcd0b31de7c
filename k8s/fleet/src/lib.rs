//! The fleet as `k8s/fleet.yaml` describes it, and everything that is made from that description.
//!
//! Owns: the description and what it must satisfy ([`Fleet`]), the scopes that follow from the declared calls
//! ([`contract`]), the settings that each service gets in an environment ([`settings`]), the manifests
//! ([`generate`]), and what is demanded of manifests once kustomize has rendered them ([`rules`], [`conformance`]).
//! Start reading at `../../fleet.yaml`, then `description.rs`.
//!
//! Invariants and the tests that hold them:
//! - the description in this repository is sound: `tests::the_fleet_is_sound`;
//! - an error names the service and the field: `tests/it/validation.rs`;
//! - what the description says about calls and topics is what the code does: `tests/it/code.rs`;
//! - each rule sees what it is there for: `tests/it/rules.rs`.

use std::sync::LazyLock;

pub mod conformance;
pub mod contract;
mod description;
pub mod generate;
pub mod rendered;
pub mod rules;
pub mod settings;
mod validate;

pub use description::{
    At, Calls, Cluster, Config, Database, DescriptionError, Dns, Endpoints, Environment, Fleet, Gateway,
    Issuer, Job, Kafka, Monitoring, Place, Ports, Resources, Scaling, Secret, Service, Shutdown, SloClass,
    Store,
};

/// The description itself.
const YAML: &str = include_str!("../../fleet.yaml");

static FLEET: LazyLock<Result<Fleet, DescriptionError>> = LazyLock::new(|| Fleet::parse(YAML));

/// The fleet of this repository, parsed and checked once.
///
/// # Panics
/// Never in a build that passed its tests: the description is part of the build.
#[expect(
    clippy::panic,
    reason = "the description is part of the build; a test parses and checks it"
)]
pub fn fleet() -> &'static Fleet {
    match &*FLEET {
        Ok(fleet) => fleet,
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_is_sound() {
        let fleet = Fleet::parse(YAML).map_err(|error| error.to_string());
        assert_eq!(fleet.err(), None);
    }
}
