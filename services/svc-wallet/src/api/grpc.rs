//! The rpcs of `WalletService`.

use std::sync::Arc;

use lp_chassis::{
    Call,
    call::{claim, optional},
    page::Page,
};
use lp_contracts::{
    token::ConsistencyToken,
    wallet::v1::{self, wallet_service_server::WalletService},
};
use lp_error::{Error, InField};
use lp_pg::Database;
use lp_types::{AccountId, AssetCode, Reference, WalletId, time::Ambient};
use tonic::{Request, Response, Status};

use super::{convert, errors};
use crate::{
    application::{
        create_wallet::{Answer, NewWallet, create_wallet},
        get_balance::Balances,
    },
    infrastructure::{
        balance_cache::BalanceCache,
        clients::ledger::Ledger,
        postgres::{customers, wallets},
    },
};

/// The handlers.
#[derive(Debug)]
pub struct WalletApi {
    database: Database,
    ambient: Ambient,
    ledger: Ledger,
    balances: Balances,
}

impl WalletApi {
    /// Keeps wallets in `database`, opens accounts at `ledger`, reads balances through `cache`.
    pub fn new(database: Database, ambient: Ambient, ledger: Ledger, cache: Arc<BalanceCache>) -> Self {
        let balances = Balances::new(database.clone(), ledger.clone(), cache);
        Self {
            database,
            ambient,
            ledger,
            balances,
        }
    }
}

#[tonic::async_trait]
impl WalletService for WalletApi {
    async fn create_wallet(
        &self,
        request: Request<v1::CreateWalletRequest>,
    ) -> Result<Response<v1::CreateWalletResponse>, Status> {
        let claim = claim(&request, "CreateWallet", self.ambient.clock.now())?;
        let deadline = Call::of(&request)?.deadline;
        let wanted = request.into_inner();
        let new = NewWallet {
            customer_reference: Reference::try_from(wanted.customer_reference)
                .in_field("customerReference")?,
            asset: AssetCode::try_from(wanted.asset_code).in_field("assetCode")?,
            contact: convert::contact(wanted.contact)?,
        };
        match create_wallet(&self.database, &self.ambient, &self.ledger, claim, deadline, new).await? {
            Answer::Opened(wallet) => Ok(Response::new(v1::CreateWalletResponse {
                wallet: Some(convert::wallet(&wallet)),
            })),
            Answer::Exists(wallet) => Err(errors::wallet_exists(wallet).into()),
            Answer::UnknownAsset(asset) => Err(errors::unknown_asset(&asset).into()),
        }
    }

    async fn get_wallet(
        &self,
        request: Request<v1::GetWalletRequest>,
    ) -> Result<Response<v1::GetWalletResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let id: WalletId = request.get_ref().wallet_id.parse().in_field("walletId")?;
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let found = wallets::find(&mut connection, merchant, id)
            .await
            .map_err(Error::from)?;
        let wallet = found.ok_or_else(|| errors::unknown_wallet(id))?;
        Ok(Response::new(v1::GetWalletResponse {
            wallet: Some(convert::wallet(&wallet)),
        }))
    }

    async fn list_wallets(
        &self,
        request: Request<v1::ListWalletsRequest>,
    ) -> Result<Response<v1::ListWalletsResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListWallets", &wanted)?;
        let reference = optional::<Reference>(wanted.customer_reference, "customerReference")?;
        let before = page.cursor()?;
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let found = wallets::list(
            &mut connection,
            merchant,
            reference.as_ref(),
            before,
            page.limit(),
        )
        .await;
        let mut rows = found.map_err(Error::from)?;
        let next = page.close(&mut rows, |wallet| wallet.id.to_string());
        Ok(Response::new(v1::ListWalletsResponse {
            wallets: rows.iter().map(convert::wallet).collect(),
            page: Some(next),
        }))
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        let call = Call::of(&request)?;
        let v1::GetBalanceRequest {
            wallet_id,
            consistency_token,
        } = request.into_inner();
        let id: WalletId = wallet_id.parse().in_field("walletId")?;
        let token = Some(consistency_token).filter(|token| !token.is_empty());
        let token = token
            .map(|t| ConsistencyToken::decode(&t).in_field("consistencyToken"))
            .transpose()?;
        let reading = self.balances.get(&call, id, token).await?;
        let reading = reading.map_err(|why| errors::no_balance(&why, id))?;
        Ok(Response::new(convert::reading(&reading)))
    }

    async fn get_contact(
        &self,
        request: Request<v1::GetContactRequest>,
    ) -> Result<Response<v1::GetContactResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let account: AccountId = request.get_ref().account_id.parse().in_field("accountId")?;
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let found = customers::of_account(&mut connection, merchant, account)
            .await
            .map_err(Error::from)?;
        let (customer, contact) =
            found.ok_or_else(|| Error::not_found(format!("the holder of {account}")))?;
        Ok(Response::new(v1::GetContactResponse {
            customer_id: customer.to_string(),
            contact: Some(convert::wire_contact(contact)),
        }))
    }
}
