//! A step in a merchant's life: a write, and for the first activation one of two steps with calls to the ledger
//! between them.
//!
//! The first step claims the key and finds that the merchant may be activated; the second writes state, accounts,
//! history and event in one commit, if it may still be. The ledger's keys are made of the merchant's id, so that
//! whoever comes again, with the same key or another, finds the accounts that were opened. Where a merchant is
//! closed meanwhile they stay empty.

use std::time::Instant;

use lp_client::Asking;
use lp_pg::{
    Database,
    idempotency::{Claim, FirstTime, Once, begin_once},
};
use lp_types::{AssetCode, Reference, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::{
    domain::state::State,
    infrastructure::{
        clients::ledger::{Ledger, Opening},
        events::onboarded,
        postgres::{
            merchant_events,
            merchants::{self, Merchant, MerchantAccounts},
        },
    },
};

/// A step that is to be taken.
#[derive(Debug, Clone)]
pub struct Step {
    /// The state after it.
    pub to: State,
    /// Why.
    pub reason: Reference,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is taken.
    Changed(Box<Merchant>),
    /// The merchant never applied.
    UnknownMerchant,
    /// The merchant stands where this step does not begin.
    WrongState(State),
    /// The ledger holds an asset of this code that is another.
    AssetUnusable(AssetCode),
}

/// Takes steps in merchants' lives.
#[derive(Debug, Clone)]
pub struct ChangeState {
    database: Database,
    ambient: Ambient,
    ledger: Ledger,
    wake: lp_outbox::Wake,
}

impl ChangeState {
    /// On merchants in `database`, with accounts at `ledger`; `wake` publishes what is in the outbox.
    pub fn new(database: Database, ambient: Ambient, ledger: Ledger, wake: lp_outbox::Wake) -> Self {
        Self {
            database,
            ambient,
            ledger,
            wake,
        }
    }

    /// Takes a step once.
    ///
    /// # Errors
    /// IDEMPOTENCY_KEY_REUSED; or the database or the ledger is away: then the same call goes on later.
    pub async fn take(&self, claim: Claim, deadline: Instant, step: &Step) -> lp_error::Result<Answer> {
        let (first, merchant) = match self.begin(&claim, step).await? {
            Begun::Ended(answer) => return Ok(answer),
            Begun::May(first, merchant) => (first, merchant),
        };
        if step.to != State::Active || merchant.accounts.is_some() {
            return self.finish(first, &claim, merchant, step, None).await;
        }
        first.pause().await?;
        let asking = Asking {
            caller: &claim.caller,
            deadline,
        };
        let opening = self.ledger.open_accounts(asking, &merchant).await?;
        match self.begin(&claim, step).await? {
            Begun::Ended(answer) => Ok(answer),
            Begun::May(first, merchant) => match opening {
                Opening::Opened(accounts) => self.finish(first, &claim, merchant, step, Some(accounts)).await,
                Opening::AssetUnusable(asset) => {
                    first.refuse(&self.database, Answer::AssetUnusable(asset)).await
                }
            },
        }
    }

    /// Claims the key, and locks the merchant if it may take the step.
    async fn begin(&self, claim: &Claim, step: &Step) -> lp_error::Result<Begun> {
        let mut first = match begin_once(&self.database, claim.clone()).await? {
            Once::Again(answer) => return Ok(Begun::Ended(answer)),
            Once::FirstTime(first) => first,
        };
        merchants::lock(&mut first.work, claim.caller.merchant).await?;
        let refusal = match merchants::find(&mut first.work, claim.caller.merchant).await? {
            None => Answer::UnknownMerchant,
            Some(merchant) if merchant.state.may_become(step.to) => {
                return Ok(Begun::May(first, Box::new(merchant)));
            }
            Some(merchant) => Answer::WrongState(merchant.state),
        };
        Ok(Begun::Ended(first.refuse(&self.database, refusal).await?))
    }

    /// Writes the step; with `accounts` it is the first activation, and is told.
    async fn finish(
        &self,
        mut first: FirstTime,
        claim: &Claim,
        merchant: Box<Merchant>,
        step: &Step,
        accounts: Option<MerchantAccounts>,
    ) -> lp_error::Result<Answer> {
        let (now, from) = (self.ambient.clock.now(), merchant.state);
        let changed = Merchant {
            state: step.to,
            accounts: accounts.or(merchant.accounts),
            ..*merchant
        };
        merchants::update(&mut first.work, &changed).await?;
        merchant_events::append(
            &mut first.work,
            &claim.caller,
            Some(from),
            step.to,
            &step.reason,
            now,
        )
        .await?;
        if accounts.is_some() {
            let event = onboarded(&changed, now, lp_telemetry::current_traceparent());
            lp_outbox::append(&mut first.work, &[event]).await?;
        }
        let answer = Answer::Changed(Box::new(changed));
        first.finish(&answer).await?;
        if accounts.is_some() {
            self.wake.wake();
        }
        Ok(answer)
    }
}

enum Begun {
    Ended(Answer),
    /// The merchant may take the step, and is locked.
    May(FirstTime, Box<Merchant>),
}
