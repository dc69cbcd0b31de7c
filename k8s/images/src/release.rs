//! The release component of a service: the one file in which its image's digest stands.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_yaml_ng::Value;

use crate::REGISTRY;
use crate::record::Record;

const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// The text of a service's `release/kustomization.yaml`.
///
/// # Errors
/// When the release cannot be a label's value, or the digest is none.
pub fn component(image: &Record) -> anyhow::Result<String> {
    let Record {
        name,
        digest,
        release,
        ..
    } = image;
    let text = format!(
        "# Written by `cargo xtask release`: what runs.\n\
         apiVersion: kustomize.config.k8s.io/v1alpha1\n\
         kind: Component\n\
         images:\n\
         \x20\x20- name: {name}\n\
         \x20\x20\x20\x20newName: {REGISTRY}/{name}\n\
         \x20\x20\x20\x20digest: {digest}\n\
         labels:\n\
         \x20\x20- pairs:\n\
         \x20\x20\x20\x20\x20\x20{VERSION_LABEL}: {release:?}\n\
         \x20\x20\x20\x20includeTemplates: true\n"
    );
    check(name, &text)?;
    Ok(text)
}

/// That a release component names one image, the service's, by digest, and its version.
///
/// # Errors
/// When it does not; the error says what is wrong.
pub fn check(service: &str, text: &str) -> anyhow::Result<()> {
    let component: Value = serde_yaml_ng::from_str(text).context("it is no YAML")?;
    if component.get("kind").and_then(Value::as_str) != Some("Component") {
        bail!("it is no kustomize Component");
    }
    let [image] = list(&component, "images") else {
        bail!("it must name one image");
    };
    let text_of = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default();
    if text_of("name") != service {
        bail!("its image is {:?}, not {service:?}", text_of("name"));
    }
    if text_of("newName") != format!("{REGISTRY}/{service}") {
        bail!(
            "its image's newName is {:?}, not {REGISTRY}/{service}",
            text_of("newName")
        );
    }
    if image.get("newTag").is_some() || !is_digest(text_of("digest")) {
        bail!("its image is not named by a digest: sha256: and 64 hexadecimal digits");
    }
    let [labels] = list(&component, "labels") else {
        bail!("it must set one group of labels");
    };
    let version = labels
        .get("pairs")
        .and_then(|pairs| pairs.get(VERSION_LABEL))
        .and_then(Value::as_str);
    if !version.is_some_and(is_label) {
        bail!("its label {VERSION_LABEL} is {version:?}, which is no label's value");
    }
    if labels.get("includeTemplates").and_then(Value::as_bool) != Some(true)
        || labels.get("includeSelectors").and_then(Value::as_bool) == Some(true)
    {
        bail!("its labels must go to pods (includeTemplates) and not to selectors, which cannot be changed");
    }
    Ok(())
}

/// Checks the release component of each service below `services` (`k8s/services`).
///
/// # Errors
/// When one is missing or wrong; all of them are named.
pub fn check_all(services: &Path, names: &[String]) -> anyhow::Result<()> {
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let file = services.join(name).join("release").join("kustomization.yaml");
            let result = std::fs::read_to_string(&file)
                .context("it cannot be read")
                .and_then(|text| check(name, &text));
            result.err().map(|error| format!("{name}: {error:#}"))
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("release components are wrong:\n{}", wrong.join("\n"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// At most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_label(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Record {
        let digest = format!("sha256:{}", "0a".repeat(32));
        Record {
            name: "svc-ledger".to_owned(),
            reference: format!("{REGISTRY}/svc-ledger@{digest}"),
            digest,
            archive: "svc-ledger.tar".into(),
            release: "3ccf7e2a41b0".to_owned(),
            bytes: 1,
        }
    }

    #[test]
    fn what_is_written_passes_its_check() {
        let text = component(&image()).unwrap();
        assert!(
            text.contains(&image().digest) && text.contains("3ccf7e2a41b0"),
            "{text}"
        );
        check("svc-ledger", &text).unwrap();
    }

    /// A short commit id may be all digits, or look like 3e7.
    #[test]
    fn a_release_that_looks_like_a_number_stays_text() {
        for release in ["304517923846", "3e7", "0x1f", "true"] {
            let image = Record {
                release: release.to_owned(),
                ..image()
            };
            component(&image).unwrap();
        }
        let image = Record {
            release: "a release".to_owned(),
            ..image()
        };
        component(&image).unwrap_err();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let right = component(&image()).unwrap();
        for (from, to, named) in [
            ("svc-ledger\n    newName", "svc-wallet\n    newName", "svc-wallet"),
            ("0a0a\n", "0a0\n", "digest"),
            ("    digest", "    newTag: v1\n    digest", "digest"),
            ("newName: registry", "newName: other", "newName"),
            ("kind: Component", "kind: Kustomization", "Component"),
            (VERSION_LABEL, "version", VERSION_LABEL),
            ("\"3ccf7e2a41b0\"", "42", VERSION_LABEL),
            ("includeTemplates", "includeSelectors", "selectors"),
        ] {
            let wrong = right.replace(from, to);
            assert_ne!(wrong, right, "{from}");
            let error = check("svc-ledger", &wrong).unwrap_err().to_string();
            assert!(error.contains(named), "{from} → {to}: {error}");
        }
    }
}
