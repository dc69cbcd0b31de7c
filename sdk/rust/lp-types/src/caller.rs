//! Who is calling.

use crate::{Actor, MerchantId, RequestId};

/// Who is calling, as the authenticating layer found out. The merchant of every row and query comes from
/// here and never from a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerContext {
    /// The merchant for whom the caller acts.
    pub merchant: MerchantId,
    /// Who acts: a till, a person, a service.
    pub actor: Actor,
    /// This request.
    pub request: RequestId,
}
