//! What the description says of the services is what their code does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lp_fleet::{Service, contract, fleet};

fn source(service: &Service) -> PathBuf {
    crate::manifests()
        .parent()
        .unwrap()
        .join("services")
        .join(service.binary())
        .join("src")
}

/// The texts of all Rust files below a folder.
fn texts(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts.extend(self::texts(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// `create_account` of `CreateAccount`, as the generated client names it.
fn method(rpc: &str) -> String {
    let mut name = String::new();
    for letter in rpc.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// Callee → rpcs, by the methods of generated clients that the service's code calls.
///
/// A file that names `localplus.x`'s generated client is a client of svc-x: what it calls by a method's name of that
/// contract, `.create_account(`, is that rpc.
fn calls_of(service: &Service) -> BTreeMap<String, BTreeSet<String>> {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in texts(&source(service)) {
        let flat: String = text.split_whitespace().collect();
        for callee in &fleet().services {
            for grpc in contract::grpc_services(&callee.name) {
                let client = format!("{}_client", method(grpc.name()));
                if !flat.contains(&client) {
                    continue;
                }
                let rpcs = calls.entry(callee.name.clone()).or_default();
                for rpc in grpc.methods().map(|rpc| rpc.name().to_owned()) {
                    if flat.contains(&format!(".clone().{}(", method(&rpc))) {
                        rpcs.insert(rpc);
                    }
                }
            }
        }
    }
    calls
}

#[test]
fn the_declared_calls_are_the_codes() {
    let mut all = 0;
    for service in &fleet().services {
        let declared: BTreeMap<_, BTreeSet<_>> = service
            .calls
            .iter()
            .map(|(callee, rpcs)| (callee.clone(), rpcs.iter().cloned().collect()))
            .collect();
        let called = calls_of(service);
        assert_eq!(declared, called, "svc-{}", service.name);
        all += called.values().map(BTreeSet::len).sum::<usize>();
    }
    assert!(all >= 13, "{all} calls: the reader of the code sees too few");
}

#[test]
fn the_declared_topics_are_the_codes() {
    let topics = lp_contracts::topics::all().unwrap();
    for service in &fleet().services {
        let code = texts(&source(service)).concat();
        let named: BTreeSet<_> = topics
            .iter()
            .filter(|topic| topic.owner != service.binary())
            // The constant of lp_contracts::topics: ledger.transactions.v1 is LEDGER_TRANSACTIONS.
            .filter(|topic| {
                let constant = topic.name.trim_end_matches(".v1").replace(['.', '-'], "_");
                code.contains(&constant.to_uppercase())
            })
            .map(|topic| topic.name.clone())
            .collect();
        let declared: BTreeSet<_> = service.consumes.iter().cloned().collect();
        assert_eq!(declared, named, "svc-{}", service.name);
    }
}
