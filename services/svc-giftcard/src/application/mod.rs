//! The use cases. Other services are asked, and PINs hashed, outside every unit of work.

pub mod activate_card;
pub mod create_product;
pub mod issue_card;
pub mod open_card;
pub mod redeem_card;

use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::time::Ambient;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    domain::refusal::Refusal,
    infrastructure::{
        clients::{ledger::Ledger, merchant::Merchants},
        keys::CardKeys,
        pins::Pins,
    },
};

/// What the use cases stand on.
#[derive(Debug)]
pub struct Parts {
    /// The service's own schema.
    pub database: Database,
    /// The clock and the source of ids.
    pub ambient: Ambient,
    /// Where value is.
    pub ledger: Ledger,
    /// Who trades.
    pub merchants: Merchants,
    /// The two secret keys.
    pub keys: CardKeys,
    /// The hashes of PINs.
    pub pins: Pins,
}

/// What a write answers, as it is recorded under its key.
pub type Answer<T> = Result<T, Refusal>;

/// The answer that the key has, if it has one. What this claims it lets go of: it is claimed again with the effect.
async fn answered<T: DeserializeOwned>(
    database: &Database,
    claim: &Claim,
) -> lp_error::Result<Option<Answer<T>>> {
    match begin_once(database, claim.clone()).await? {
        Once::Again(answer) => Ok(Some(answer)),
        Once::FirstTime(_) => Ok(None),
    }
}

/// Records a refusal that was decided outside a unit of work.
async fn refuse<T: Serialize + DeserializeOwned>(
    database: &Database,
    claim: Claim,
    refusal: Refusal,
) -> lp_error::Result<Answer<T>> {
    match begin_once(database, claim).await? {
        Once::Again(answer) => Ok(answer),
        Once::FirstTime(first) => {
            let answer = Err(refusal);
            first.finish(&answer).await?;
            Ok(answer)
        }
    }
}
