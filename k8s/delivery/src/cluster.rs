//! What every proof asks of the API server: apply, look, wait.

use std::{
    collections::HashMap,
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    discovery::{self, Scope},
};
use lp_types::time::Ambient;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::{sync::Mutex, time::sleep};

/// Who the API server records as the owner of the fields that a proof applies.
const MANAGER: &str = "localplus-delivery";
/// Between two questions. All Applications asked for three times a second took a tenth of a processor.
const STEP: Duration = Duration::from_secs(1);

/// A cluster, and the kinds that it is known to serve.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    kinds: Mutex<HashMap<(String, String), (ApiResource, Scope)>>,
}

impl Cluster {
    /// Of `kubeconfig`, or where there is none of what the environment names.
    pub(crate) async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        let config = match kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file)
                    .with_context(|| format!("{} is no kubeconfig", file.display()))?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
            }
            None => Config::infer().await?,
        };
        let client = Client::try_from(config)?;
        client
            .apiserver_version()
            .await
            .context("the API server does not answer")?;
        Ok(Self {
            client,
            kinds: Mutex::default(),
        })
    }

    /// Its version, as `v1.34.4`.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    async fn kind(&self, api_version: &str, kind: &str) -> anyhow::Result<(ApiResource, Scope)> {
        let key = (api_version.to_owned(), kind.to_owned());
        let mut kinds = self.kinds.lock().await;
        if let Some(known) = kinds.get(&key) {
            return Ok(known.clone());
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        // A definition that was just applied is served a moment later.
        let found = until(
            &format!("{api_version} {kind} is served"),
            Duration::from_secs(20),
            || async {
                let found = discovery::pinned_kind(&self.client, &gvk).await;
                Ok(found.map_err(|error| error.to_string()))
            },
        )
        .await?;
        let found = (found.0, found.1.scope);
        kinds.insert(key, found.clone());
        Ok(found)
    }

    /// The objects of a kind, of all namespaces where none is named.
    pub(crate) async fn api(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> anyhow::Result<Api<DynamicObject>> {
        let (resource, scope) = self.kind(api_version, kind).await?;
        Ok(match (scope, namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            _ => Api::all_with(self.client.clone(), &resource),
        })
    }

    /// The objects of a kind that have these labels (`a=b,c=d`).
    pub(crate) async fn list(
        &self,
        (api_version, kind): (&str, &str),
        namespace: Option<&str>,
        labels: &str,
    ) -> anyhow::Result<Vec<DynamicObject>> {
        let api = self.api(api_version, kind, namespace).await?;
        Ok(api.list(&ListParams::default().labels(labels)).await?.items)
    }

    /// Applies every document, in order.
    pub(crate) async fn apply_all(&self, documents: &str) -> anyhow::Result<()> {
        for object in objects(documents)? {
            self.apply(&object).await?;
        }
        Ok(())
    }

    /// Applies an object, and takes over the fields that somebody else set.
    pub(crate) async fn apply(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        self.apply_with(object, &PatchParams::apply(MANAGER).force())
            .await
    }

    /// Asks the API server whether it would take every document, as if in the namespace `default`; changes nothing. Says
    /// how many there are.
    pub(crate) async fn would_apply_all(&self, documents: &str) -> anyhow::Result<usize> {
        let dry = PatchParams::apply(MANAGER).force().dry_run().validation_strict();
        let objects = objects(documents)?;
        for object in &objects {
            let mut object = object.clone();
            if let Some(namespace) = object.pointer_mut("/metadata/namespace") {
                *namespace = "default".into();
            }
            self.apply_with(&object, &dry).await?;
        }
        Ok(objects.len())
    }

    async fn apply_with(&self, object: &Value, how: &PatchParams) -> anyhow::Result<DynamicObject> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (api_version, kind) = text("/apiVersion")
            .zip(text("/kind"))
            .context("an object has neither apiVersion nor kind")?;
        let name = text("/metadata/name").with_context(|| format!("a {kind} has no name"))?;
        let api = self.api(api_version, kind, text("/metadata/namespace")).await?;
        let applied = api.patch(name, how, &Patch::Apply(object)).await;
        applied.map_err(|error| match error {
            // The message may quote the whole object, passwords and all: its beginning says what is wrong.
            kube::Error::Api(status) => {
                let message: String = status.message.chars().take(200).collect();
                anyhow!("{kind} {name} is refused ({}): {message}", status.code)
            }
            other => anyhow::Error::new(other).context(format!("{kind} {name} cannot be applied")),
        })
    }

    /// What the API server answers to `GET path`.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }
}

/// The objects of a text of YAML documents.
fn objects(documents: &str) -> anyhow::Result<Vec<Value>> {
    let parsed = serde_yaml_ng::Deserializer::from_str(documents).map(Value::deserialize);
    let parsed: Vec<_> = parsed
        .collect::<Result<_, _>>()
        .context("a document is no YAML")?;
    Ok(parsed.into_iter().filter(|object| !object.is_null()).collect())
}

/// Asks until the answer is `Ok`, which it returns; the last `Err` says what is still missing.
///
/// # Errors
/// When that takes longer than `limit`, or a question cannot be asked.
pub(crate) async fn until<T, O>(what: &str, limit: Duration, mut ask: impl FnMut() -> O) -> anyhow::Result<T>
where
    O: Future<Output = anyhow::Result<Result<T, String>>>,
{
    let begun = Instant::now();
    loop {
        let missing = match ask().await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(missing)) => missing,
            // The API server may be busy for a moment.
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > limit {
            bail!(
                "after {} s it is still not so that {what}: {missing}",
                limit.as_secs()
            );
        }
        sleep(STEP).await;
    }
}

/// The present, for what is stamped with it.
pub(crate) fn now() -> Timestamp {
    Ambient::system().clock.now()
}

/// A field of an object, for example `/status/health/status`; empty where there is none.
pub(crate) fn field<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    object
        .data
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The name of an object that the API server returned.
pub(crate) fn name(object: &DynamicObject) -> anyhow::Result<&str> {
    let name = object.metadata.name.as_deref();
    name.ok_or_else(|| anyhow!("the API server returned an object without name"))
}
