//! Makes a card without value, and tells its code and PIN.
//!
//! Neither is kept: the recorded answer holds the card, and a replay derives both again from its id.

use std::time::Instant;

use lp_client::Asking;
use lp_error::Error;
use lp_pg::idempotency::{Claim, Once, begin_once};
use lp_types::ids::{CardId, ProductId};

use super::{Answer, Parts, answered, refuse};
use crate::{
    domain::{
        card::CardState,
        code::{CardCode, Pin},
        refusal::Refusal,
    },
    infrastructure::{
        keys::CODE_KEY_VERSION,
        postgres::{
            cards::{self, Card, Locks},
            products,
        },
    },
};

/// A card, and what opens it.
#[derive(Debug)]
pub struct Issued {
    /// The card.
    pub card: Card,
    /// Its code.
    pub code: CardCode,
    /// Its PIN, where it has one.
    pub pin: Option<Pin>,
}

/// Makes it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database or svc-merchant is away: then nothing was written.
pub async fn issue_card(
    parts: &Parts,
    claim: Claim,
    deadline: Instant,
    product: ProductId,
) -> lp_error::Result<Answer<Issued>> {
    match make(parts, claim, deadline, product).await? {
        Ok(card) => reveal(parts, card).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

async fn make(
    parts: &Parts,
    claim: Claim,
    deadline: Instant,
    product: ProductId,
) -> lp_error::Result<Answer<Card>> {
    let Parts {
        database, ambient, ..
    } = parts;
    if let Some(answer) = answered(database, &claim).await? {
        return Ok(answer);
    }
    let caller = claim.caller.clone();
    // Products never change, so that this one may be read before the unit of work.
    let found = products::find(&mut *database.acquire().await?, caller.merchant, product).await?;
    let Some(product) = found else {
        return refuse(database, claim, Refusal::UnknownProduct(product)).await;
    };
    let asking = Asking {
        caller: &caller,
        deadline,
    };
    if !parts
        .merchants
        .get(asking)
        .await?
        .is_some_and(|merchant| merchant.active)
    {
        return refuse(database, claim, Refusal::MerchantNotActive).await;
    }
    let id = CardId::from_uuid(ambient.ids.uuid());
    let code = parts.keys.code(id);
    let card = Card {
        id,
        product: product.id,
        currency: product.currency,
        has_pin: product.has_pin,
        state: CardState::Issued,
        face_value: None,
        account: None,
        code_suffix: code.suffix(),
        created_at: ambient.clock.now(),
        activated_at: None,
    };
    let pin_hash = if card.has_pin {
        let pin = parts.keys.pin(id).expose().to_owned();
        Some(parts.pins.hash(pin, parts.keys.pin_salt(id)).await?)
    } else {
        None
    };
    let locks = Locks {
        code_hash: parts.keys.code_hash(caller.merchant, &code),
        code_key: CODE_KEY_VERSION,
        pin_hash,
    };
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    cards::insert(&mut first.work, &caller, &card, &locks).await?;
    let answer = Ok(card);
    first.finish(&answer).await?;
    Ok(answer)
}

/// What opens the card, derived from its id.
fn reveal(parts: &Parts, card: Card) -> lp_error::Result<Issued> {
    let code = parts.keys.code(card.id);
    if code.suffix() != card.code_suffix {
        // Better no code than one that opens nothing.
        return Err(Error::internal(
            "CARD_SECRET_KEY is not the one that the card was made with",
        ));
    }
    Ok(Issued {
        pin: card.has_pin.then(|| parts.keys.pin(card.id)),
        code,
        card,
    })
}
