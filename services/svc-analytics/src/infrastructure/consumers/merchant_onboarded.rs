//! Keeps the time zone and the currency of merchants.

use lp_contracts::{merchant::v1::MerchantOnboarded, time::from_wire};
use lp_kafka::{Event, HandleError};
use lp_pg::UnitOfWork;
use lp_types::AssetCode;

use super::{check_merchant, poison};
use crate::{
    domain::days::zone,
    infrastructure::postgres::merchants::{self, Merchant},
};

/// Keeps the merchant of `event`.
pub(super) async fn keep(work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
    let told: MerchantOnboarded = event.message()?;
    check_merchant(event, &told.merchant_id)?;
    if zone(&told.time_zone).is_none() {
        return Err(poison(event, "a time zone that nobody knows"));
    }
    let activated_at = told.activated_at.as_ref().and_then(from_wire);
    let merchant = Merchant {
        id: event.merchant,
        time_zone: told.time_zone,
        currency: AssetCode::try_from(told.currency_code)
            .map_err(|e| poison(event, format!("a currency code {e}")))?,
        currency_exponent: u8::try_from(told.currency_exponent)
            .map_err(|_| poison(event, "an exponent out of range"))?,
        activated_at: activated_at.ok_or_else(|| poison(event, "no activated_at"))?,
    };
    Ok(merchants::keep(work, &merchant).await?)
}
