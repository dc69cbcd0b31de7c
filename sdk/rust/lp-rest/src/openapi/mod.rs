//! The OpenAPI 3.1 document of the bindings, from the same descriptors that serve them.

mod comment;
mod schema;

use lp_contracts::access::{Access, access_of};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use self::{
    comment::{Commented, first_sentence},
    schema::Schemas,
};
use crate::{
    binding::{Binding, Body},
    call::is_file,
    field::{FieldPath, inner},
};

/// The scheme of the token.
const TOKEN: &str = "token";

/// The document. Its order is that of the names, and so the same in every build.
pub(crate) fn document(
    title: &str,
    version: &str,
    acting_for: &[(&'static str, &'static str)],
    bindings: &[Binding],
) -> Value {
    let mut schemas = Schemas::default();
    let problem = schemas.insert("Problem", problem_schema());
    let mut paths = Map::new();
    let mut tags = Vec::<Value>::new();
    let mut last = None;
    let mut again = 1;
    for binding in bindings {
        again = if last == Some(&binding.rpc) { again + 1 } else { 1 };
        last = Some(&binding.rpc);
        let service = binding.rpc.parent_service();
        let tag = json!({"name": service.name(), "description": service.comment()});
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        let path = paths
            .entry(binding.template.write(FieldPath::json))
            .or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            let method = binding.method.as_str().to_ascii_lowercase();
            methods.insert(method, operation(binding, again, &problem, &mut schemas));
        }
    }
    let mut schemes = Map::new();
    let token = json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The caller's token, as its issuer gave it, without the word Bearer",
    });
    schemes.insert(TOKEN.to_owned(), token);
    for (header, holds) in acting_for {
        let scheme = json!({"type": "apiKey", "in": "header", "name": header, "description": holds});
        schemes.insert((*header).to_owned(), scheme);
    }
    // On every operation the token alone, or with all of the headers.
    let all: Map<_, _> = schemes.keys().map(|scheme| (scheme.clone(), json!([]))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "tags": tags,
        "paths": paths,
        "security": [{TOKEN: []}, all],
        "components": {"schemas": schemas.into_value(), "securitySchemes": schemes},
    })
}

/// One binding; the `again`th of its rpc.
fn operation(binding: &Binding, again: usize, problem: &Value, schemas: &mut Schemas) -> Value {
    let (rpc, service) = (&binding.rpc, binding.rpc.parent_service());
    let comment = rpc.comment();
    let mut id = format!("{}_{}", service.name(), rpc.name());
    if again > 1 {
        id.push_str(&format!("_{again}"));
    }
    let access = access_of(rpc);
    let mut operation = json!({
        "operationId": id,
        "tags": [service.name()],
        "summary": first_sentence(&comment),
        "description": comment,
        "parameters": parameters(binding, access.as_ref(), schemas),
        "responses": {
            "200": {
                "description": "Success",
                "content": answer(rpc, schemas),
            },
            "default": {
                "description": "A problem: `reason` says which",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
    });
    if let Some(operation) = operation.as_object_mut() {
        if let Some(schema) = body(binding, schemas) {
            let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
            operation.insert("requestBody".to_owned(), body);
        }
        if let Some(access) = access {
            operation.insert("x-scopes".to_owned(), access.scopes.into());
        }
    }
    operation
}

/// What an rpc answers with. Of a file's content type the contract says nothing.
fn answer(rpc: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    if is_file(rpc) {
        return json!({"*/*": {"schema": {"type": "string", "format": "binary"}}});
    }
    json!({"application/json": {"schema": schemas.message(&rpc.output())}})
}

fn body(binding: &Binding, schemas: &mut Schemas) -> Option<Value> {
    match &binding.body {
        Body::None => None,
        Body::Whole if binding.bound.is_empty() => Some(schemas.message(&binding.rpc.input())),
        Body::Whole => Some(schemas.object(&binding.rpc.input(), &binding.bound)),
        Body::Field(field) => Some(schemas.field(field)),
    }
}

fn parameters(binding: &Binding, access: Option<&Access>, schemas: &mut Schemas) -> Vec<Value> {
    let mut query = Vec::new();
    scalars(&binding.rpc.input(), &mut Vec::new(), &mut query);
    query.retain(|path| !binding.in_body(path) && !binding.bound.contains(&path.json()));
    let path = binding.template.fields().map(|path| ("path", path));
    let all = path.chain(query.iter().map(|path| ("query", path)));
    let mut parameters: Vec<_> = all
        .filter_map(|(place, path)| parameter(place, path, schemas))
        .collect();
    if access.is_some_and(|access| access.idempotent_write) {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": true,
            "description": "Names this write: the same key and request give the first answer for ever.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        }));
    }
    parameters
}

fn parameter(place: &str, path: &FieldPath, schemas: &mut Schemas) -> Option<Value> {
    let field = path.0.last()?;
    let mut schema = schemas.field(field);
    let description = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("description"));
    Some(json!({
        "name": path.json(),
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
    }))
}

/// Every way from `message` to what a query can carry. A message within itself is not entered again.
fn scalars(message: &MessageDescriptor, way: &mut Vec<FieldDescriptor>, found: &mut Vec<FieldPath>) {
    for field in message.fields().filter(|field| !field.is_map()) {
        let kind = field.kind();
        way.push(field.clone());
        match inner(&kind) {
            None => found.push(FieldPath(way.clone())),
            Some(_) if field.is_list() => {}
            Some(below) if way.iter().any(|field| field.parent_message() == below) => {}
            Some(below) => scalars(below, way, found),
        }
        way.pop();
    }
}

/// The schema of [`crate::Problem`].
fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason", "domain", "metadata", "violations"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "`urn:localplus:error:<domain>:<REASON>`."},
            "title": {"type": "string", "description": "The reason as words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What happened this time."},
            "reason": {"type": "string", "description": "The documented reason."},
            "domain": {"type": "string", "description": "The domain of the reason."},
            "metadata": {
                "type": "object",
                "description": "Facts beside the reason.",
                "additionalProperties": {"type": "string"},
            },
            "violations": {
                "type": "array",
                "description": "Every field that is wrong.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {
                        "field": {"type": "string", "description": "Its path, as JSON names it."},
                        "description": {"type": "string", "description": "What is wrong with it."},
                    },
                },
            },
            "requestId": {"type": "string", "description": "The request's id, where it has one."},
        },
    })
}
