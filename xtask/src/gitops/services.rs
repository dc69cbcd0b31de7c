//! Rules over the services' folders as Argo CD finds them, and over the promotion files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{SERVICES, Tree, platform, projects};

/// Where a commit goes first, without a promotion.
const FIRST: &str = "dev";
const BRANCH: &str = "main";

pub(super) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for ((service, environment), objects) in &tree.services {
        let found = projects::allowed("product", objects, &format!("localplus-{environment}"), tree);
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("{service} in {environment}: {fault}")),
        );
        if environment == FIRST && !tree.promotions.contains_key(&file(service, environment)) {
            faults.push(format!(
                "{} is missing: no ApplicationSet finds the service",
                file(service, environment)
            ));
        }
    }
    for (path, promotion) in &tree.promotions {
        faults.extend(promoted(path, promotion, tree));
    }
    faults.extend(platform::outside(&tree.kustomizations, SERVICES));
    faults
}

fn file(service: &str, environment: &str) -> String {
    format!("{SERVICES}/{service}/promotion/{environment}.yaml")
}

/// One promotion file: three keys, true to its path, with a revision that Git has one meaning for.
fn promoted(path: &str, promotion: &Value, tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{path}: {what}"));
    let fields: BTreeMap<&str, &str> = promotion
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    let keys = promotion.as_object().map_or(0, serde_json::Map::len);
    if keys != 3 || fields.len() != 3 {
        fault("must have the keys service, environment, revision, each a text, and no other".to_owned());
    }
    let value = |key: &str| fields.get(key).copied().unwrap_or_default();
    let (service, environment, revision) = (value("service"), value("environment"), value("revision"));
    if file(service, environment) != path {
        fault(format!(
            "says {service} in {environment}, which is not what its path says"
        ));
    }
    if !tree
        .services
        .contains_key(&(service.to_owned(), environment.to_owned()))
    {
        fault(format!(
            "{SERVICES}/{service}/overlays/{environment} does not exist"
        ));
    }
    let commit = revision.len() == 40
        && revision
            .chars()
            .all(|letter| matches!(letter, '0'..='9' | 'a'..='f'));
    if environment == FIRST && revision != BRANCH {
        fault(format!("{FIRST} follows {BRANCH}, not `{revision}`"));
    }
    if environment != FIRST && !commit {
        fault(format!(
            "`{revision}` is not a commit in full: 40 digits of 0-9 and a-f"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sound::expect;
    use super::*;
    use serde_json::json;

    /// Breaks a promotion file at a key.
    fn promotion(said: &str, environment: &str, key: &str, value: Value) {
        expect(said, |tree| {
            tree.promotions.get_mut(&file("svc-a", environment)).unwrap()[key] = value;
        });
    }

    #[test]
    fn a_promotion_file_is_what_its_path_says() {
        promotion("not what its path says", "prod", "service", json!("svc-b"));
        promotion("not what its path says", "prod", "environment", json!("dev"));
        promotion("and no other", "prod", "image", json!("x"));
        promotion("and no other", "prod", "revision", json!(1234));
        expect("svc-c/overlays/prod does not exist", |tree| {
            let file = file("svc-c", "prod");
            tree.promotions.insert(
                file,
                json!({"service": "svc-c", "environment": "prod", "revision": "0".repeat(40)}),
            );
        });
        expect("no ApplicationSet finds the service", |tree| {
            tree.promotions.remove(&file("svc-a", "dev"));
        });
    }

    #[test]
    fn production_runs_a_commit_and_dev_the_branch() {
        promotion("dev follows main", "dev", "revision", json!("0".repeat(40)));
        for revision in ["main", "0123456", "HEAD", ""] {
            promotion("is not a commit in full", "prod", "revision", json!(revision));
        }
        promotion(
            "is not a commit in full",
            "prod",
            "revision",
            json!("G".repeat(40)),
        );
    }
}
