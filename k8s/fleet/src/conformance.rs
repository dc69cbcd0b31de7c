//! Whether objects are what an API server of a given version takes: the published schemas, with unknown and
//! deprecated fields refused, which most servers only warn of.
//!
//! The walker knows the JSON Schema that Kubernetes publishes and that custom resource definitions may contain. It does
//! not evaluate CEL (`x-kubernetes-validations`): only an API server does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use crate::rendered::{Object, list, number, text};

/// Why schemas cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A file or folder cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file has another form.
    #[error("{}: {fault}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
}

/// The schemas of one version of Kubernetes, and of the custom resources.
#[derive(Debug, Clone)]
pub struct Schemas {
    /// `1.34`.
    pub version: String,
    definitions: Map<String, Value>,
    /// (apiVersion, kind) → schema.
    kinds: BTreeMap<(String, String), Value>,
}

fn read(path: &Path) -> Result<String, SchemaError> {
    std::fs::read_to_string(path).map_err(|error| SchemaError::Io {
        path: path.to_owned(),
        error,
    })
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

impl Schemas {
    /// Those of a version (`1.34`), out of a folder that has a `v1.34.0-local-strict` with `_definitions.json`.
    ///
    /// # Errors
    /// When the version is not there, or has another form.
    pub fn of_version(folder: &Path, version: &str) -> Result<Self, SchemaError> {
        let path = folder
            .join(format!("v{version}.0-local-strict"))
            .join("_definitions.json");
        let form = |fault: String| SchemaError::Form {
            path: path.clone(),
            fault,
        };
        let mut file: Value = serde_json::from_str(&read(&path)?).map_err(|error| form(error.to_string()))?;
        let definitions = match file.get_mut("$defs").map(Value::take) {
            Some(Value::Object(definitions)) => definitions,
            _ => return Err(form("has no $defs".to_owned())),
        };
        let mut kinds = BTreeMap::new();
        for schema in definitions.values() {
            // A definition of several kinds belongs to all and is none: options of requests.
            if let [kind] = list(schema, "/x-kubernetes-group-version-kind") {
                let api = api_version(text(kind, "/group"), text(kind, "/version"));
                kinds.insert((api, text(kind, "/kind").to_owned()), schema.clone());
            }
        }
        if kinds.is_empty() {
            return Err(form("has no kinds".to_owned()));
        }
        Ok(Self {
            version: version.to_owned(),
            definitions,
            kinds,
        })
    }

    /// Adds the custom resources that the files `*.yaml` of a folder define, as far as they are served and not
    /// deprecated.
    ///
    /// # Errors
    /// When a file cannot be read or is no YAML.
    pub fn add_custom_resources(&mut self, folder: &Path) -> Result<(), SchemaError> {
        let entries = std::fs::read_dir(folder).map_err(|error| SchemaError::Io {
            path: folder.to_owned(),
            error,
        })?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let objects = crate::rendered::parse(&read(&path)?).map_err(|error| SchemaError::Form {
                path: path.clone(),
                fault: error.to_string(),
            })?;
            for definition in objects {
                self.add_custom_resource(&definition);
            }
        }
        Ok(())
    }

    fn add_custom_resource(&mut self, definition: &Object) {
        for version in list(&definition.0, "/spec/versions") {
            let is = |flag: &str| version.get(flag) == Some(&Value::Bool(true));
            if !is("served") || is("deprecated") {
                continue;
            }
            if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
                let api = api_version(text(&definition.0, "/spec/group"), text(version, "/name"));
                let kind = text(&definition.0, "/spec/names/kind").to_owned();
                self.kinds.insert((api, kind), schema.clone());
            }
        }
    }

    /// What is wrong with an object: a line each, with the path of the field.
    pub fn faults(&self, object: &Object) -> Vec<String> {
        let api = text(&object.0, "/apiVersion").to_owned();
        let title = object.title();
        let version = api.rsplit('/').next().unwrap_or_default();
        if version.contains("alpha") || version.contains("beta") {
            return vec![format!("{title}: {api} may go away; use what is stable")];
        }
        let Some(schema) = self.kinds.get(&(api.clone(), object.kind().to_owned())) else {
            return vec![format!(
                "{title}: {api} {} is not served, or deprecated",
                object.kind()
            )];
        };
        let mut walk = Walk {
            schemas: self,
            strict: true,
            faults: Vec::new(),
        };
        if is_deprecated(schema) {
            walk.faults.push(format!("{api} {} is deprecated", object.kind()));
        }
        walk.value(schema, &object.0, "");
        walk.faults
            .into_iter()
            .map(|fault| format!("{title}: {fault}"))
            .collect()
    }
}

/// As the descriptions say it, in these words.
fn is_deprecated(schema: &Value) -> bool {
    let description = text(schema, "/description").to_lowercase();
    description.starts_with("deprecated")
        || description.contains("deprecated:")
        || description.contains("is deprecated")
}

