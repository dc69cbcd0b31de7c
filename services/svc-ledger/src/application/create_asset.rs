//! Creates an asset and, for points, the accounts that issue and redeem them.

use ledger_domain::{Account, AccountType, Asset, AssetKind, Metadata, PointsAccounts};
use lp_pg::{
    Database,
    idempotency::{Claim, Once, begin_once},
};
use lp_types::{AccountId, AssetCode, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::infrastructure::postgres::{
    accounts::{self, AccountRecord},
    assets,
};

/// What is to be created.
#[derive(Debug, Clone)]
pub struct NewAsset {
    /// Its code.
    pub code: AssetCode,
    /// True for points.
    pub points: bool,
    /// Minor units are 10^-exponent of the unit.
    pub exponent: u8,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It was created.
    Created(Asset),
    /// The merchant has one with this code.
    CodeTaken,
}

/// Creates it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database fails.
pub async fn create_asset(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    new: NewAsset,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let new_id = || AccountId::from_uuid(ambient.ids.uuid());
    let points = new.points.then(|| PointsAccounts {
        issuance: new_id(),
        redemption: new_id(),
    });
    let created_at = ambient.clock.now();
    let asset = Asset {
        code: new.code,
        kind: points.map_or(AssetKind::Currency, AssetKind::Points),
        exponent: new.exponent,
        created_at,
    };
    if !assets::insert(&mut first.work, &caller, &asset).await? {
        return first.refuse(database, Answer::CodeTaken).await;
    }
    if let Some(points) = points {
        let internal = [
            (points.issuance, AccountType::Issuance),
            (points.redemption, AccountType::Redemption),
        ];
        let record = |(id, account_type): (AccountId, AccountType)| AccountRecord {
            account: Account::open(
                id,
                caller.merchant,
                asset.code.clone(),
                account_type,
                account_type.default_limits(),
            ),
            reference: None,
            created_at,
            metadata: Metadata::default(),
        };
        accounts::insert(&mut first.work, &caller, &internal.map(record)).await?;
    }
    let answer = Answer::Created(asset);
    first.finish(&answer).await?;
    Ok(answer)
}
