//! Opens an account.

use jiff::Timestamp;
use ledger_domain::{Account, AccountType, Limits, Metadata};
use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::{AccountId, AssetCode, MerchantId, Reference, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::infrastructure::postgres::{accounts, assets};

/// What is to be opened.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// What it will hold.
    pub asset: AssetCode,
    /// What it is for.
    pub account_type: AccountType,
    /// Between what its balance must stay.
    pub limits: Limits,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// What the merchant notes on it.
    pub metadata: Metadata,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It was opened, and was empty then.
    Opened(Opened),
    /// The merchant has no such asset.
    UnknownAsset(AssetCode),
    /// Another account of the merchant has the reference.
    ReferenceTaken(Reference),
}

/// An account on the day of its opening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Its id.
    pub id: AccountId,
    /// What it holds.
    pub asset: AssetCode,
    /// What it is for.
    pub account_type: AccountType,
    /// Between what its balance must stay.
    pub limits: Limits,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// What the merchant noted on it.
    #[serde(default)]
    pub metadata: Metadata,
}

/// Opens it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database fails.
pub async fn create_account(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    new: NewAccount,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    if assets::find(&mut first.work, caller.merchant, &new.asset)
        .await?
        .is_none()
    {
        return first.refuse(database, Answer::UnknownAsset(new.asset)).await;
    }
    let opened = Opened {
        id: AccountId::from_uuid(ambient.ids.uuid()),
        asset: new.asset,
        account_type: new.account_type,
        limits: new.limits,
        reference: new.reference,
        created_at: ambient.clock.now(),
        metadata: new.metadata,
    };
    if !accounts::insert(&mut first.work, &caller, &opened.record(caller.merchant)).await? {
        let reference = opened
            .reference
            .ok_or_else(|| lp_error::Error::internal("an account without reference is taken"))?;
        return first.refuse(database, Answer::ReferenceTaken(reference)).await;
    }
    let answer = Answer::Opened(opened);
    first.finish(&answer).await?;
    Ok(answer)
}

impl Opened {
    /// The account as it was on that day: empty.
    pub fn record(&self, merchant: MerchantId) -> accounts::AccountRecord {
        let account = Account::open(
            self.id,
            merchant,
            self.asset.clone(),
            self.account_type,
            self.limits,
        );
        accounts::AccountRecord {
            account,
            reference: self.reference.clone(),
            created_at: self.created_at,
            metadata: self.metadata.clone(),
        }
    }
}
