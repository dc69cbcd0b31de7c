//! The least that passes every rule, and how a test breaks it.

use serde_json::Value;

use super::{Tree, faults, objects, one};

const ARGOCD: &str = r#"
{apiVersion: v1, kind: ConfigMap, metadata: {name: localplus-repository, annotations: {argocd.argoproj.io/sync-wave: "-3"}}, data: {url: "https://git/one"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}, annotations: {argocd.argoproj.io/sync-wave: "-3"}}
data:
  admin.enabled: "false"
  users.anonymous.enabled: "false"
  exec.enabled: "false"
  resource.customizations.health.argoproj.io_Application: return {}
  resource.customizations.health.argoproj.io_ApplicationSet: return {}
  resource.customizations.health.batch_CronJob: return {}
  resource.customizations.health.external-secrets.io_ExternalSecret: return {}
  resource.customizations.health.gateway.networking.k8s.io_GRPCRoute: return {}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cmd-params-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}, annotations: {argocd.argoproj.io/sync-wave: "-3"}}
data: {controller.diff.server.side: "true", controller.sync.timeout.seconds: "300", applicationsetcontroller.enable.progressive.syncs: "false"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-rbac-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}, annotations: {argocd.argoproj.io/sync-wave: "-3"}}
data: {policy.default: "", policy.csv: "p, role:read, applications, get, */*, allow"}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: argocd, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-2"}}
spec:
  sourceRepos: ["https://git/one"]
  destinations: [{name: in-cluster, namespace: argocd}]
  clusterResourceWhitelist: []
  namespaceResourceWhitelist:
    - {group: "", kind: ConfigMap}
    - {group: argoproj.io, kind: AppProject}
    - {group: argoproj.io, kind: Application}
    - {group: argoproj.io, kind: ApplicationSet}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: platform, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-2"}}
spec:
  sourceRepos: ["https://git/one"]
  destinations: [{name: "dev*", namespace: localplus-dev}, {name: "prod*", namespace: localplus-prod}]
  clusterResourceWhitelist: [{group: "", kind: Namespace}]
  namespaceResourceWhitelist: [{group: networking.k8s.io, kind: NetworkPolicy}]
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: product, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-2"}}
spec:
  sourceRepos: ["https://git/one"]
  destinations: [{name: "dev*", namespace: localplus-dev}, {name: "prod*", namespace: localplus-prod}]
  clusterResourceWhitelist: []
  namespaceResourceWhitelist: [{group: apps, kind: Deployment}]
  roles: [{name: team, groups: [team], policies: ["p, proj:product:team, applications, get, product/*, allow"]}]
---
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: platform, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-1", localplus.example/wait: applications}}
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
    - matrix:
        generators:
          - git: {repoURL: "https://git/one", requeueAfterSeconds: 15}
          - clusters: {selector: {matchLabels: {localplus.example/environment: "{{ .environment }}"}}}
  syncPolicy: {preserveResourcesOnDeletion: true}
  template:
    spec:
      project: product
      source: {repoURL: "https://git/one"}
      syncPolicy:
        automated: {prune: true, selfHeal: true}
        syncOptions: [PruneLast=true, ServerSideApply=true, FailOnSharedResource=true]
        retry: {limit: -1, refresh: true}
---
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: services, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "0"}}
spec: {}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: root, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "1"}}
spec: {}
"#;

const ENVIRONMENT: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: localplus-dev
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: v1.34
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/warn-version: v1.34
    pod-security.kubernetes.io/audit: restricted
    pod-security.kubernetes.io/audit-version: v1.34
  annotations: {argocd.argoproj.io/sync-options: Prune=false}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: localplus-dev}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

/// Without a fault, as [`the_sound_tree_is_sound`] shows.
pub(super) fn tree() -> Tree {
    let mut argocd = objects(ARGOCD).unwrap();
    argocd[0]["metadata"]["namespace"] = "argocd".into();
    let set = argocd[7]["spec"].clone();
    let application = set["template"]["spec"].clone();
    argocd[8]["spec"] = set;
    argocd[9]["spec"] = application;
    argocd[9]["spec"]["project"] = "argocd".into();
    argocd[7]["spec"]["template"]["spec"]["project"] = "platform".into();
    for (kind, name, pointer, value) in super::exact::wanted() {
        let mut found = argocd.iter_mut();
        let object = found.find(|one| super::kind(one) == kind && super::name(one) == name);
        put(object.unwrap(), &pointer, value);
    }
    let deployment = |environment: &str| {
        let text = format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: svc-a, namespace: localplus-{environment}}}}}"
        );
        (
            (String::from("svc-a"), environment.to_owned()),
            objects(&text).unwrap(),
        )
    };
    let promotion = |environment: &str, revision: &str| {
        let path = format!("k8s/services/svc-a/promotion/{environment}.yaml");
        let text = format!("{{service: svc-a, environment: {environment}, revision: {revision}}}");
        (path.clone(), one(&path, &text).unwrap())
    };
    Tree {
        argocd,
        values: one("values", "{global: {image: {tag: v3}}, configs: {cm: {create: false}, params: {create: false}, rbac: {create: false}}}").unwrap(),
        platform: ["dev", "prod"]
            .into_iter()
            .map(|environment| {
                let text = ENVIRONMENT.replace("-dev", &format!("-{environment}"));
                (("environment".to_owned(), environment.to_owned()), objects(&text).unwrap())
            })
            .collect(),
        services: [deployment("dev"), deployment("prod")].into(),
        promotions: [promotion("dev", "main"), promotion("prod", "0123456789abcdef0123456789abcdef01234567")].into(),
        kustomizations: [("k8s/services/svc-a/overlays/dev/kustomization.yaml".to_owned(), vec!["../../base".to_owned()])].into(),
        texts: [("platform-gitops/argocd/repository.yaml".to_owned(), "url: https://git/one".to_owned())].into(),
    }
}

/// Puts a value at a pointer, and the objects around it where there are none.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for key in pointer.split('/').skip(1) {
        at = match key.parse::<usize>() {
            Ok(place) => &mut at[place],
            Err(_) => &mut at[key.replace("~1", "/")],
        };
    }
    *at = value;
}

/// The object of this kind and name.
pub(super) fn object<'a>(tree: &'a mut Tree, kind: &str, name: &str) -> &'a mut Value {
    let found = tree
        .argocd
        .iter_mut()
        .find(|one| super::kind(one) == kind && super::name(one) == name);
    found.unwrap()
}

/// Breaks one thing, and expects this to be said of it.
pub(super) fn expect(said: &str, spoil: impl FnOnce(&mut Tree)) {
    let mut tree = tree();
    spoil(&mut tree);
    let faults = faults(&tree);
    assert!(
        faults.iter().any(|fault| fault.contains(said)),
        "expected `{said}` among {faults:#?}"
    );
}

#[test]
fn the_sound_tree_is_sound() {
    assert_eq!(faults(&tree()), Vec::<String>::new());
}
