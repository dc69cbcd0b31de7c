//! Opens accounts.

use std::collections::HashSet;

use jiff::Timestamp;
use ledger_domain::{Account, AccountType, Limits, Metadata};
use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::{AccountId, AssetCode, MerchantId, Reference, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::infrastructure::postgres::{
    accounts::{self, AccountRecord},
    assets,
};

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

/// What became of them; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// They were opened, in the order asked, and were empty then.
    Opened(#[serde(with = "one_or_many")] Vec<Opened>),
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

/// Opens all of them once, or none. Their references are all different.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database fails.
pub async fn create_accounts(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    new: Vec<NewAccount>,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let mut known = assets::Known::default();
    let wanted = new.iter().map(|new| (caller.merchant, &new.asset));
    known.learn(&mut first.work, wanted).await?;
    let unknown = new
        .iter()
        .find(|new| known.get(caller.merchant, &new.asset).is_none());
    if let Some(unknown) = unknown {
        let answer = Answer::UnknownAsset(unknown.asset.clone());
        return first.refuse(database, answer).await;
    }
    let created_at = ambient.clock.now();
    let opened = new.into_iter().map(|new| Opened {
        id: AccountId::from_uuid(ambient.ids.uuid()),
        asset: new.asset,
        account_type: new.account_type,
        limits: new.limits,
        reference: new.reference,
        created_at,
        metadata: new.metadata,
    });
    let opened: Vec<_> = opened.collect();
    let records: Vec<_> = opened.iter().map(|one| one.record(caller.merchant)).collect();
    let inserted = accounts::insert(&mut first.work, &caller, &records).await?;
    let inserted: HashSet<_> = inserted.into_iter().collect();
    if let Some(taken) = opened.iter().find(|one| !inserted.contains(&one.id)) {
        let reference = taken.reference.clone();
        let reference =
            reference.ok_or_else(|| lp_error::Error::internal("an account without reference is taken"))?;
        return first.refuse(database, Answer::ReferenceTaken(reference)).await;
    }
    let answer = Answer::Opened(opened);
    first.finish(&answer).await?;
    Ok(answer)
}

impl Opened {
    /// The account as it was on that day: empty.
    pub fn record(&self, merchant: MerchantId) -> AccountRecord {
        let account = Account::open(
            self.id,
            merchant,
            self.asset.clone(),
            self.account_type,
            self.limits,
        );
        AccountRecord {
            account,
            reference: self.reference.clone(),
            created_at: self.created_at,
            metadata: self.metadata.clone(),
        }
    }
}

/// One stands alone: so CreateAccount stored it when there were no batches, and answers stay for ever.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Opened;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        One(Opened),
        Many(Vec<Opened>),
    }

    pub(super) fn serialize<S: Serializer>(opened: &[Opened], to: S) -> Result<S::Ok, S::Error> {
        match opened {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Opened>, D::Error> {
        Ok(match Stored::deserialize(from)? {
            Stored::One(one) => vec![one],
            Stored::Many(many) => many,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it stands in ledgers that are older than batches, and than metadata.
    const OLD: &str = r#"{"Opened": {"id": "acc_0199f0c1d2e37a4b8c5d6e7f80912a3b", "asset": "PTS",
        "account_type": "Customer", "limits": {"min": 0, "max": null}, "reference": null,
        "created_at": "2026-01-01T00:00:00Z"}}"#;

    #[test]
    fn an_old_answer_is_read_and_one_account_is_stored_as_it_was() {
        let answer: Answer = serde_json::from_str(OLD).unwrap();
        let Answer::Opened(opened) = &answer else {
            panic!("{answer:?}")
        };
        assert_eq!(opened.len(), 1);
        let stored = serde_json::to_value(&answer).unwrap();
        assert_eq!(stored["Opened"]["id"], "acc_0199f0c1d2e37a4b8c5d6e7f80912a3b");
        let twice = Answer::Opened([opened.as_slice(), opened].concat());
        let stored = serde_json::to_value(&twice).unwrap();
        assert_eq!(stored["Opened"][1]["asset"], "PTS");
        assert_eq!(serde_json::from_value::<Answer>(stored).unwrap(), twice);
    }
}
