//! Keys: `{service}:{entity}:{id}:v{format}`.

use std::{fmt, sync::Arc};

/// One kind of cached thing, in one format.
#[derive(Debug, Clone, Copy)]
pub struct KeySpace {
    service: &'static str,
    entity: &'static str,
    format: u32,
}

impl KeySpace {
    /// Keys of `entity`, owned by `service`. Raise `format` whenever the serialized form changes: processes
    /// of both formats then run side by side without reading each other's values.
    pub const fn new(service: &'static str, entity: &'static str, format: u32) -> Self {
        Self {
            service,
            entity,
            format,
        }
    }

    /// The key of the thing with this id, which must be no personal data.
    pub fn key(&self, id: impl fmt::Display) -> Key {
        Key(format!("{}:{}:{id}:v{}", self.service, self.entity, self.format).into())
    }
}

/// A key, made by [`KeySpace::key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_the_version_of_its_format() {
        let key = KeySpace::new("svc-wallet", "balance", 1).key("wal_1");
        assert_eq!(key.to_string(), "svc-wallet:balance:wal_1:v1");
    }
}
