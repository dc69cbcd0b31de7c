//! Opens a wallet: a write of two steps with a call to the ledger between them.
//!
//! The first step commits the wallet as OPENING under the claimed key, the second gives it the account that
//! the ledger opened and the customer their contact, or removes what the first one inserted. Both lock the
//! customer before the wallet. Whoever comes again after a crash, with the same key or another, goes on from where
//! the wallet stands; the ledger's key is made of the wallet's id, so that there is one account.

use std::time::Instant;

use lp_pg::{
    Database,
    idempotency::{Claim, FirstTime, Once, begin_once},
};
use lp_types::{AssetCode, CustomerId, Reference, WalletId, time::Ambient};
use serde::{Deserialize, Serialize};

use crate::infrastructure::{
    clients::ledger::{Ledger, Opening},
    postgres::{
        customers::{self, Contact},
        wallets::{self, Wallet},
    },
};

/// What is to be opened.
#[derive(Debug, Clone)]
pub struct NewWallet {
    /// The merchant's own name for the customer.
    pub customer_reference: Reference,
    /// What it will hold.
    pub asset: AssetCode,
    /// How to reach the customer.
    pub contact: Contact,
}

/// What became of it; stored under the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is active.
    Opened(Wallet),
    /// The customer has one of this asset.
    Exists(WalletId),
    /// The ledger does not know the asset.
    UnknownAsset(AssetCode),
}

/// Opens it once.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED; or the database or the ledger is away: then the same call goes on later.
pub async fn create_wallet(
    database: &Database,
    ambient: &Ambient,
    ledger: &Ledger,
    claim: Claim,
    deadline: Instant,
    new: NewWallet,
) -> lp_error::Result<Answer> {
    let opening = match begin_once(database, claim.clone()).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => match begin(database, ambient, &claim, first, &new).await? {
            Begun::Ended(answer) => return Ok(answer),
            Begun::Opening(wallet) => wallet,
        },
    };
    let account = ledger
        .open_account(&claim.caller, deadline, opening.id, &opening.asset)
        .await?;
    finish(database, ambient, claim, opening, account, &new.contact).await
}

enum Begun {
    Ended(Answer),
    Opening(Wallet),
}

/// The first step: the customer, and a wallet that is being opened.
async fn begin(
    database: &Database,
    ambient: &Ambient,
    claim: &Claim,
    mut first: FirstTime,
    new: &NewWallet,
) -> lp_error::Result<Begun> {
    let caller = &claim.caller;
    let now = ambient.clock.now();
    let new_customer = CustomerId::from_uuid(ambient.ids.uuid());
    let customer = customers::find_or_insert(
        &mut first.work,
        caller,
        new_customer,
        &new.customer_reference,
        &new.contact,
        now,
    )
    .await?;
    let id = WalletId::from_uuid(ambient.ids.uuid());
    let ours = wallets::insert_opening(&mut first.work, caller, id, customer, &new.asset, now).await?;
    let standing = wallets::of_customer(&mut first.work, caller.merchant, customer, &new.asset).await?;
    let wallet = standing.ok_or_else(|| lp_error::Error::internal("the wallet vanished"))?;
    if wallet.account.is_some() && !ours && !first.resumed {
        let answer = first.refuse(database, Answer::Exists(wallet.id)).await?;
        return Ok(Begun::Ended(answer));
    }
    first.pause().await?;
    Ok(Begun::Opening(wallet))
}

/// The second step: the account and the contact, and the answer.
async fn finish(
    database: &Database,
    ambient: &Ambient,
    claim: Claim,
    wallet: Wallet,
    opening: Opening,
    contact: &Contact,
) -> lp_error::Result<Answer> {
    let caller = claim.caller.clone();
    let mut first = match begin_once(database, claim).await? {
        Once::Again(answer) => return Ok(answer),
        Once::FirstTime(first) => first,
    };
    let answer = match opening {
        Opening::Opened(account) => {
            let now = ambient.clock.now();
            customers::set_contact(&mut first.work, &caller, wallet.customer, contact, now).await?;
            wallets::activate(&mut first.work, wallet.id, account).await?;
            Answer::Opened(Wallet {
                account: Some(account),
                ..wallet
            })
        }
        Opening::UnknownAsset => {
            customers::lock(&mut first.work, wallet.customer).await?;
            wallets::remove_opening(&mut first.work, wallet.id).await?;
            customers::remove_without_wallets(&mut first.work, wallet.customer).await?;
            Answer::UnknownAsset(wallet.asset)
        }
    };
    first.finish(&answer).await?;
    Ok(answer)
}
