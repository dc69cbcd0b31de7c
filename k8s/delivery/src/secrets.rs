//! Stands in for Vault and the External Secrets operator, which a proof's cluster has not: it writes the Secret that each
//! ExternalSecret asks for, and the condition that the operator would.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::json;

use crate::{
    cluster::{Cluster, field, name, now},
    stores::DATA,
};

const EXTERNAL: (&str, &str) = ("external-secrets.io/v1", "ExternalSecret");
/// The Secret that remembers what was drawn at random.
const VAULT: &str = "passwords";

/// What Vault would hold.
pub(crate) struct Vault {
    drawn: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    secret_key: String,
    remote_ref: RemoteRef,
}

#[derive(Debug, Deserialize)]
struct RemoteRef {
    key: String,
    property: String,
}

impl Vault {
    /// What an earlier proof drew in this cluster, or what is drawn now.
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), DATA);
        if let Some(kept) = secrets.get_opt(VAULT).await? {
            let data = kept.data.unwrap_or_default();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("a kept password is no text");
            let drawn = data.into_iter().map(|(key, value)| Ok((key, text(value.0)?)));
            return Ok(Self {
                drawn: drawn.collect::<anyhow::Result<_>>()?,
            });
        }
        let random = || {
            let bytes: [u8; 32] = rand::rng().random();
            bytes
        };
        // In a URL and in a shell as it is.
        let password = || {
            random()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let drawn: BTreeMap<_, _> = [
            ("postgres", password()),
            ("role", password()),
            ("client", password()),
            ("CARD_CODE_KEY", BASE64_STANDARD.encode(random())),
            ("CARD_SECRET_KEY", BASE64_STANDARD.encode(random())),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let kept = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": VAULT, "namespace": DATA},
            "stringData": drawn,
        });
        cluster.apply(&kept).await?;
        Ok(Self { drawn })
    }

    fn drawn(&self, key: &str) -> anyhow::Result<&str> {
        let found = self.drawn.get(key).map(String::as_str);
        found.with_context(|| format!("no {key} was drawn: the proof's Secret is of another version"))
    }

    /// What clients show to the issuer.
    pub(crate) fn client_secret(&self) -> anyhow::Result<&str> {
        self.drawn("client")
    }

    /// The value of a variable of a service, `ledger` for example, in an environment.
    pub(crate) fn value(&self, environment: &str, service: &str, variable: &str) -> anyhow::Result<String> {
        let role = |kind: &str| {
            let password = self.drawn("role")?;
            anyhow::Ok(format!(
                "postgres://{environment}_{service}_{kind}:{password}@postgres.{DATA}:5432/localplus_{environment}"
            ))
        };
        Ok(match variable {
            "DATABASE_URL" | "DATABASE_DIRECT_URL" => role("app")?,
            "MIGRATION_DATABASE_URL" => role("owner")?,
            "ADMIN_DATABASE_URL" => {
                format!(
                    "postgres://postgres:{}@postgres.{DATA}:5432/postgres",
                    self.drawn("postgres")?
                )
            }
            "VALKEY_URL" => format!("redis://valkey.{DATA}:6379"),
            "SMTP_URL" => format!("smtp://mail.{DATA}:1025"),
            "AUTH_CLIENT_SECRET" => self.client_secret()?.to_owned(),
            "CARD_CODE_KEY" | "CARD_SECRET_KEY" => self.drawn(variable)?.to_owned(),
            other => bail!("the proof's Vault has no {other} of svc-{service}"),
        })
    }

    /// Serves every ExternalSecret whose present generation is still waiting.
    pub(crate) async fn serve(&self, cluster: &Cluster) -> anyhow::Result<()> {
        for object in cluster.list(EXTERNAL, None, "").await? {
            if !field(&object, "/status/syncedResourceVersion").starts_with(&generation(&object)) {
                self.give(cluster, &object).await?;
            }
        }
        Ok(())
    }

    /// Writes the Secret, and says that it is there.
    async fn give(&self, cluster: &Cluster, asked: &DynamicObject) -> anyhow::Result<()> {
        let namespace = asked.metadata.namespace.as_deref().context("no namespace")?;
        let data = asked.data.pointer("/spec/data").cloned().unwrap_or_default();
        let data: Vec<Data> = serde_json::from_value(data).context("an ExternalSecret's data")?;
        let mut values = BTreeMap::new();
        for Data {
            secret_key,
            remote_ref,
        } in data
        {
            let mut parts = remote_ref.key.split('/').skip(1);
            let (environment, service) = parts
                .next()
                .zip(parts.next().and_then(|service| service.strip_prefix("svc-")))
                .with_context(|| format!("{} is no localplus/<environment>/svc-<name>", remote_ref.key))?;
            values.insert(
                secret_key,
                self.value(environment, service, &remote_ref.property)?,
            );
        }
        let target = match field(asked, "/spec/target/name") {
            "" => name(asked)?,
            target => target,
        };
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": target, "namespace": namespace},
            "stringData": values,
        });
        cluster.apply(&secret).await?;
        let now = now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let synced = format!("{}proof", generation(asked));
        let status = json!({"status": {"refreshTime": now, "syncedResourceVersion": synced, "conditions": [{
            "type": "Ready", "status": "True", "reason": "SecretSynced",
            "message": "written by the proof, in place of the operator", "lastTransitionTime": now,
        }]}});
        let api = cluster.api(EXTERNAL.0, EXTERNAL.1, Some(namespace)).await?;
        api.patch_status(name(asked)?, &PatchParams::default(), &Patch::Merge(status))
            .await?;
        Ok(())
    }
}

/// How the operator begins the version that it has synced.
fn generation(object: &DynamicObject) -> String {
    format!("{}-", object.metadata.generation.unwrap_or_default())
}
