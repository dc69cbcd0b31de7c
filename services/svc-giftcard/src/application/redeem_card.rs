//! Spends value of a card on its own: a write of two steps with the ledger between them.
//!
//! The first step commits a redemption under the claimed key, the second ends it. What the card holds is decided
//! by the ledger alone, on the locked account. Whoever comes again with the key goes on; the ledger's key is made
//! of the redemption's id, so that it is posted once.

use std::time::Instant;

use lp_client::Asking;
use lp_error::Error;
use lp_pg::idempotency::{Claim, Once, begin_once};
use lp_types::{
    Amount, AssetCode, MinorUnits, TransactionId,
    ids::{CardId, RedemptionId},
};
use serde::{Deserialize, Serialize};

use super::{Answer, Parts, answered, open_card::open_card, refuse};
use crate::{
    domain::{code::CardSecret, refusal::Refusal},
    infrastructure::{
        clients::ledger::{Move, Posting},
        postgres::redemptions,
    },
};

/// What is to be spent.
#[derive(Debug, Clone)]
pub struct Spending {
    /// What opens the card.
    pub secret: CardSecret,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
}

/// What was spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeemed {
    /// The card.
    pub card: CardId,
    /// The ledger's transaction.
    pub transaction: TransactionId,
    /// What the card held after it.
    pub balance: MinorUnits,
    /// Its currency.
    pub currency: AssetCode,
}

/// Spends it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database, svc-merchant or the ledger is away: then the same call goes on later.
pub async fn redeem_card(
    parts: &Parts,
    claim: Claim,
    deadline: Instant,
    spending: Spending,
) -> lp_error::Result<Answer<Redeemed>> {
    let database = &parts.database;
    if let Some(answer) = answered(database, &claim).await? {
        return Ok(answer);
    }
    let caller = claim.caller.clone();
    // A card that could be opened once can be for ever, so that a redemption that began is never refused here.
    let Some(card) = open_card(parts, caller.merchant, spending.secret).await? else {
        return refuse(database, claim, Refusal::CardRefused).await;
    };
    let Some(account) = card.account else {
        return Err(Error::internal("an active card without account"));
    };
    if spending.asset != card.currency {
        return refuse(database, claim, Refusal::AmountCurrency(card.currency)).await;
    }
    let asking = Asking {
        caller: &caller,
        deadline,
    };
    let Some(merchant) = parts.merchants.get(asking).await? else {
        return Err(Error::internal("a merchant that sold a card has no accounts"));
    };
    let id = match begin(parts, claim.clone(), card.id, merchant.active).await? {
        Begun::Ended(answer) => return Ok(answer),
        Begun::Posting(id) => id,
    };
    let spent = Move {
        debit: account,
        credit: merchant.sales,
        amount: spending.amount,
        asset: spending.asset,
    };
    let answer = match parts.ledger.post(asking, (id, "post"), &spent).await? {
        Posting::Posted { transaction, debited } => Ok(Redeemed {
            card: card.id,
            transaction,
            balance: debited,
            currency: card.currency,
        }),
        Posting::InsufficientFunds => Err(Refusal::InsufficientFunds),
    };
    finish(parts, claim, id, answer).await
}

enum Begun {
    Ended(Answer<Redeemed>),
    Posting(RedemptionId),
}

/// The first step: a redemption that is being posted, or the one that was begun under this key. The merchant's
/// state counts at the beginning only: what began may be in the ledger.
async fn begin(
    parts: &Parts,
    claim: Claim,
    card: CardId,
    merchant_is_active: bool,
) -> lp_error::Result<Begun> {
    let Parts {
        database, ambient, ..
    } = parts;
    let (caller, key) = (claim.caller.clone(), claim.key.clone());
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(Begun::Ended(answer)),
        Once::FirstTime(first) => first,
    };
    let id = match redemptions::of_key(&mut first.work, caller.merchant, &key).await? {
        Some(begun) => begun,
        None if merchant_is_active => {
            let id = RedemptionId::from_uuid(ambient.ids.uuid());
            let now = ambient.clock.now();
            redemptions::insert(&mut first.work, &caller, &key, id, card, now).await?;
            id
        }
        None => {
            let answer = Err(Refusal::MerchantNotActive);
            first.finish(&answer).await?;
            return Ok(Begun::Ended(answer));
        }
    };
    first.pause().await?;
    Ok(Begun::Posting(id))
}

/// The second step: what the ledger said.
async fn finish(
    parts: &Parts,
    claim: Claim,
    id: RedemptionId,
    answer: Answer<Redeemed>,
) -> lp_error::Result<Answer<Redeemed>> {
    let merchant = claim.caller.merchant;
    let mut first = match begin_once(&parts.database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let transaction = answer.as_ref().ok().map(|redeemed| redeemed.transaction);
    redemptions::end(&mut first.work, merchant, id, transaction).await?;
    first.finish(&answer).await?;
    Ok(answer)
}
