//! Each rule fails, by its name, when what it guards is broken in a set that passes otherwise.

use std::collections::{BTreeMap, BTreeSet};

use lp_fleet::rendered::Set;
use lp_fleet::{fleet, rules};
use serde::Deserialize;
use serde_json::Value;

use crate::{manifests, rendered};

/// Puts `value` at a pointer of an object; null takes away what is there.
fn put(set: &mut Set<'_>, kind: &str, name: &str, pointer: &str, value: Value) {
    let mut objects = set.objects.iter_mut();
    let object = objects
        .find(|object| object.kind() == kind && object.name().starts_with(name))
        .unwrap_or_else(|| panic!("{kind} {name}"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    let parent = object
        .0
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{pointer}"));
    match (parent, value) {
        (Value::Object(map), Value::Null) => assert!(map.remove(&key).is_some(), "{pointer}"),
        (Value::Object(map), value) => drop(map.insert(key, value)),
        (Value::Array(items), Value::Null) => drop(items.remove(key.parse().unwrap())),
        (Value::Array(items), value) => items[key.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{pointer}: {other}"),
    }
}

/// One way to break a set; see `breakages.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Breakage {
    object: String,
    at: String,
    becomes: Value,
}

#[test]
fn the_committed_manifests_pass_in_every_environment() {
    for environment in &fleet().environments {
        let set = rendered(fleet(), &environment.name, &manifests());
        assert!(set.objects.len() > 80, "{}", set.objects.len());
        assert_eq!(rules::faults(&set), [], "{}", environment.name);
    }
}

#[test]
fn each_rule_sees_what_it_is_there_for() {
    // In production, where the least number of pods is not the one that a forgotten patch would leave.
    let whole = rendered(fleet(), "prod", &manifests());
    let mut seen = BTreeSet::new();
    let breakages: BTreeMap<String, Vec<Breakage>> =
        serde_yaml_ng::from_str(include_str!("breakages.yaml")).unwrap();
    for (rule, breakages) in &breakages {
        for breakage in breakages {
            let (kind, name) = breakage.object.split_once(' ').unwrap();
            let mut broken = whole.clone();
            put(&mut broken, kind, name, &breakage.at, breakage.becomes.clone());
            let faults = rules::faults(&broken);
            assert!(
                faults.iter().any(|(found, _)| found == rule),
                "{breakage:?} is not seen by {rule}: {faults:?}"
            );
            seen.insert(rule.as_str());
        }
    }
    // Jobs are tried in jobs.rs: no service of the fleet has one.
    seen.insert("cron-jobs");
    let all: BTreeSet<_> = rules::RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(seen, all);
}
