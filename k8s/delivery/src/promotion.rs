//! `promote`: the commit that an environment runs, and runs well, becomes the one that the next environment runs.
//!
//! Which commit that is stands in `k8s/services/<service>/promotion/<environment>.yaml`; Argo CD reads it there. The gate
//! is here: nothing is promoted that the environment before does not run, Synced and Healthy.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use lp_fleet::Fleet;

use crate::{
    argo::{self, Application},
    cluster::Cluster,
    repository::{BRANCH, Repository},
};

const HEADER: &str = "# Written by `cargo xtask promote`; `git revert` takes a promotion back.\n";

fn file(service: &str, environment: &str) -> String {
    format!("k8s/services/svc-{service}/promotion/{environment}.yaml")
}

/// Lets `environment` run `revision` of a service.
pub(crate) fn write(root: &Path, service: &str, environment: &str, revision: &str) -> anyhow::Result<()> {
    let path = root.join(file(service, environment));
    let text = format!("{HEADER}service: svc-{service}\nenvironment: {environment}\nrevision: {revision}\n");
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// What `environment` runs of a service, as the last commit says; none where it was never promoted.
pub(crate) fn revision(root: &Path, service: &str, environment: &str) -> anyhow::Result<Option<String>> {
    let path = root.join(file(service, environment));
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path)?;
    let found = text.lines().find_map(|line| line.strip_prefix("revision: "));
    let found = found.with_context(|| format!("{} names no revision", path.display()))?;
    Ok(Some(found.trim().to_owned()))
}

/// The environment before `to`, in the order of promotion.
pub(crate) fn before<'a>(fleet: &'a Fleet, to: &str) -> anyhow::Result<&'a str> {
    let place = fleet
        .environments
        .iter()
        .position(|environment| environment.name == to);
    let place = place.with_context(|| format!("there is no environment {to}"))?;
    let before = place
        .checked_sub(1)
        .and_then(|place| fleet.environments.get(place));
    let before = before.with_context(|| format!("{to} follows {BRANCH}: nothing is promoted to it"))?;
    Ok(&before.name)
}

/// The gate: the commit that `application` runs, if that is a known one and runs well.
///
/// # Errors
/// Says what the Application lacks.
pub(crate) fn gate(application: Option<&Application>, repository: &Repository) -> anyhow::Result<String> {
    let application = application.context("the environment before has no such Application")?;
    ensure!(
        application.is_well(None),
        "the environment before is not well: {}: {}",
        application.state(),
        application.message
    );
    let revision = application.revision.clone();
    ensure!(
        repository.has(&revision),
        "{} runs {revision}, which the history of this repository does not have",
        application.name
    );
    Ok(revision)
}

/// Promotes these services (all when none is named) to `to`, in one commit; returns it, or none where nothing changed.
pub(crate) async fn promote(
    cluster: &Cluster,
    repository: &Repository,
    fleet: &Fleet,
    to: &str,
    services: &[String],
) -> anyhow::Result<Option<String>> {
    let from = before(fleet, to)?;
    if let Some(unknown) = services
        .iter()
        .find(|name| fleet.services.iter().all(|one| one.name != **name))
    {
        bail!("there is no service {unknown}");
    }
    let all = argo::applications(cluster).await?;
    let (mut promoted, mut files) = (Vec::new(), Vec::new());
    for service in &fleet.services {
        if !services.is_empty() && !services.contains(&service.name) {
            continue;
        }
        let name = argo::application(from, &service.name);
        let new = gate(all.get(&name), repository).with_context(|| format!("svc-{}", service.name))?;
        let old = revision(&repository.folder, &service.name, to)?;
        let folder = format!("k8s/services/svc-{}", service.name);
        // Who runs what is no change of what runs.
        let promotions = format!("{folder}/promotion");
        let changes = |old: &str| repository.changes(old, &new, &folder, &promotions);
        match &old {
            Some(old) if changes(old)?.is_empty() => {
                println!("svc-{}: {to} has all that {from} has", service.name);
                continue;
            }
            Some(old) => println!("svc-{}\n{}", service.name, changes(old)?),
            None => println!("svc-{}: the first time", service.name),
        }
        write(&repository.folder, &service.name, to, &new)?;
        files.push(file(&service.name, to));
        promoted.push(format!("svc-{} {}", service.name, new.get(..7).unwrap_or(&new)));
    }
    if promoted.is_empty() {
        return Ok(None);
    }
    let subject = format!("Promote to {to}: {}", promoted.join(", "));
    Ok(Some(repository.commit_only(&subject, &files)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(revision: &str) -> Application {
        Application::well("dev-svc-ledger", revision)
    }

    #[test]
    fn the_gate_opens_for_what_runs_well_alone() {
        let room = tempfile::tempdir().unwrap();
        let repository = Repository::begin(room.path()).unwrap();
        std::fs::write(room.path().join("a"), "1").unwrap();
        let commit = repository.commit("first").unwrap();
        assert_eq!(gate(Some(&application(&commit)), &repository).unwrap(), commit);

        let refused =
            |application: Option<&Application>| gate(application, &repository).unwrap_err().to_string();
        assert!(refused(None).contains("no such Application"));
        for spoil in [
            (|one| one.sync = "OutOfSync".to_owned()) as fn(&mut Application),
            |one| one.health = "Progressing".to_owned(),
            |one| one.health = "Degraded".to_owned(),
            |one| one.phase = "Running".to_owned(),
            |one| one.phase = "Failed".to_owned(),
        ] {
            let mut spoilt = application(&commit);
            spoil(&mut spoilt);
            assert!(refused(Some(&spoilt)).contains("not well"), "{spoilt:?}");
        }
        let mut taken_back = application(&commit);
        taken_back.phase = "Failed".to_owned();
        taken_back.attempted = "0123456789abcdef0123456789abcdef01234567".to_owned();
        assert_eq!(gate(Some(&taken_back), &repository).unwrap(), commit);
        let unknown = application("0123456789abcdef0123456789abcdef01234567");
        assert!(refused(Some(&unknown)).contains("does not have"));
    }

    #[test]
    fn what_is_written_is_read() {
        let room = tempfile::tempdir().unwrap();
        assert_eq!(revision(room.path(), "ledger", "prod").unwrap(), None);
        std::fs::create_dir_all(room.path().join("k8s/services/svc-ledger/promotion")).unwrap();
        write(room.path(), "ledger", "prod", "abc").unwrap();
        assert_eq!(
            revision(room.path(), "ledger", "prod").unwrap().as_deref(),
            Some("abc")
        );
    }

    #[test]
    fn environments_are_passed_in_order() {
        let fleet = lp_fleet::fleet();
        assert_eq!(before(fleet, "staging").unwrap(), "dev");
        assert_eq!(before(fleet, "prod").unwrap(), "staging");
        assert!(before(fleet, "dev").is_err() && before(fleet, "moon").is_err());
    }
}
