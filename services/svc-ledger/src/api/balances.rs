//! Balances: now and as they were, and all of them summed.

use std::collections::HashMap;

use lp_chassis::{Call, call::optional};
use lp_contracts::ledger::v1::{self, batch_get_balances_request, get_balance_request};
use lp_error::{Error, InField, Result};
use lp_types::{AccountId, AssetCode, MerchantId};
use tonic::Request;

use super::{convert, errors, grpc::LedgerApi};
use crate::{
    application::read,
    infrastructure::{
        events::account_type,
        postgres::{
            balances::Past,
            trial_balance::{AssetSums, Sums},
        },
    },
};

/// Accounts in one call at most.
const MAX_ACCOUNTS: usize = 500;

pub(super) async fn get(
    api: &LedgerApi,
    request: Request<v1::GetBalanceRequest>,
) -> Result<v1::GetBalanceResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let wanted = request.into_inner();
    let id = convert::account_id(&wanted.account_id, "accountId")?;
    let balances = read(api, merchant, &[id], wanted.at.map(At::from)).await?;
    let balance = balances.into_iter().next();
    Ok(v1::GetBalanceResponse {
        balance: Some(balance.ok_or_else(|| errors::unknown_account(id, "accountId"))?),
    })
}

pub(super) async fn batch_get(
    api: &LedgerApi,
    request: Request<v1::BatchGetBalancesRequest>,
) -> Result<v1::BatchGetBalancesResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let wanted = request.into_inner();
    if !(1..=MAX_ACCOUNTS).contains(&wanted.account_ids.len()) {
        return Err(Error::invalid_field(
            "accountIds",
            format!("must be 1 to {MAX_ACCOUNTS}"),
        ));
    }
    let mut places = HashMap::new();
    let mut ids = Vec::with_capacity(wanted.account_ids.len());
    for (index, text) in wanted.account_ids.iter().enumerate() {
        let id = convert::account_id(text, &part(index))?;
        if let Some(first) = places.insert(text.clone(), index) {
            return Err(Error::invalid_field(
                part(index),
                format!("is {} again", part(first)),
            ));
        }
        ids.push(id);
    }
    let mut found: HashMap<_, _> = read(api, merchant, &ids, wanted.at.map(At::from))
        .await?
        .into_iter()
        .map(|balance| (balance.account_id.clone(), balance))
        .collect();
    let in_order = ids.iter().zip(wanted.account_ids).enumerate();
    let balances = in_order.map(|(index, (id, text))| {
        let balance = found.remove(&text);
        balance.ok_or_else(|| errors::unknown_account(*id, part(index)))
    });
    Ok(v1::BatchGetBalancesResponse {
        balances: balances.collect::<Result<_>>()?,
    })
}

pub(super) async fn trial(
    api: &LedgerApi,
    request: Request<v1::GetTrialBalanceRequest>,
) -> Result<v1::GetTrialBalanceResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let asset = optional::<AssetCode>(request.into_inner().asset_code, "assetCode")?;
    let found = read::trial_balance(&api.database, merchant, asset.as_ref()).await?;
    if let Some(unknown) = asset.filter(|_| found.is_empty()) {
        return Err(errors::unknown_asset(&unknown, "assetCode"));
    }
    Ok(v1::GetTrialBalanceResponse {
        assets: found.into_iter().map(asset_sums).collect(),
    })
}

fn asset_sums(of: AssetSums) -> v1::AssetTrialBalance {
    let line = |(of, accounts, sums): (_, i64, Sums)| v1::TrialBalanceLine {
        account_type: account_type(of).into(),
        accounts,
        debits: sums.debits,
        credits: sums.credits,
    };
    v1::AssetTrialBalance {
        asset_code: of.asset.to_string(),
        debits: of.total.debits,
        credits: of.total.credits,
        difference: of.difference,
        lines: of.lines.into_iter().map(line).collect(),
    }
}

/// As a request names a moment of the past.
enum At {
    Posted(prost_types::Timestamp),
    Effective(prost_types::Timestamp),
    After(String),
}

impl From<get_balance_request::At> for At {
    fn from(at: get_balance_request::At) -> Self {
        use get_balance_request::At::{EffectiveAt, PostedAt, TransactionId};
        match at {
            PostedAt(time) => Self::Posted(time),
            EffectiveAt(time) => Self::Effective(time),
            TransactionId(id) => Self::After(id),
        }
    }
}

impl From<batch_get_balances_request::At> for At {
    fn from(at: batch_get_balances_request::At) -> Self {
        use batch_get_balances_request::At::{EffectiveAt, PostedAt, TransactionId};
        match at {
            PostedAt(time) => Self::Posted(time),
            EffectiveAt(time) => Self::Effective(time),
            TransactionId(id) => Self::After(id),
        }
    }
}

/// The balances of those of the accounts that are the merchant's, in any order.
async fn read(
    api: &LedgerApi,
    merchant: MerchantId,
    ids: &[AccountId],
    at: Option<At>,
) -> Result<Vec<v1::Balance>> {
    let past = match at {
        None => {
            let found = read::accounts(&api.database, merchant, ids, api.ambient.clock.now()).await?;
            let balance = |(record, epoch)| convert::current_balance(&record, epoch);
            return found.into_iter().map(balance).collect();
        }
        Some(At::Posted(time)) => Past::Posted(convert::time(Some(time), "postedAt")?),
        Some(At::Effective(time)) => Past::Effective(convert::time(Some(time), "effectiveAt")?),
        Some(At::After(text)) => {
            let id = text.parse().in_field("transactionId")?;
            let posted_at = read::posted_at(&api.database, merchant, id).await?;
            Past::After(id, posted_at.ok_or_else(|| errors::unknown_transaction(id))?)
        }
    };
    let found = read::past_balances(&api.database, merchant, ids, past).await?;
    let balance = |(balance, epoch)| convert::balance(&balance, epoch);
    Ok(found.into_iter().map(balance).collect())
}

fn part(index: usize) -> String {
    format!("accountIds[{index}]")
}
