//! What kustomize made: objects, as an API server would get them.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use crate::{Environment, Fleet};

/// Why what was rendered cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what was rendered is no YAML: {0}")]
pub struct RenderedError(#[from] serde_yaml_ng::Error);

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(pub Value);

/// All objects of one environment, and what they were made from.
#[derive(Debug, Clone)]
pub struct Set<'a> {
    /// The description.
    pub fleet: &'a Fleet,
    /// Which environment.
    pub environment: &'a Environment,
    /// Of all services.
    pub objects: Vec<Object>,
}

/// The template of pods in an object.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// Whose pods they are.
    pub owner: &'a Object,
    /// Their labels and specification.
    pub template: &'a Value,
}

/// The objects of a stream of YAML documents.
///
/// # Errors
/// When it is no YAML.
pub fn parse(yaml: &str) -> Result<Vec<Object>, RenderedError> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let value = Value::deserialize(document)?;
        if !value.is_null() {
            objects.push(Object(value));
        }
    }
    Ok(objects)
}

/// The text at `pointer`, empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The elements at `pointer`, none where there is no array.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// The number at `pointer`.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}

/// Keys of the object at `pointer`, none where there is none.
pub(crate) fn keys<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_object);
    found
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// Whether a label selector selects `labels`; an empty one selects everything.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector
        .pointer("/matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|wanted| {
            wanted
                .iter()
                .all(|(label, value)| labels.get(label) == Some(value))
        });
    let meets = |expression: &Value| {
        let label = labels.get(text(expression, "/key"));
        let among = label.is_some_and(|label| list(expression, "/values").contains(label));
        match text(expression, "/operator") {
            "In" => among,
            "NotIn" => !among,
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            _ => false,
        }
    };
    equal && list(selector, "/matchExpressions").iter().all(meets)
}

impl Object {
    /// `Deployment`.
    pub fn kind(&self) -> &str {
        text(&self.0, "/kind")
    }

    /// `svc-ledger`.
    pub fn name(&self) -> &str {
        text(&self.0, "/metadata/name")
    }

    /// What a person calls it: `Deployment svc-ledger`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// An annotation, empty where there is none.
    pub fn annotation(&self, name: &str) -> &str {
        self.0
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its template of pods, where it has one.
    pub fn pod(&self) -> Option<Pod<'_>> {
        let pointer = match self.kind() {
            "Deployment" | "Job" => "/spec/template",
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => return None,
        };
        let template = self.0.pointer(pointer)?;
        Some(Pod {
            owner: self,
            template,
        })
    }
}

impl<'a> Pod<'a> {
    /// Their labels.
    pub fn labels(&self) -> &'a Value {
        self.template.pointer("/metadata/labels").unwrap_or(&Value::Null)
    }

    /// Their containers.
    pub fn containers(&self) -> &'a [Value] {
        list(self.template, "/spec/containers")
    }

    /// The port of that name, or that number, at one of the containers.
    pub fn port(&self, port: &Value) -> Option<u64> {
        self.containers()
            .iter()
            .flat_map(|container| list(container, "/ports"))
            .find(|one| one.get("name") == Some(port) || one.get("containerPort") == Some(port))
            .and_then(|one| number(one, "/containerPort"))
    }
}

/// Why an environment cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError<E> {
    /// The builder refused.
    #[error("{0}")]
    Build(E),
    /// What it made cannot be read.
    #[error(transparent)]
    Rendered(#[from] RenderedError),
}

impl<'a> Set<'a> {
    /// The objects of all services in an environment. `build` renders one folder, as `kustomize build` does; `manifests`
    /// is the folder with `services`.
    ///
    /// # Errors
    /// Those of `build`, and what is no YAML.
    pub fn render<E>(
        fleet: &'a Fleet,
        environment: &'a Environment,
        manifests: &Path,
        mut build: impl FnMut(&Path) -> Result<String, E>,
    ) -> Result<Self, RenderError<E>> {
        let mut objects = Vec::new();
        for service in &fleet.services {
            let home = manifests.join("services").join(service.binary());
            let overlay = home.join("overlays").join(&environment.name);
            objects.extend(parse(&build(&overlay).map_err(RenderError::Build)?)?);
        }
        Ok(Self {
            fleet,
            environment,
            objects,
        })
    }

    /// The objects of a kind.
    pub fn of<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// The object of that kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects
            .iter()
            .find(|object| object.kind() == kind && object.name() == name)
    }

    /// Every template of pods.
    pub fn pods(&self) -> impl Iterator<Item = Pod<'_>> {
        self.objects.iter().filter_map(Object::pod)
    }
}
