//! The access option of each rpc, as the contract declares it.

use prost_reflect::{MethodDescriptor, Value};

/// Who may call an rpc; see `common/v1/access.proto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Scopes, of which the caller must hold every one.
    pub scopes: Vec<String>,
    /// True when no caller is needed.
    pub public: bool,
    /// True when the rpc takes an idempotency key.
    pub idempotent_write: bool,
    /// True when only the platform's operators may call it, who act for a merchant and are none.
    pub operator: bool,
}

/// The access option of `method`; `None` when it has none, and then it is open to nobody.
pub fn access_of(method: &MethodDescriptor) -> Option<Access> {
    let extension = method
        .parent_pool()
        .get_extension_by_name("localplus.common.v1.access")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let value = options.get_extension(&extension).into_owned();
    let Value::Message(message) = value else {
        return None;
    };
    let flag = |name: &str| {
        message
            .get_field_by_name(name)
            .and_then(|v| v.as_bool())
            .unwrap_or(false)
    };
    let scopes = message
        .get_field_by_name("scopes")
        .and_then(|v| v.as_list().map(<[Value]>::to_vec))
        .unwrap_or_default()
        .iter()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    Some(Access {
        scopes,
        public: flag("public"),
        idempotent_write: flag("idempotent_write"),
        operator: flag("operator"),
    })
}
