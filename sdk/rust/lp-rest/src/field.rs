//! Fields by name: how a client may write one, and where a dotted name leads.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How deep a request may be nested. Protobuf's decoders give up at 100, and then with a fault, not a refusal.
pub(crate) const MAX_DEPTH: usize = 64;

/// The field that a client calls `name`. Both the JSON and the proto name are accepted, as proto3's JSON
/// mapping demands of a parser.
pub(crate) fn find(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

/// The message whose fields stand one level below a value of `kind`; `None` for a scalar, and for the
/// well-known types, whose JSON forms are their own (a timestamp is a string).
pub(crate) fn inner(kind: &Kind) -> Option<&MessageDescriptor> {
    kind.as_message()
        .filter(|message| message.package_name() != "google.protobuf")
}

/// A way from a message down to one scalar field, or to a list of scalars.
#[derive(Debug, Clone)]
pub(crate) struct FieldPath(pub(crate) Vec<FieldDescriptor>);

impl FieldPath {
    /// Where `name` leads from `message`: names with dots between, for example `page.pageSize`.
    pub(crate) fn resolve(message: &MessageDescriptor, name: &str) -> Option<Self> {
        if name.split('.').count() > MAX_DEPTH {
            return None;
        }
        let mut fields = Vec::new();
        let mut below = Some(message.clone());
        for part in name.split('.') {
            let field = find(&below?, part)?;
            let kind = field.kind();
            below = inner(&kind).cloned();
            if below.is_some() && (field.is_list() || field.is_map()) {
                return None;
            }
            fields.push(field);
        }
        below.is_none().then_some(Self(fields))
    }

    /// As JSON names it.
    pub(crate) fn json(&self) -> String {
        self.0
            .iter()
            .map(FieldDescriptor::json_name)
            .collect::<Vec<_>>()
            .join(".")
    }

    /// True when a value may be given more than once.
    pub(crate) fn is_list(&self) -> bool {
        self.0.last().is_some_and(FieldDescriptor::is_list)
    }
}

/// `name` below the path `at`.
pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}
