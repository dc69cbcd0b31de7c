//! What the manifests say of each service is what the real program does: its settings, its ports, its probes, its
//! names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lp_fleet::rendered::{Object, Set};
use lp_stack::{cache::Cache, tools};
use serde_json::{Value, json};

use crate::access::{self, rpcs};
use crate::fleet;

fn rendered(environment: &str) -> Set<'static> {
    let manifests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s"));
    let kustomize = tools::kustomize(&Cache::open().unwrap(), &|_| ()).unwrap();
    let environment = lp_fleet::fleet().environment(environment).unwrap();
    Set::render(lp_fleet::fleet(), environment, manifests, |overlay| {
        tools::kustomize_build(&kustomize, overlay)
    })
    .unwrap()
}

/// One setting, as the program tells it.
#[derive(Debug)]
struct Setting {
    required: bool,
    secret: bool,
}

fn told(binary: &str, args: &[&str]) -> String {
    let mut program = Command::new(fleet::binaries().join(binary));
    // Without the settings of this test run, which help would show.
    let output = program.args(args).env_clear().output().unwrap();
    assert!(output.status.success(), "{binary} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Variable → setting: by `config` what is required, by the help what is a secret, since that shows no value.
fn settings(binary: &str, command: &str) -> BTreeMap<String, Setting> {
    let help = told(binary, &[command, "--help"]);
    let mut settings = BTreeMap::new();
    for line in help.lines() {
        if let Some(env) = line
            .trim()
            .strip_prefix("[env: ")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let variable = env.split('=').next().unwrap();
            let setting = Setting {
                required: false,
                secret: !env.contains('='),
            };
            settings.insert(variable.to_owned(), setting);
        }
    }
    let usage = help
        .split("\n\n")
        .find(|part| part.starts_with("Usage:"))
        .unwrap();
    for (variable, setting) in &mut settings {
        setting.required = usage.contains(&format!("<{variable}>"));
    }
    settings
}

/// What a container is given: from ConfigMaps, from Secrets.
fn given(set: &Set<'_>, container: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut plain, mut secret) = (BTreeSet::new(), BTreeSet::new());
    for source in container["envFrom"].as_array().unwrap() {
        if let Some(name) = source["configMapRef"]["name"].as_str() {
            let data = &set.find("ConfigMap", name).unwrap().0["data"];
            plain.extend(data.as_object().unwrap().keys().cloned());
        } else {
            let name = source["secretRef"]["name"].as_str().unwrap();
            let data = set.find("ExternalSecret", name).unwrap().0["spec"]["data"].clone();
            secret.extend(
                data.as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["secretKey"].as_str().unwrap().to_owned()),
            );
        }
    }
    for one in container["env"].as_array().into_iter().flatten() {
        assert!(one["valueFrom"]["secretKeyRef"].is_object(), "{one}");
        secret.insert(one["name"].as_str().unwrap().to_owned());
    }
    (plain, secret)
}

fn container(object: &Object) -> &Value {
    &object.pod().unwrap().containers()[0]
}

/// What is wrong with what a program is given.
fn faults(
    settings: &BTreeMap<String, Setting>,
    plain: &BTreeSet<String>,
    secret: &BTreeSet<String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (variable, setting) in settings {
        let (in_config, in_secret) = (plain.contains(variable), secret.contains(variable));
        if setting.required && !in_config && !in_secret {
            faults.push(format!("{variable} is required, and not given"));
        }
        if setting.secret && in_config {
            faults.push(format!("{variable} is a secret, and in a ConfigMap"));
        }
        if !setting.secret && in_secret {
            faults.push(format!("{variable} is no secret, and in one"));
        }
    }
    for variable in plain.union(secret).filter(|one| !settings.contains_key(*one)) {
        faults.push(format!("{variable} is no setting"));
    }
    faults
}

#[test]
fn the_settings_given_are_those_of_the_program() {
    for environment in ["dev", "staging", "prod"] {
        let set = rendered(environment);
        for service in &lp_fleet::fleet().services {
            let name = service.binary();
            let serve = settings(&name, "serve");
            // The reader of the help has not gone blind.
            let required = serve.values().filter(|one| one.required).count();
            let table = told(&name, &["config"]);
            assert_eq!(table.matches("| required |").count(), required, "{table}");
            assert!(serve["DATABASE_URL"].secret && !serve["GRPC_ADDR"].secret);

            let deployment = set.find("Deployment", &name).unwrap();
            let (plain, secret) = given(&set, container(deployment));
            assert_eq!(
                faults(&serve, &plain, &secret),
                [""; 0],
                "{environment}: {name} serve"
            );

            // `migrate` reads some of what `serve` does, and a secret of its own.
            let migrate = settings(&name, "migrate");
            let job = set.find("Job", &format!("{name}-migration")).unwrap();
            let (plain, secret) = given(&set, container(job));
            let plain = plain
                .into_iter()
                .filter(|one| !serve.contains_key(one) || migrate.contains_key(one));
            assert_eq!(
                faults(&migrate, &plain.collect(), &secret),
                [""; 0],
                "{environment}: {name} migrate"
            );
        }
    }
}

