//! Path templates, and which of them a path matches.

use http::Method;
use prost_reflect::MessageDescriptor;

use crate::{binding::Binding, field::FieldPath};

/// One segment of a template.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    /// Stands as it is.
    Literal(String),
    /// Any one segment, which becomes the value of a field.
    Capture(FieldPath),
}

/// A compiled template: `/v1/accounts/{account_id}/balance`, `/v1/transactions:earn`.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) verb: Option<String>,
}

impl Template {
    /// Compiles `text`, whose captures name fields of `input`; else says why not. Of the grammar of
    /// `google.api.http` the wildcards `*`, `**` and `{field=…}` are left out: no rpc has needed them.
    pub(crate) fn parse(text: &str, input: &MessageDescriptor) -> Result<Self, String> {
        // A colon can only begin the verb: it is not allowed in a field's name.
        let (path, verb) = match text.rsplit_once(':') {
            Some((path, verb)) => (path, Some(verb.to_owned())),
            None => (text, None),
        };
        let path = path.strip_prefix('/').ok_or("the path must begin with /")?;
        let segments = path
            .split('/')
            .map(
                |segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    Some(name) => FieldPath::resolve(input, name)
                        .filter(|field| !field.is_list())
                        .map(Segment::Capture)
                        .ok_or_else(|| format!("{{{name}}} is not a single scalar field of the request")),
                    None if segment.is_empty() || segment.contains(['{', '}', '*']) => {
                        Err(format!("the segment `{segment}` is not supported"))
                    }
                    None => Ok(Segment::Literal(segment.to_owned())),
                },
            )
            .collect::<Result<_, _>>()?;
        Ok(Self { segments, verb })
    }

    /// The fields that its captures set.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(field) => Some(field),
            Segment::Literal(_) => None,
        })
    }

    /// The template with its fields written by `name`.
    pub(crate) fn write(&self, name: impl Fn(&FieldPath) -> String) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            text.push('/');
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Capture(field) => text.push_str(&format!("{{{}}}", name(field))),
            }
        }
        if let Some(verb) = &self.verb {
            text.push(':');
            text.push_str(verb);
        }
        text
    }

    /// What the captures hold, still percent-encoded, when `path` matches.
    fn captures<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str())?.strip_suffix(':')?,
            None => path,
        };
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut captures = Vec::new();
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Capture(_) if !part.is_empty() => captures.push(part),
                _ => return None,
            }
        }
        parts.next().is_none().then_some(captures)
    }

    /// Sorts the special before the general: from the left, a literal before a capture; a verb before none.
    fn generality(&self) -> (Vec<bool>, bool) {
        let captures = self
            .segments
            .iter()
            .map(|s| matches!(s, Segment::Capture(_)))
            .collect();
        (captures, self.verb.is_none())
    }
}

/// Every binding of a server, the special before the general.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Binding>);

/// What a method and a path lead to.
pub(crate) enum Match<'a> {
    /// An rpc, and what the captures hold.
    Found(&'a Binding, Vec<&'a str>),
    /// The path is known, but only with these methods.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Unknown,
}

impl Routes {
    pub(crate) fn new(mut bindings: Vec<Binding>) -> Self {
        bindings.sort_by_cached_key(|binding| binding.template.generality());
        Self(bindings)
    }

    /// Looks `path` up. A scan: a service has some tens of rpcs, and most templates part from the path at
    /// their first or second segment.
    pub(crate) fn find<'a>(&'a self, method: &Method, path: &'a str) -> Match<'a> {
        let mut others = Vec::new();
        for binding in &self.0 {
            let Some(captures) = binding.template.captures(path) else {
                continue;
            };
            if binding.method == *method {
                return Match::Found(binding, captures);
            }
            if !others.contains(&binding.method) {
                others.push(binding.method.clone());
            }
        }
        if others.is_empty() {
            Match::Unknown
        } else {
            Match::OtherMethods(others)
        }
    }
}
