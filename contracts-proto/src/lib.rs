//! The contract: messages, clients and servers generated from `localplus/**/*.proto`, the descriptor set
//! they came from, and the topics.
//!
//! Start with the `.proto` files; nothing here is written by hand but [`access`], [`topics`] and the shape
//! of the modules. The descriptor set is the one definition that reflection, REST and OpenAPI share.
//!
//! Invariants: every rpc has an access option and, where it is a write, takes an idempotency key
//! (`tests/access.rs`); every topic has an owner and a schema of this package (`tests/topics.rs`).

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub mod access;
pub mod http_body;
pub mod time;
pub mod token;
pub mod topics;

/// The encoded `FileDescriptorSet` of every file here, comments and options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

/// The descriptors as a pool, decoded once.
///
/// # Panics
/// Never in a build that passed its tests: the bytes are made by this package's build script.
#[expect(
    clippy::expect_used,
    reason = "the bytes come from our own build script; a test decodes them"
)]
pub fn descriptors() -> &'static DescriptorPool {
    POOL.as_ref().expect("the embedded descriptor set decodes")
}

macro_rules! contract {
    ($($domain:ident),+) => {$(
        #[doc = concat!("Package `localplus.", stringify!($domain), "`.")]
        pub mod $domain {
            /// Version 1.
            #[allow(clippy::all, clippy::pedantic, clippy::restriction, missing_docs, unused_qualifications, unreachable_pub, reason = "generated")]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/localplus.", stringify!($domain), ".v1.rs"));
            }
        }
    )+};
}

contract!(
    common,
    ledger,
    wallet,
    merchant,
    giftcard,
    notification,
    analytics
);

// The reason as it stands on the wire: the enum value's name without its prefix.
macro_rules! reasons {
    ($($domain:ident),+) => {$(
        impl $domain::v1::ErrorReason {
            /// The reason as clients see it, for example `INVALID_FIELD`.
            pub fn reason(self) -> &'static str {
                let name = self.as_str_name();
                name.strip_prefix("ERROR_REASON_").unwrap_or(name)
            }
        }
    )+};
}

reasons!(common, ledger, wallet, merchant, giftcard, analytics);
