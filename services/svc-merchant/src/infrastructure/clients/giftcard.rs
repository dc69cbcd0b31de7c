//! svc-giftcard, as far as this service calls it.

use std::fmt;

use lp_auth::TokenSource;
use lp_client::{Asking, Channel, failed, reason};
use lp_contracts::giftcard::v1::{
    AuthorizeRedemptionRequest, ErrorReason, gift_card_service_client::GiftCardServiceClient,
};
use lp_error::{Error, Result};
use lp_types::{AccountId, AssetCode};
use tonic::Code;
use url::Url;

const SERVICE: &str = "svc-giftcard";

/// What opens a card. It is handed on and never kept: it neither prints nor serialises.
#[derive(Clone, PartialEq, Eq)]
pub struct CardSecret {
    /// The code as it is printed.
    pub code: String,
    /// The PIN; empty where the card has none.
    pub pin: String,
}

impl fmt::Debug for CardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardSecret")
    }
}

/// A client of svc-giftcard.
#[derive(Debug, Clone)]
pub struct Cards {
    client: GiftCardServiceClient<Channel>,
}

impl Cards {
    /// At `url`, called with `tokens`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one that gRPC can use.
    pub fn new(url: &Url, tokens: &TokenSource) -> anyhow::Result<Self> {
        Ok(Self {
            client: GiftCardServiceClient::new(lp_client::channel(url, tokens)?),
        })
    }

    /// The ledger account of the card that `secret` opens; none when it opens none of `currency`, whatever is
    /// wrong with it.
    ///
    /// # Errors
    /// When svc-giftcard cannot be asked.
    pub async fn account(
        &self,
        asking: Asking<'_>,
        secret: &CardSecret,
        currency: &AssetCode,
    ) -> Result<Option<AccountId>> {
        let outgoing = asking.outgoing(None);
        let call = || async {
            let request = AuthorizeRedemptionRequest {
                code: secret.code.clone(),
                pin: secret.pin.clone(),
            };
            self.client
                .clone()
                .authorize_redemption(outgoing.request(request))
                .await
        };
        let card = match outgoing.retrying(call).await {
            Ok(answer) => answer.into_inner(),
            Err(status)
                if reason(&status) == ErrorReason::CardRefused.reason()
                    || status.code() == Code::InvalidArgument =>
            {
                return Ok(None);
            }
            Err(status) => return Err(failed(SERVICE, status)),
        };
        let holds = card.balance.map(|money| money.asset_code).unwrap_or_default();
        if holds != currency.as_str() {
            return Ok(None);
        }
        card.account_id.parse().map(Some).map_err(Error::internal)
    }
}
