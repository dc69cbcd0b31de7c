//! What is written, and what `--check` sees.

use lp_fleet::{Fleet, fleet, generate};

use crate::{changed, manifests, written};

#[test]
fn what_is_committed_is_what_is_generated() {
    let files = generate::files(fleet(), &manifests().join("templates")).unwrap();
    assert_eq!(
        generate::differences(&files, &manifests()).unwrap(),
        [""; 0],
        "run `cargo xtask k8s generate`"
    );
}

#[test]
fn a_change_a_gap_and_a_leftover_are_seen_and_mended() {
    let folder = written(fleet());
    let files = generate::files(fleet(), &manifests().join("templates")).unwrap();
    let base = folder.path().join("services/svc-ledger/base");
    std::fs::write(base.join("deployment.yaml"), "kind: Deployment\n").unwrap();
    std::fs::remove_file(base.join("services.yaml")).unwrap();
    std::fs::write(base.join("extra.yaml"), "").unwrap();
    let retired = folder.path().join("services/svc-retired/base");
    std::fs::create_dir_all(&retired).unwrap();
    std::fs::write(retired.join("deployment.yaml"), "").unwrap();
    let differences = generate::differences(&files, folder.path()).unwrap().join("\n");
    for expected in [
        "svc-ledger/base/deployment.yaml is not what is generated",
        "svc-ledger/base/services.yaml is missing",
        "svc-ledger/base/extra.yaml belongs to nothing",
        "svc-retired/base/deployment.yaml belongs to nothing",
    ] {
        assert!(differences.contains(expected), "{expected}: {differences}");
    }
    generate::write(&files, folder.path()).unwrap();
    assert_eq!(generate::differences(&files, folder.path()).unwrap(), [""; 0]);
}

#[test]
fn releases_and_promotions_are_left_alone() {
    let folder = written(fleet());
    let files = generate::files(fleet(), &manifests().join("templates")).unwrap();
    let home = folder.path().join("services/svc-ledger");
    let release = home.join("release/kustomization.yaml");
    std::fs::write(&release, "released\n").unwrap();
    std::fs::write(home.join("promotion/prod.yaml"), "promoted\n").unwrap();
    generate::write(&files, folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(release).unwrap(), "released\n");
    assert_eq!(
        std::fs::read_to_string(home.join("promotion/prod.yaml")).unwrap(),
        "promoted\n"
    );
    assert_eq!(
        std::fs::read_to_string(home.join("promotion/dev.yaml")).unwrap(),
        "service: svc-ledger\nenvironment: dev\nrevision: main\n"
    );
    assert_eq!(generate::differences(&files, folder.path()).unwrap(), [""; 0]);
}

#[test]
fn stores_outside_of_the_cluster_are_reached_by_their_ranges() {
    let yaml = changed(
        "postgres: {namespace: localplus-data, port: 5432}",
        "postgres: {cidrs: [10.0.32.0/20, 10.0.48.0/20], port: 5432}",
    );
    let fleet = Fleet::parse(&yaml).unwrap();
    let folder = written(&fleet);
    let set = crate::rendered(&fleet, "prod", folder.path());
    assert_eq!(lp_fleet::rules::faults(&set), []);
    let policy = set.find("NetworkPolicy", "svc-ledger-stores").unwrap();
    assert!(
        policy.0.to_string().contains(r#"{"cidr":"10.0.48.0/20"}"#),
        "{policy:?}"
    );
}
