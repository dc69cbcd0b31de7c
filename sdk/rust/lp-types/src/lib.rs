//! The values that every service speaks of: money, ids, short names, the clock.
//!
//! Owns: [`money`] (amounts, balances, asset codes), [`ids`] (typed, prefixed UUIDv7), [`names`]
//! (references, idempotency keys), [`time`] (the clock and the source of ids, both injected), [`caller`]
//! (who is calling). Pure: no I/O but in [`time::SystemClock`]. Start with [`money`].
//!
//! Invariants and the tests that hold them:
//! - an [`Amount`] is between 1 and 10^15, and arithmetic on balances is checked: `money::tests`;
//! - an id prints as it parses, and refuses another kind's prefix: `ids::tests`.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod caller;
pub mod ids;
pub mod money;
pub mod names;
pub mod time;

pub use caller::CallerContext;
pub use ids::{
    AccountId, CustomerId, HoldId, MerchantId, NotificationId, RequestId, TransactionId, WalletId,
};
pub use money::{Amount, AssetCode, MinorUnits};
pub use names::{Actor, IdempotencyKey, Reference};
pub use time::{Clock, IdSource, SystemClock, SystemIds};