/// One object on its way through its schema.
struct Walk<'a> {
    schemas: &'a Schemas,
    /// False in branches that repeat a part of the schema only (`anyOf` in custom resources).
    strict: bool,
    faults: Vec<String>,
}

impl Walk<'_> {
    fn fault(&mut self, path: &str, what: &str) {
        let path = if path.is_empty() { "." } else { path };
        self.faults.push(format!("{path}: {what}"));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if let Some(name) = text(schema, "/$ref").rsplit('/').next()
            && !name.is_empty()
        {
            let schemas = self.schemas;
            match schemas.definitions.get(name) {
                Some(definition) => self.value(definition, value, path),
                None => self.fault(path, &format!("the schema names {name}, which is not there")),
            }
            return;
        }
        self.kind(schema, value, path);
        self.limits(schema, value, path);
        self.branches(schema, value, path);
        match value {
            Value::Object(map) => self.object(schema, map, path),
            Value::Array(items) => {
                if let Some(of_items) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(of_items, item, &format!("{path}[{index}]"));
                    }
                }
            }
            _ => {}
        }
    }

    fn kind(&mut self, schema: &Value, value: &Value, path: &str) {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            if !(value.is_string() || value.is_i64()) {
                self.fault(path, "is neither number nor text");
            }
            return;
        }
        let is = |name: &Value| match name.as_str().unwrap_or_default() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            // Schemas made from OpenAPI allow it everywhere; a manifest that says nothing leaves the field out.
            _ => false,
        };
        let fits = match schema.get("type") {
            None => true,
            Some(Value::Array(names)) => names.iter().any(is),
            Some(name) => is(name),
        };
        if !fits {
            self.fault(
                path,
                &format!("is no {}", schema.get("type").unwrap_or(&Value::Null)),
            );
        }
    }

    fn limits(&mut self, schema: &Value, value: &Value, path: &str) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            self.fault(
                path,
                &format!("{value} is none of {}", Value::Array(allowed.clone())),
            );
        }
        if let Some(found) = value.as_f64() {
            let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
            if bound("minimum").is_some_and(|least| found < least)
                || bound("maximum").is_some_and(|most| found > most)
            {
                self.fault(path, &format!("{value} is out of range"));
            }
        }
        let length = match value {
            Value::String(text) => Some((text.chars().count(), "/minLength", "/maxLength")),
            Value::Array(items) => Some((items.len(), "/minItems", "/maxItems")),
            Value::Object(map) => Some((map.len(), "/minProperties", "/maxProperties")),
            _ => None,
        };
        if let Some((length, least, most)) = length {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            if number(schema, least).is_some_and(|least| length < least)
                || number(schema, most).is_some_and(|most| length > most)
            {
                self.fault(path, &format!("{length} is too short or too long"));
            }
        }
        if let (Some(found), pattern) = (value.as_str(), text(schema, "/pattern"))
            && !pattern.is_empty()
        {
            match Regex::new(pattern) {
                Ok(wanted) if wanted.is_match(found) => {}
                Ok(_) => self.fault(path, &format!("{found} does not match {pattern}")),
                Err(error) => self.fault(path, &format!("the schema's pattern cannot be read: {error}")),
            }
        }
    }

    fn branches(&mut self, schema: &Value, value: &Value, path: &str) {
        for branch in list(schema, "/allOf") {
            self.loosely(branch, value, path)
                .into_iter()
                .for_each(|fault| self.faults.push(fault));
        }
        if let Some(branch) = schema.get("not")
            && self.loosely(branch, value, path).is_empty()
        {
            self.fault(path, "is what the schema excludes");
        }
        for (name, exactly) in [("/anyOf", false), ("/oneOf", true)] {
            let branches = list(schema, name);
            let fitting = branches
                .iter()
                .filter(|branch| self.loosely(branch, value, path).is_empty())
                .count();
            if !branches.is_empty() && (fitting == 0 || (exactly && fitting > 1)) {
                self.fault(path, &format!("fits {fitting} of the forms that it may have"));
            }
        }
    }

    /// What a branch finds, which may name a part of the fields only.
    fn loosely(&self, branch: &Value, value: &Value, path: &str) -> Vec<String> {
        let mut walk = Walk {
            schemas: self.schemas,
            strict: false,
            faults: Vec::new(),
        };
        walk.value(branch, value, path);
        walk.faults
    }

    fn object(&mut self, schema: &Value, map: &Map<String, Value>, path: &str) {
        for name in list(schema, "/required").iter().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                self.fault(path, &format!("has no {name}"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        for (name, value) in map {
            let path = format!("{path}.{name}");
            if let Some(of_field) = properties.and_then(|known| known.get(name)) {
                if self.strict && is_deprecated(of_field) {
                    self.fault(&path, "is deprecated");
                }
                self.value(of_field, value, &path);
            } else if let Some(of_others @ Value::Object(_)) = others {
                self.value(of_others, value, &path);
            } else if self.strict && properties.is_some() && !open && others != Some(&Value::Bool(true)) {
                self.fault(&path, "is unknown");
            }
        }
    }
}
