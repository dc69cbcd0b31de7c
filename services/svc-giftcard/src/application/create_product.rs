//! Adds a product to the catalogue.

use std::time::Instant;

use lp_client::Asking;
use lp_pg::idempotency::{Claim, Once, begin_once};
use lp_types::{AssetCode, ids::ProductId};

use super::{Answer, Parts, answered, refuse};
use crate::{
    domain::{
        product::{Denominations, ProductName},
        refusal::Refusal,
    },
    infrastructure::postgres::products::{self, Product},
};

/// What is to be sold.
#[derive(Debug, Clone)]
pub struct NewProduct {
    /// The name that customers see.
    pub name: ProductName,
    /// The currency of its cards.
    pub currency: AssetCode,
    /// The amounts that can be bought.
    pub denominations: Denominations,
    /// True when its cards shall have a PIN.
    pub has_pin: bool,
}

/// Adds it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database or svc-merchant is away: then nothing was written.
pub async fn create_product(
    parts: &Parts,
    claim: Claim,
    deadline: Instant,
    new: NewProduct,
) -> lp_error::Result<Answer<Product>> {
    let Parts {
        database, ambient, ..
    } = parts;
    if let Some(answer) = answered(database, &claim).await? {
        return Ok(answer);
    }
    let caller = claim.caller.clone();
    let asking = Asking {
        caller: &caller,
        deadline,
    };
    let merchant = match parts.merchants.get(asking).await? {
        Some(merchant) if merchant.active => merchant,
        _ => return refuse(database, claim, Refusal::MerchantNotActive).await,
    };
    if merchant.currency != new.currency {
        return refuse(database, claim, Refusal::ProductCurrency(merchant.currency)).await;
    }
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let product = Product {
        id: ProductId::from_uuid(ambient.ids.uuid()),
        name: new.name,
        currency: new.currency,
        denominations: new.denominations,
        has_pin: new.has_pin,
        created_at: ambient.clock.now(),
    };
    products::insert(&mut first.work, &caller, &product).await?;
    let answer = Ok(product);
    first.finish(&answer).await?;
    Ok(answer)
}
