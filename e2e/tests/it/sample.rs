//! Requests of any rpc, made from its descriptor.

use std::collections::{BTreeMap, BTreeSet};

use lp_contracts::access::access_of;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};
use serde_json::Value as Json;

/// Ids, and what else opens something, that somebody has: by the names of fields, for example `account_id`, or by
/// full names.
pub(crate) type Ids = BTreeMap<String, String>;

/// A request with an id of `ids` wherever there is one, and something plausible in a write's other fields.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) message: DynamicMessage,
    /// Fields for ids, with an id of `ids`.
    pub(crate) known: BTreeSet<String>,
    /// Fields for ids of which there is none.
    pub(crate) unknown: BTreeSet<String>,
    reads: bool,
}

impl Sample {
    pub(crate) fn of(rpc: &MethodDescriptor, ids: &Ids) -> Self {
        let message = rpc.input();
        let mut sample = Self {
            message: DynamicMessage::new(message.clone()),
            known: BTreeSet::new(),
            unknown: BTreeSet::new(),
            reads: is_read(rpc),
        };
        sample.message = sample.filled(&message, ids);
        sample
    }

    fn filled(&mut self, message: &MessageDescriptor, ids: &Ids) -> DynamicMessage {
        let mut filled = DynamicMessage::new(message.clone());
        for field in message.fields().filter(|field| !field.is_map()) {
            // Of several that exclude each other the first.
            let first = field.containing_oneof().and_then(|oneof| oneof.fields().next());
            if first.is_some_and(|first| first.number() != field.number()) {
                continue;
            }
            if let Some(value) = self.value(&field, ids) {
                let value = if field.is_list() {
                    Value::List(vec![value])
                } else {
                    value
                };
                filled.set_field(&field, value);
            }
        }
        filled
    }

    fn known(&mut self, name: &str, ids: &Ids) -> Value {
        self.known.insert(name.to_owned());
        Value::String(ids.get(name).cloned().unwrap_or_default())
    }

    fn value(&mut self, field: &FieldDescriptor, ids: &Ids) -> Option<Value> {
        // A list of ids is one of some id.
        let name = match field.name() {
            many if many.ends_with("_ids") => many.trim_end_matches('s'),
            one => one,
        };
        Some(match field.kind() {
            // Positions, pages and times may be absent; a made-up one is refused before anything else is looked at.
            Kind::String if name.ends_with("_token") => return None,
            Kind::Message(message) if message.full_name().starts_with("google.protobuf.") => return None,
            Kind::Message(message) if message.name() == "PageRequest" => return None,
            Kind::Message(message) => Value::Message(self.filled(&message, ids)),
            Kind::String if ids.contains_key(field.full_name()) => self.known(field.full_name(), ids),
            Kind::String if ids.contains_key(name) => self.known(name, ids),
            Kind::String if name.ends_with("_id") => {
                self.unknown.insert(name.to_owned());
                Value::String("x".to_owned())
            }
            _ if self.reads => return None,
            Kind::String if name == "asset_code" => Value::String("PTS".to_owned()),
            Kind::String => Value::String("x".to_owned()),
            Kind::Enum(kind) => Value::EnumNumber(kind.values().nth(1)?.number()),
            Kind::Int32 => Value::I32(1),
            Kind::Int64 => Value::I64(1),
            Kind::Bool => Value::Bool(true),
            other => panic!(
                "{}: {other:?} is a kind that no request had yet",
                field.full_name()
            ),
        })
    }
}

/// True for an rpc that changes nothing. A stream has its keys in its messages.
pub(crate) fn is_read(rpc: &MethodDescriptor) -> bool {
    !rpc.is_client_streaming() && access_of(rpc).is_some_and(|access| !access.idempotent_write)
}

/// The path of `template` with its fields' values, for example of `/v1/accounts/{account_id}`.
pub(crate) fn path(template: &str, message: &DynamicMessage) -> String {
    let mut path = String::new();
    for (number, piece) in template.split(['{', '}']).enumerate() {
        let captured = number % 2 == 1;
        let value = captured.then(|| {
            message
                .get_field_by_name(piece)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        });
        match value {
            // An empty piece would be another path.
            Some(value) if value.is_empty() => path.push('x'),
            Some(value) => path.push_str(&value),
            None => path.push_str(piece),
        }
    }
    path
}

/// What a body of `*` holds beside the path.
pub(crate) fn body(template: &str, message: &DynamicMessage) -> Json {
    let mut body = serde_json::to_value(message).unwrap();
    for name in template.split(['{', '}']).skip(1).step_by(2) {
        let field = message.descriptor().get_field_by_name(name).unwrap();
        body.as_object_mut().unwrap().remove(field.json_name());
    }
    body
}

/// True when `answer` lists nothing.
pub(crate) fn is_empty_list(answer: &DynamicMessage) -> bool {
    let descriptor = answer.descriptor();
    let mut lists = descriptor.fields().filter(FieldDescriptor::is_list);
    lists.all(|field| {
        answer
            .get_field(&field)
            .as_list()
            .is_some_and(<[Value]>::is_empty)
    })
}

/// True when `answer` is that to a stream of which all was refused.
pub(crate) fn is_refused_stream(rpc: &MethodDescriptor, answer: &DynamicMessage) -> bool {
    let count = |name| answer.get_field_by_name(name).and_then(|value| value.as_i64());
    rpc.is_client_streaming() && count("posted") == Some(0) && count("refused") > Some(0)
}

/// Adds the ids in `answer` by the names of their fields; what is there already stays.
pub(crate) fn collect(answer: &Json, ids: &mut Ids) {
    match answer {
        Json::Object(fields) => {
            for (name, value) in fields {
                if let (Some(stem), Some(id)) = (name.strip_suffix("Id"), value.as_str())
                    && id.get(3..4) == Some("_")
                {
                    ids.entry(format!("{stem}_id")).or_insert_with(|| id.to_owned());
                }
                collect(value, ids);
            }
        }
        Json::Array(list) => list.iter().for_each(|value| collect(value, ids)),
        _ => {}
    }
}
