//! JSON schemas of messages and enums, as proto3's JSON mapping writes them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comment::Commented;

/// The schemas that a document refers to, by full name: packages share short ones.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to the schema of `message`, which is added with all that it refers to.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        let name = message.full_name().to_owned();
        if !self.0.contains_key(&name) {
            // Entered before its fields are looked at: a message may hold itself.
            self.0.insert(name.clone(), Value::Null);
            let schema = self.object(message, &[]);
            self.0.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// The schema of `message` without the fields that `left_out` names as JSON does.
    pub(super) fn object(&mut self, message: &MessageDescriptor, left_out: &[String]) -> Value {
        let fields = message
            .fields()
            .filter(|field| !left_out.iter().any(|name| name == field.json_name()));
        let properties: Map<_, _> = fields
            .map(|field| (field.json_name().to_owned(), self.field(&field)))
            .collect();
        json!({"type": "object", "description": message.comment(), "properties": properties})
    }

    /// The schema of a field, with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.kind(&entry.map_entry_value_field().kind());
                json!({"type": "object", "additionalProperties": value})
            }
            kind if field.is_list() => json!({"type": "array", "items": self.kind(&kind)}),
            kind => self.kind(&kind),
        };
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), field.comment().into());
        }
        schema
    }

    /// Adds a schema of another origin.
    pub(super) fn insert(&mut self, name: &str, schema: Value) -> Value {
        self.0.insert(name.to_owned(), schema);
        reference(name)
    }

    /// All of them.
    pub(super) fn into_value(self) -> Value {
        self.0.into_iter().collect::<Map<_, _>>().into()
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32"}),
            // A number in JSON keeps 53 bits.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "format": "byte"}),
            Kind::Message(message) => self.message(message),
            Kind::Enum(values) => self.enumeration(values),
        }
    }

    fn enumeration(&mut self, values: &EnumDescriptor) -> Value {
        let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
        let mut description = values.comment();
        for value in values.values() {
            let separator = if value.number() == 0 { "\n\n" } else { "\n" };
            description.push_str(&format!("{separator}- `{}`: {}", value.name(), value.comment()));
        }
        let schema = json!({"type": "string", "enum": names, "description": description});
        self.insert(values.full_name(), schema)
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The types with a JSON form of their own.
fn well_known(full_name: &str) -> Option<Value> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => {
            json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["1.5s"]})
        }
        "FieldMask" | "StringValue" => json!({"type": "string"}),
        "BytesValue" => json!({"type": "string", "format": "byte"}),
        "BoolValue" => json!({"type": "boolean"}),
        "DoubleValue" | "FloatValue" => json!({"type": "number"}),
        "Int32Value" | "UInt32Value" => json!({"type": "integer"}),
        "Int64Value" => json!({"type": "string", "format": "int64"}),
        "UInt64Value" => json!({"type": "string", "format": "uint64"}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        // Any, Struct, Empty.
        _ => json!({"type": "object"}),
    })
}
