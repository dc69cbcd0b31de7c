//! Sells a card: a write of two steps with the ledger between them.
//!
//! The first step commits the card as ACTIVATING with its face value, the second gives it the account and the
//! transaction of the sale. Whoever comes again after a crash goes on, with the same key or, for the same amount,
//! with another one; the ledger's keys are made of the card's id, so that there is one account and one sale. One
//! key is answered with success: the one that finishes.

use std::time::Instant;

use lp_client::Asking;
use lp_error::Error;
use lp_pg::idempotency::{Claim, Once, begin_once};
use lp_types::{Amount, AssetCode, TransactionId, ids::CardId};
use serde::{Deserialize, Serialize};

use super::{Answer, Parts, answered};
use crate::{
    domain::{
        card::{CardState, SaleStep, sale_step},
        refusal::Refusal,
    },
    infrastructure::{
        clients::{
            ledger::{Move, Posting},
            merchant::Merchant,
        },
        postgres::cards::{self, Card, Sold},
    },
};

/// What is to be sold.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The card.
    pub card: CardId,
    /// For how much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
}

/// A card that was sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// The card, active.
    pub card: Card,
    /// The transaction of the sale.
    pub transaction: TransactionId,
}

/// Sells it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database, svc-merchant or the ledger is away: then the same call goes on later.
pub async fn activate_card(
    parts: &Parts,
    claim: Claim,
    deadline: Instant,
    sale: Sale,
) -> lp_error::Result<Answer<Activated>> {
    if let Some(answer) = answered(&parts.database, &claim).await? {
        return Ok(answer);
    }
    let caller = claim.caller.clone();
    let asking = Asking {
        caller: &caller,
        deadline,
    };
    let merchant = parts.merchants.get(asking).await?;
    let begun = begin(parts, claim.clone(), merchant.as_ref(), &sale).await?;
    let (card, till) = match (begun, merchant) {
        (Begun::Ended(answer), _) => return Ok(answer),
        (Begun::Selling(card), Some(merchant)) => (card, merchant.external),
        (Begun::Selling(_), None) => return Err(Error::internal("a merchant that sells has no accounts")),
    };
    let account = parts.ledger.open_account(asking, card.id, &card.currency).await?;
    let paid = Move {
        debit: till,
        credit: account,
        amount: sale.amount,
        asset: sale.asset,
    };
    match parts.ledger.post(asking, (card.id, "sell"), &paid).await? {
        Posting::Posted { transaction, .. } => {
            let at = parts.ambient.clock.now();
            let sold = Sold {
                account,
                transaction,
                at,
            };
            finish(parts, claim, card.id, sold).await
        }
        Posting::InsufficientFunds => Err(Error::internal("the till's account has a least balance")),
    }
}

enum Begun {
    Ended(Answer<Activated>),
    Selling(Card),
}

/// The first step: the card is being sold.
async fn begin(
    parts: &Parts,
    claim: Claim,
    merchant: Option<&Merchant>,
    sale: &Sale,
) -> lp_error::Result<Begun> {
    let owner = claim.caller.merchant;
    let mut first = match begin_once(&parts.database, claim).await? {
        Once::Again(answer) => return Ok(Begun::Ended(answer)),
        Once::FirstTime(first) => first,
    };
    let decided = match cards::lock(&mut first.work, owner, sale.card).await? {
        None => Err(Refusal::UnknownCard(sale.card)),
        Some((card, denominations)) => sale_step(
            card.state,
            card.face_value,
            (sale.amount, &sale.asset),
            (&denominations, &card.currency),
            merchant.is_some_and(|merchant| merchant.active),
        )
        .map(|step| (step, card)),
    };
    let card = match decided {
        Err(refusal) => {
            let answer = Err(refusal);
            first.finish(&answer).await?;
            return Ok(Begun::Ended(answer));
        }
        Ok((SaleStep::Begin, card)) => {
            cards::begin_sale(&mut first.work, owner, card.id, sale.amount).await?;
            card
        }
        Ok((SaleStep::GoOn, card)) => card,
    };
    first.pause().await?;
    Ok(Begun::Selling(card))
}

/// The second step: the card is active, unless another key has brought it there.
async fn finish(parts: &Parts, claim: Claim, id: CardId, sold: Sold) -> lp_error::Result<Answer<Activated>> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(&parts.database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let standing = cards::lock(&mut first.work, caller.merchant, id).await?;
    let (card, _) = standing.ok_or_else(|| Error::internal("the card vanished"))?;
    let answer = if card.state == CardState::Activating {
        cards::activate(&mut first.work, &caller, id, sold).await?;
        let card = Card {
            state: CardState::Active,
            account: Some(sold.account),
            activated_at: Some(sold.at),
            ..card
        };
        Ok(Activated {
            card,
            transaction: sold.transaction,
        })
    } else {
        Err(Refusal::WrongState(card.state))
    };
    first.finish(&answer).await?;
    Ok(answer)
}