#[test]
fn what_is_missing_unknown_or_open_is_named() {
    let setting = |required, secret| Setting { required, secret };
    let settings = BTreeMap::from([
        ("A".to_owned(), setting(true, false)),
        ("B".to_owned(), setting(true, true)),
        ("C".to_owned(), setting(false, false)),
    ]);
    let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    assert_eq!(faults(&settings, &names(&["A"]), &names(&["B"])), [""; 0]);
    assert_eq!(
        faults(&settings, &names(&["B", "X"]), &names(&["C"])),
        [
            "A is required, and not given",
            "B is a secret, and in a ConfigMap",
            "C is no secret, and in one",
            "X is no setting"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn running_services_answer_where_the_manifests_ask() {
    let set = rendered("dev");
    // What is the same for all services and no address is what the manifests say, so that the programs read it.
    let config = set.of("ConfigMap").next().unwrap().0["data"].clone();
    let env = [
        "DATABASE_SSL_MODE",
        "DRAIN_DELAY_MS",
        "DRAIN_TIMEOUT_MS",
        "KAFKA_REPLICATION",
        "LOG_FORMAT",
    ]
    .map(|variable| (variable, config[variable].as_str().unwrap().to_owned()));
    let own = fleet::start(&env);
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    for running in &own.plan.services {
        let name = running.binary();
        let described = lp_fleet::fleet().service(running.name).unwrap();
        let deployment = set.find("Deployment", &name).unwrap();
        let container = container(deployment);
        let pod = deployment.pod().unwrap();
        assert_eq!(container["name"], json!(name));
        assert_eq!(container["args"], json!(["serve"]));
        let image = container["image"].as_str().unwrap();
        assert!(image.contains(&format!("/{name}@sha256:")), "{image}");

        // The fleet of a test has ports of its own: what the manifest calls `http` is there where HTTP_ADDR is.
        let at = |port: &Value| match pod.port(port) {
            Some(found) if found == u64::from(described.ports.http) => {
                own.setting(&running.http_url_variable())
            }
            other => panic!("{name}: {port} is {other:?}, where no HTTP is served"),
        };
        let mut asked = Vec::new();
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let get = &container[probe]["httpGet"];
            asked.push((at(&get["port"]), get["path"].as_str().unwrap().to_owned()));
        }
        let monitor = set.find("ServiceMonitor", &name).unwrap();
        let edge = set.find("Service", &format!("{name}-edge")).unwrap();
        for endpoint in monitor.0["spec"]["endpoints"].as_array().unwrap() {
            let ports = edge.0["spec"]["ports"].as_array().unwrap();
            let port = ports
                .iter()
                .find(|port| port["name"] == endpoint["port"])
                .unwrap();
            asked.push((
                at(&port["targetPort"]),
                endpoint["path"].as_str().unwrap().to_owned(),
            ));
        }
        for rule in set.find("HTTPRoute", &name).unwrap().0["spec"]["rules"]
            .as_array()
            .unwrap()
        {
            for path in rule["matches"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["path"]["value"])
            {
                if path != "/v1" {
                    asked.push((at(&json!("http")), path.as_str().unwrap().to_owned()));
                }
            }
        }
        for (base, path) in asked {
            let answer = http.get(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{name}: {path}");
        }
        // What the autoscaler goes by is there once there was a request, also one that was refused.
        let base = own.setting(&running.http_url_variable());
        let scaler = set.find("HorizontalPodAutoscaler", &name).unwrap();
        let metric = scaler.0["spec"]["metrics"][0]["pods"]["metric"]["name"]
            .as_str()
            .unwrap();
        let read = rpcs(&[*running])
            .iter()
            .filter_map(access::Rpc::rest)
            .find(|(verb, _)| *verb == reqwest::Method::GET);
        let path = read.unwrap().1.replace(['{', '}'], "");
        let refused = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{name}: {path}");
        let answer = http.get(format!("{base}/metrics")).send().await.unwrap();
        let metrics = answer.text().await.unwrap();
        let gauge = format!("# TYPE {metric} gauge");
        assert!(metrics.contains(&gauge), "{name} has no {metric}:\n{metrics}");
        // What the route lets in is what access.rs finds behind the service's gRPC address: its part of the contract.
        let route = &set.find("GRPCRoute", &name).unwrap().0["spec"]["rules"][0];
        let routed: BTreeSet<_> = route["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["method"]["service"].as_str().unwrap().to_owned())
            .collect();
        let package = format!("localplus.{}.v1", running.name);
        let contract = lp_contracts::descriptors().services();
        let contract = contract.filter(|one| one.package_name() == package);
        assert_eq!(routed, contract.map(|one| one.full_name().to_owned()).collect());
        let grpc = pod.port(&json!("grpc"));
        assert_eq!(grpc, Some(described.ports.grpc.into()), "{name}");
    }
}
