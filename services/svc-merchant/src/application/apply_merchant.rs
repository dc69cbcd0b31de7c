//! A merchant asks to join.

use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::{AssetCode, Reference, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        profile::{Exponent, MerchantName, TimeZoneName},
        state::State,
    },
    infrastructure::postgres::{
        merchant_events,
        merchants::{self, Merchant},
    },
};

/// What a merchant says of itself.
#[derive(Debug, Clone)]
pub struct Application {
    /// The name that customers see.
    pub name: MerchantName,
    /// The currency that it will trade in.
    pub currency: AssetCode,
    /// The exponent of that currency.
    pub exponent: Exponent,
    /// Its points, another asset.
    pub points: AssetCode,
    /// Its time zone.
    pub time_zone: TimeZoneName,
    /// Why, as its history tells it.
    pub reason: Reference,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is recorded.
    Applied(Box<Merchant>),
    /// The merchant has applied already.
    Exists,
}

/// Records it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database is away.
pub async fn apply_merchant(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    application: Application,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let now = ambient.clock.now();
    let merchant = Merchant {
        id: caller.merchant,
        name: application.name,
        state: State::Applied,
        currency: application.currency,
        exponent: application.exponent,
        points: application.points,
        time_zone: application.time_zone,
        accounts: None,
        created_at: now,
    };
    if !merchants::insert(&mut first.work, &caller, &merchant).await? {
        return first.refuse(database, Answer::Exists).await;
    }
    let (state, reason) = (merchant.state, &application.reason);
    merchant_events::append(&mut first.work, &caller, None, state, reason, now).await?;
    let answer = Answer::Applied(Box::new(merchant));
    first.finish(&answer).await?;
    Ok(answer)
}
