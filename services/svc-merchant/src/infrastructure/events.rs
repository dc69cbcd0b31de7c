//! The event of a merchant that became active for the first time.

use jiff::Timestamp;
use lp_contracts::{merchant::v1, time::to_wire, topics::MERCHANT_ONBOARDED};
use lp_outbox::NewEvent;
use prost::Message as _;

use super::postgres::merchants::Merchant;

/// The CloudEvents type of [`v1::MerchantOnboarded`].
pub const ONBOARDED: &str = "localplus.merchant.v1.MerchantOnboarded";

/// The event of `merchant`. There is one for each merchant, and its id says so.
pub fn onboarded(merchant: &Merchant, activated_at: Timestamp, traceparent: Option<String>) -> NewEvent {
    let payload = v1::MerchantOnboarded {
        merchant_id: merchant.id.to_string(),
        currency_code: merchant.currency.to_string(),
        currency_exponent: merchant.exponent.get(),
        points_code: merchant.points.to_string(),
        time_zone: merchant.time_zone.to_string(),
        activated_at: Some(to_wire(activated_at)),
    };
    NewEvent {
        topic: MERCHANT_ONBOARDED,
        event_id: "onboarded".to_owned(),
        event_type: ONBOARDED,
        merchant: merchant.id,
        keys: vec![merchant.id.to_string()],
        payload: payload.encode_to_vec(),
        traceparent,
        occurred_at: activated_at,
    }
}
