//! A job of the description becomes a CronJob that may do what its service may, and lets nobody in.

use lp_fleet::rules;

use crate::{changed, rendered, written};

#[test]
fn a_job_becomes_a_cron_job() {
    let yaml = changed(
        "    consumes: [ledger.transactions.v1]\n    resources:",
        "    consumes: [ledger.transactions.v1]\n    jobs:\n      - name: reconciliation\n        \
         schedule: 0 2 * * *\n        args: [reconcile, --all]\n        deadline_seconds: 3600\n    resources:",
    );
    let fleet = lp_fleet::Fleet::parse(&yaml).unwrap();
    let folder = written(&fleet);
    let set = rendered(&fleet, "staging", folder.path());
    assert_eq!(rules::faults(&set), []);

    let job = set.find("CronJob", "svc-wallet-reconciliation").unwrap();
    let pod = job.pod().unwrap();
    assert_eq!(job.0["spec"]["schedule"], "0 2 * * *");
    assert_eq!(
        pod.containers()[0]["args"],
        serde_json::json!(["reconcile", "--all"])
    );
    assert_eq!(pod.labels()["app.kubernetes.io/component"], "job");

    // It calls svc-ledger as its service does: without either end the rule says so.
    for (policy, side) in [("svc-wallet-job", "egress"), ("svc-ledger", "ingress")] {
        let mut broken = set.clone();
        for object in &mut broken.objects {
            if object.kind() == "NetworkPolicy" && object.name() == policy {
                let text = object.0.to_string();
                let text = match side {
                    "egress" => text.replace("svc-ledger", "svc-nobody"),
                    _ => text.replace(r#"["service","job"]"#, r#"["service"]"#),
                };
                object.0 = serde_json::from_str(&text).unwrap();
            }
        }
        let faults = rules::faults(&broken);
        let expected = format!("{side}: svc-wallet-reconciliation calls svc-ledger, and may not");
        assert!(faults.contains(&("network", expected)), "{faults:?}");
    }

    for (pointer, value) in [
        ("/spec/concurrencyPolicy", serde_json::json!("Allow")),
        ("/spec/timeZone", serde_json::json!("Europe/Paris")),
        (
            "/spec/jobTemplate/spec/activeDeadlineSeconds",
            serde_json::Value::Null,
        ),
    ] {
        let mut broken = set.clone();
        let job = broken
            .objects
            .iter_mut()
            .find(|object| object.kind() == "CronJob");
        *job.unwrap().0.pointer_mut(pointer).unwrap() = value;
        let faults = rules::faults(&broken);
        assert!(
            faults.iter().any(|(rule, _)| *rule == "cron-jobs"),
            "{pointer}: {faults:?}"
        );
    }
}
