//! Accounts: opened one by one or many at once, and read.

use std::collections::HashSet;

use ledger_domain::Metadata;
use lp_chassis::{
    Call,
    call::{claim, optional},
};
use lp_contracts::ledger::v1;
use lp_error::{Error, InField, Result};
use lp_pg::idempotency::Claim;
use lp_types::{AccountId, AssetCode, MerchantId, Reference};
use tonic::Request;

use super::{convert, errors, grpc::LedgerApi};
use crate::application::{
    create_account::{Answer, NewAccount, create_accounts},
    read,
};

/// Accounts in one call at most.
const MAX_ACCOUNTS: usize = 500;

pub(super) async fn create(
    api: &LedgerApi,
    request: Request<v1::CreateAccountRequest>,
) -> Result<v1::CreateAccountResponse> {
    let claim = claim(&request, "CreateAccount", api.ambient.clock.now())?;
    let new = vec![new_account(request.into_inner())?];
    let opened = open(api, claim, new).await?.map_err(|(_, refusal)| refusal)?;
    Ok(v1::CreateAccountResponse {
        account: opened.into_iter().next(),
    })
}

pub(super) async fn batch_create(
    api: &LedgerApi,
    request: Request<v1::BatchCreateAccountsRequest>,
) -> Result<v1::BatchCreateAccountsResponse> {
    let claim = claim(&request, "BatchCreateAccounts", api.ambient.clock.now())?;
    let wanted = request.into_inner().accounts;
    if !(1..=MAX_ACCOUNTS).contains(&wanted.len()) {
        return Err(Error::invalid_field(
            "accounts",
            format!("must be 1 to {MAX_ACCOUNTS}"),
        ));
    }
    let mut new = Vec::with_capacity(wanted.len());
    let mut references = HashSet::new();
    for (index, wanted) in wanted.into_iter().enumerate() {
        let account = new_account(wanted).map_err(|error| error.within(&part(index)))?;
        if let Some(reference) = &account.reference
            && !references.insert(reference.clone())
        {
            return Err(errors::reference_taken(reference).within(&part(index)));
        }
        new.push(account);
    }
    let opened = open(api, claim, new).await?;
    let accounts = opened.map_err(|(index, refusal)| refusal.within(&part(index)))?;
    Ok(v1::BatchCreateAccountsResponse { accounts })
}

pub(super) async fn get(
    api: &LedgerApi,
    request: Request<v1::GetAccountRequest>,
) -> Result<v1::GetAccountResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let id = convert::account_id(&request.get_ref().account_id, "accountId")?;
    let account = current(api, merchant, id).await?;
    Ok(v1::GetAccountResponse {
        account: Some(account.ok_or_else(|| errors::unknown_account(id, "accountId"))?),
    })
}

pub(super) async fn lookup(
    api: &LedgerApi,
    request: Request<v1::LookupAccountRequest>,
) -> Result<v1::LookupAccountResponse> {
    let merchant = Call::of(&request)?.caller.merchant;
    let reference = Reference::try_from(request.into_inner().reference).in_field("reference")?;
    let account = match read::account_named(&api.database, merchant, &reference).await? {
        Some(id) => current(api, merchant, id).await?,
        None => None,
    };
    Ok(v1::LookupAccountResponse {
        account: Some(account.ok_or_else(|| errors::unknown_reference(&reference))?),
    })
}

async fn current(api: &LedgerApi, merchant: MerchantId, id: AccountId) -> Result<Option<v1::Account>> {
    let found = read::accounts(&api.database, merchant, &[id], api.ambient.clock.now()).await?;
    let account = found
        .first()
        .map(|(record, epoch)| convert::account(record, *epoch));
    account.transpose()
}

fn new_account(wanted: v1::CreateAccountRequest) -> Result<NewAccount> {
    let account_type = convert::account_type_of(wanted.r#type())?;
    Ok(NewAccount {
        account_type,
        limits: convert::limits(account_type, wanted.min_balance, wanted.max_balance)?,
        asset: AssetCode::try_from(wanted.asset_code).in_field("assetCode")?,
        reference: optional::<Reference>(wanted.reference, "reference")?,
        metadata: Metadata::try_from(wanted.metadata).in_field("metadata")?,
    })
}

/// Opens all, or refuses all for the sake of one.
async fn open(
    api: &LedgerApi,
    claim: Claim,
    new: Vec<NewAccount>,
) -> Result<std::result::Result<Vec<v1::Account>, (usize, Error)>> {
    let merchant = claim.caller.merchant;
    // The answer under the key names what is wrong, and the request, which is the same, where that stands.
    let wanted: Vec<_> = new
        .iter()
        .map(|n| (n.asset.clone(), n.reference.clone()))
        .collect();
    let refused = |refusal: Error, at: Option<usize>| Ok(Err((at.unwrap_or_default(), refusal)));
    match create_accounts(&api.database, &api.ambient, claim, new).await? {
        Answer::Opened(opened) => {
            // Empty, whatever happened since: it is the answer of the first call. Sequence 0 is in every epoch the
            // beginning.
            let accounts = opened
                .iter()
                .map(|one| convert::account(&one.record(merchant), 1));
            Ok(Ok(accounts.collect::<Result<_>>()?))
        }
        Answer::UnknownAsset(unknown) => {
            let at = wanted.iter().position(|(asset, _)| *asset == unknown);
            refused(errors::unknown_asset(&unknown, "assetCode"), at)
        }
        Answer::ReferenceTaken(taken) => {
            let at = wanted
                .iter()
                .position(|(_, reference)| reference.as_ref() == Some(&taken));
            refused(errors::reference_taken(&taken), at)
        }
    }
}

fn part(index: usize) -> String {
    format!("accounts[{index}]")
}
