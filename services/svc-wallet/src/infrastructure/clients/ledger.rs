//! svc-ledger, as far as this service calls it.

use std::time::Instant;

use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing, failed, reason};
use lp_contracts::{
    ledger::v1::{
        AccountType, CreateAccountRequest, ErrorReason, GetBalanceRequest,
        ledger_service_client::LedgerServiceClient,
    },
    time::from_wire,
    token::ConsistencyToken,
};
use lp_error::{Error, Result};
use lp_types::{AccountId, AssetCode, CallerContext, IdempotencyKey, WalletId};
use url::Url;

use crate::infrastructure::postgres::snapshots::WalletBalance;

const SERVICE: &str = "svc-ledger";

/// A client of svc-ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: LedgerServiceClient<Channel>,
}

/// What became of an account that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Opened(AccountId),
    /// The ledger does not know the asset.
    UnknownAsset,
}

impl Ledger {
    /// At `url`, called with `tokens`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one that gRPC can use.
    pub fn new(url: &Url, tokens: &TokenSource) -> anyhow::Result<Self> {
        Ok(Self {
            client: LedgerServiceClient::new(lp_client::channel(url, tokens)?),
        })
    }

    /// Opens the account of a wallet, or finds the one that was opened for it.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn open_account(
        &self,
        caller: &CallerContext,
        deadline: Instant,
        wallet: WalletId,
        asset: &AssetCode,
    ) -> Result<Opening> {
        // Made of the saga's id and its step, so that however often the step runs there is one account.
        let key = IdempotencyKey::try_from(format!("{wallet}:open-account")).map_err(Error::internal)?;
        let outgoing = Outgoing {
            caller,
            deadline,
            key: Some(&key),
        };
        let call = || async {
            let request = CreateAccountRequest {
                asset_code: asset.to_string(),
                r#type: AccountType::Customer.into(),
                ..CreateAccountRequest::default()
            };
            self.client
                .clone()
                .create_account(outgoing.request(request))
                .await
        };
        match outgoing.retrying(call).await {
            Ok(answer) => {
                let id = answer
                    .into_inner()
                    .account
                    .map(|account| account.account_id)
                    .unwrap_or_default();
                Ok(Opening::Opened(id.parse().map_err(Error::internal)?))
            }
            Err(status) if reason(&status) == ErrorReason::UnknownAsset.reason() => Ok(Opening::UnknownAsset),
            Err(status) => Err(failed(SERVICE, status)),
        }
    }

    /// What stands in the ledger now, as `known` with its numbers replaced.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn balance(
        &self,
        caller: &CallerContext,
        deadline: Instant,
        account: AccountId,
        known: WalletBalance,
    ) -> Result<WalletBalance> {
        let outgoing = Outgoing {
            caller,
            deadline,
            key: None,
        };
        let call = || async {
            let request = GetBalanceRequest {
                account_id: account.to_string(),
                ..Default::default()
            };
            self.client.clone().get_balance(outgoing.request(request)).await
        };
        let answer = outgoing
            .retrying(call)
            .await
            .map_err(|status| failed(SERVICE, status))?
            .into_inner();
        let balance = answer
            .balance
            .ok_or_else(|| Error::internal("an answer without balance"))?;
        let token = ConsistencyToken::decode(&balance.consistency_token).map_err(Error::internal)?;
        Ok(WalletBalance {
            balance: balance.balance.map(|money| money.minor_units).unwrap_or_default(),
            epoch: token.epoch,
            sequence: balance.sequence,
            posted_at: balance.posted_at.as_ref().and_then(from_wire),
            ..known
        })
    }
}
