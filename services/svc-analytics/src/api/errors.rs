//! Refusals as clients see them.

use lp_contracts::analytics::v1::ErrorReason;
use lp_error::{Code, Error};

use crate::domain::days::NoRange;

/// The domain of this service's reasons.
const DOMAIN: &str = "analytics.localplus";

/// INVALID_RANGE.
pub(super) fn invalid_range(why: NoRange) -> Error {
    Error::new(
        Code::InvalidArgument,
        DOMAIN,
        ErrorReason::InvalidRange.reason(),
        format!("toDay: {why}"),
    )
    .with_field("toDay", why.to_string())
}
