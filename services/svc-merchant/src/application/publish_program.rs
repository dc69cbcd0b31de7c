//! A merchant publishes a version of its programme.

use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::time::Ambient;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{program::Terms, state::State},
    infrastructure::postgres::{
        merchants,
        programs::{self, Program},
    },
};

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is published.
    Published(Program),
    /// The merchant never applied.
    UnknownMerchant,
    /// It does not trade.
    NotActive(State),
    /// It was based on a version that is not the latest.
    Changed,
}

/// Publishes `terms` once, as the version after `based_on`.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database is away.
pub async fn publish_program(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    based_on: i32,
    terms: Terms,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let refusal = match merchants::find(&mut first.work, caller.merchant).await? {
        None => Answer::UnknownMerchant,
        Some(merchant) if merchant.state != State::Active => Answer::NotActive(merchant.state),
        Some(_) => {
            let now = ambient.clock.now();
            match programs::append(&mut first.work, &caller, based_on, terms, now).await? {
                Some(program) => {
                    let answer = Answer::Published(program);
                    first.finish(&answer).await?;
                    return Ok(answer);
                }
                None => Answer::Changed,
            }
        }
    };
    first.refuse(database, refusal).await
}
