//! svc-wallet, as far as this service calls it.

use std::time::{Duration, Instant};

use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing};
use lp_contracts::wallet::v1::{GetContactRequest, wallet_service_client::WalletServiceClient};
use lp_types::{AccountId, Actor, CallerContext, MerchantId, RequestId, time::Ambient};
use tonic::Code;
use tracing::Instrument as _;
use url::Url;

use crate::{domain::notification::Language, infrastructure::mail::EmailAddress};

/// Longest wait for a contact.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client of svc-wallet.
#[derive(Debug, Clone)]
pub struct Wallet {
    client: WalletServiceClient<Channel>,
    actor: Actor,
    ambient: Ambient,
}

/// How to reach a customer. Never kept.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Where to; none when there is none, or none that e-mail can be sent to.
    pub address: Option<EmailAddress>,
    /// In which language.
    pub language: Language,
    /// Whether the customer agreed.
    pub messages_allowed: bool,
}

impl Wallet {
    /// At `url`, called with `tokens` as `service`; connects on first use.
    ///
    /// # Errors
    /// When the URL is not one that gRPC can use.
    pub fn new(url: &Url, tokens: &TokenSource, service: &str, ambient: Ambient) -> anyhow::Result<Self> {
        Ok(Self {
            client: WalletServiceClient::new(lp_client::channel(url, tokens)?),
            actor: Actor::try_from(service.to_owned())?,
            ambient,
        })
    }

    /// How to reach the customer who holds `account`; `None` when svc-wallet knows of none.
    ///
    /// # Errors
    /// The code, when svc-wallet cannot tell. Its message stays unread: it might hold what we may not keep.
    pub async fn contact(&self, merchant: MerchantId, account: AccountId) -> Result<Option<Contact>, Code> {
        let caller = CallerContext {
            merchant,
            actor: self.actor.clone(),
            request: RequestId::from_uuid(self.ambient.ids.uuid()),
        };
        let deadline = Instant::now().checked_add(PATIENCE).unwrap_or_else(Instant::now);
        let outgoing = Outgoing {
            caller: &caller,
            deadline,
            key: None,
        };
        let call = || async {
            let request = GetContactRequest {
                account_id: account.to_string(),
            };
            self.client.clone().get_contact(outgoing.request(request)).await
        };
        let span = tracing::info_span!(
            "contact",
            otel.name = "WalletService/GetContact",
            otel.kind = "client"
        );
        let contact = match outgoing.retrying(call).instrument(span).await {
            Ok(answer) => answer.into_inner().contact.unwrap_or_default(),
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(status.code()),
        };
        Ok(Some(Contact {
            address: contact.email.parse().ok(),
            language: Language::of(&contact.language),
            messages_allowed: contact.messages_allowed,
        }))
    }
}
