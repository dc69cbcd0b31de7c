//! From `google.api.http` annotations to bindings: which method and path call which rpc, and how the request
//! is spread over path, query and body.

use http::{Method, uri::PathAndQuery};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, ServiceDescriptor, Value,
};

use crate::{
    BuildError,
    field::{FieldPath, find},
    path::Template,
};

/// What the body of a request holds.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Nothing: what the path does not set stands in the query.
    None,
    /// Every field that the path does not set; nothing stands in the query.
    Whole,
    /// This field; the rest stands in path and query.
    Field(FieldDescriptor),
}

/// One way to call an rpc.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) rpc: MethodDescriptor,
    pub(crate) grpc_path: PathAndQuery,
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) body: Body,
    /// The fields that the path sets, as JSON names them.
    pub(crate) bound: Vec<String>,
}

/// The bindings of every unary rpc of `services`, in the order of the contract.
pub(crate) fn all(pool: &DescriptorPool, services: &[String]) -> Result<Vec<Binding>, BuildError> {
    let mut bindings = Vec::new();
    for name in services {
        let service = pool
            .get_service_by_name(name)
            .ok_or_else(|| BuildError::UnknownService(name.clone()))?;
        for rpc in service
            .methods()
            .filter(|rpc| !rpc.is_client_streaming() && !rpc.is_server_streaming())
        {
            for rule in rules(pool, &rpc) {
                let binding =
                    Binding::new(&service, &rpc, &rule).map_err(|fault| BuildError::Annotation {
                        rpc: rpc.full_name().to_owned(),
                        fault,
                    })?;
                bindings.push(binding);
            }
        }
    }
    refuse_conflicts(&bindings)?;
    Ok(bindings)
}

/// The rule of an rpc and its `additional_bindings`; nothing for an rpc without the annotation.
fn rules(pool: &DescriptorPool, rpc: &MethodDescriptor) -> Vec<DynamicMessage> {
    let options = rpc.options();
    let Some(http) = pool
        .get_extension_by_name("google.api.http")
        .filter(|http| options.has_extension(http))
    else {
        return Vec::new();
    };
    let Some(rule) = options.get_extension(&http).as_message().cloned() else {
        return Vec::new();
    };
    let more: Vec<_> = rule
        .get_field_by_name("additional_bindings")
        .and_then(|list| {
            Some(
                list.as_list()?
                    .iter()
                    .filter_map(Value::as_message)
                    .cloned()
                    .collect(),
            )
        })
        .unwrap_or_default();
    std::iter::once(rule).chain(more).collect()
}

impl Binding {
    fn new(
        service: &ServiceDescriptor,
        rpc: &MethodDescriptor,
        rule: &DynamicMessage,
    ) -> Result<Self, String> {
        let (method, path) = [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ]
        .into_iter()
        .find_map(|(name, method)| Some((method, text(rule, name)?)))
        .ok_or("it names neither get, put, post, delete nor patch")?;
        if text(rule, "response_body").is_some() {
            return Err("response_body is not supported".to_owned());
        }

        let input = rpc.input();
        let body = match text(rule, "body").as_deref() {
            None => Body::None,
            Some("*") => Body::Whole,
            Some(name) => Body::Field(
                find(&input, name).ok_or_else(|| format!("`{name}` is not a field of the request"))?,
            ),
        };
        let template = Template::parse(&path, &input)?;
        let grpc_path = format!("/{}/{}", service.full_name(), rpc.name());
        Ok(Self {
            rpc: rpc.clone(),
            grpc_path: grpc_path.try_into().map_err(|e| format!("the gRPC path: {e}"))?,
            method,
            bound: template.fields().map(FieldPath::json).collect(),
            template,
            body,
        })
    }

    /// True for a field that only the body may set.
    pub(crate) fn in_body(&self, path: &FieldPath) -> bool {
        match &self.body {
            Body::None => false,
            Body::Whole => true,
            Body::Field(field) => path.0.first() == Some(field),
        }
    }

    /// What two bindings may not share.
    fn key(&self) -> String {
        format!("{} {}", self.method, self.template.write(|_| String::new()))
    }
}

fn text(rule: &DynamicMessage, name: &str) -> Option<String> {
    rule.get_field_by_name(name)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn refuse_conflicts(bindings: &[Binding]) -> Result<(), BuildError> {
    let mut seen = std::collections::HashMap::new();
    for binding in bindings {
        if let Some(first) = seen.insert(binding.key(), binding.rpc.full_name()) {
            return Err(BuildError::Conflict {
                first: first.to_owned(),
                second: binding.rpc.full_name().to_owned(),
                key: binding.key(),
            });
        }
    }
    Ok(())
}
