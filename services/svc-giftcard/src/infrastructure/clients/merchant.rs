//! svc-merchant, as far as this service calls it.

use lp_auth::TokenSource;
use lp_client::{Asking, Channel, failed, reason};
use lp_contracts::merchant::v1::{
    ErrorReason, GetMerchantRequest, MerchantState, merchant_service_client::MerchantServiceClient,
};
use lp_error::{Error, Result};
use lp_types::{AccountId, AssetCode};
use url::Url;

const SERVICE: &str = "svc-merchant";

/// A merchant that trades, or that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// True while it trades.
    pub active: bool,
    /// What it trades in.
    pub currency: AssetCode,
    /// Money that its till takes.
    pub external: AccountId,
    /// What it sold.
    pub sales: AccountId,
}

/// A client of svc-merchant.
#[derive(Debug, Clone)]
pub struct Merchants {
    client: MerchantServiceClient<Channel>,
}

impl Merchants {
    /// At `url`, called with `tokens`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one that gRPC can use.
    pub fn new(url: &Url, tokens: &TokenSource) -> anyhow::Result<Self> {
        Ok(Self {
            client: MerchantServiceClient::new(lp_client::channel(url, tokens)?),
        })
    }

    /// The caller's merchant; none where it was never active. Nothing is kept: a suspension counts at once.
    ///
    /// # Errors
    /// When svc-merchant cannot be asked.
    pub async fn get(&self, asking: Asking<'_>) -> Result<Option<Merchant>> {
        let outgoing = asking.outgoing(None);
        let call = || async {
            let request = outgoing.request(GetMerchantRequest {});
            self.client.clone().get_merchant(request).await
        };
        let merchant = match outgoing.retrying(call).await {
            Ok(answer) => answer.into_inner().merchant.unwrap_or_default(),
            Err(status) if reason(&status) == ErrorReason::UnknownMerchant.reason() => return Ok(None),
            Err(status) => return Err(failed(SERVICE, status)),
        };
        let active = merchant.state() == MerchantState::Active;
        let Some(accounts) = merchant.accounts else {
            return Ok(None);
        };
        Ok(Some(Merchant {
            active,
            currency: AssetCode::try_from(merchant.currency_code).map_err(Error::internal)?,
            external: accounts.external_account_id.parse().map_err(Error::internal)?,
            sales: accounts.sales_account_id.parse().map_err(Error::internal)?,
        }))
    }
}
