//! svc-wallet, as far as this service calls it.

use lp_auth::TokenSource;
use lp_client::{Asking, Channel, failed, reason};
use lp_contracts::wallet::v1::{
    ErrorReason, GetWalletRequest, WalletStatus, wallet_service_client::WalletServiceClient,
};
use lp_error::{Error, Result};
use lp_types::{AccountId, AssetCode, WalletId};
use url::Url;

const SERVICE: &str = "svc-wallet";

/// A client of svc-wallet.
#[derive(Debug, Clone)]
pub struct Wallets {
    client: WalletServiceClient<Channel>,
}

impl Wallets {
    /// At `url`, called with `tokens`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one that gRPC can use.
    pub fn new(url: &Url, tokens: &TokenSource) -> anyhow::Result<Self> {
        Ok(Self {
            client: WalletServiceClient::new(lp_client::channel(url, tokens)?),
        })
    }

    /// The ledger account of a wallet; none when the merchant has no such wallet of `asset`.
    ///
    /// # Errors
    /// When svc-wallet cannot be asked, or is still opening the wallet.
    pub async fn account(
        &self,
        asking: Asking<'_>,
        wallet: WalletId,
        asset: &AssetCode,
    ) -> Result<Option<AccountId>> {
        let outgoing = asking.outgoing(None);
        let call = || async {
            let request = GetWalletRequest {
                wallet_id: wallet.to_string(),
            };
            self.client.clone().get_wallet(outgoing.request(request)).await
        };
        let found = match outgoing.retrying(call).await {
            Ok(answer) => answer.into_inner().wallet.unwrap_or_default(),
            Err(status) if reason(&status) == ErrorReason::UnknownWallet.reason() => return Ok(None),
            Err(status) => return Err(failed(SERVICE, status)),
        };
        if found.asset_code != asset.as_str() {
            return Ok(None);
        }
        if found.status() == WalletStatus::Opening {
            return Err(Error::unavailable("the wallet's account").with_internal("it is being opened"));
        }
        found.account_id.parse().map(Some).map_err(Error::internal)
    }
}
