//! The fleet from outside: a merchant's till, as scenarios use it. It shares nothing with the
//! services but the contract.
//!
//! Start with [`Till`]; `chaos/runner/src/day.rs` is what `cargo xtask up` plays. The local stack is
//! the package `lp-stack` in `stack/`.
//!
//! Invariants and the tests that hold them (`tests/it`):
//! - one trace spans the call, the outbox, Kafka, the consumers and the e-mail: `trace`;
//! - a first earn ends in a balance and an e-mail, also when services are killed on the way: `first_earn`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing};
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{self as ledger, ledger_service_client::LedgerServiceClient},
    notification::v1::notification_service_client::NotificationServiceClient,
    wallet::v1::{self as wallet, wallet_service_client::WalletServiceClient},
};
use lp_types::{Actor, CallerContext, IdempotencyKey, MerchantId, RequestId, time::Ambient};
use serde::Deserialize;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tokens of a client of the fleet's issuer: of `till`, bound to the merchant that it names, or of
/// `operator`. `settings` gives the values of `AUTH_TOKEN_URL` and `CLIENT_SECRET`.
///
/// # Errors
/// When a setting is missing or none.
pub fn tokens(
    settings: impl Fn(&str) -> anyhow::Result<String>,
    client: &str,
    merchant: Option<MerchantId>,
) -> anyhow::Result<TokenSource> {
    let config = lp_config::Client {
        auth_token_url: settings("AUTH_TOKEN_URL")?.parse()?,
        auth_client_id: client.to_owned(),
        auth_client_secret: settings("CLIENT_SECRET")?.into(),
    };
    let merchant = merchant.map(|merchant| merchant.to_string());
    let asked = merchant.as_deref().map(|merchant| ("merchant_id", merchant));
    Ok(TokenSource::asking(config, asked.as_slice(), Ambient::system())?)
}

/// A merchant's till.
#[derive(Debug, Clone)]
pub struct Till {
    /// svc-ledger.
    pub ledger: LedgerServiceClient<Channel>,
    /// svc-wallet.
    pub wallet: WalletServiceClient<Channel>,
    /// svc-notification.
    pub notification: NotificationServiceClient<Channel>,
    ambient: Ambient,
    merchant: MerchantId,
    actor: Actor,
}

impl Till {
    /// The till of a merchant whom nobody has seen before, in the fleet that `settings` names
    /// (`SVC_LEDGER_URL` and so on, and those of [`tokens`]).
    ///
    /// # Errors
    /// When a setting is missing or none.
    pub fn of_new_merchant(settings: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        let ambient = Ambient::system();
        let merchant = MerchantId::from_uuid(ambient.ids.uuid());
        let tokens = tokens(&settings, "till", Some(merchant))?;
        let channel = |name| anyhow::Ok(lp_client::channel(&settings(name)?.parse()?, &tokens)?);
        Ok(Self {
            ledger: LedgerServiceClient::new(channel("SVC_LEDGER_URL")?),
            wallet: WalletServiceClient::new(channel("SVC_WALLET_URL")?),
            notification: NotificationServiceClient::new(channel("SVC_NOTIFICATION_URL")?),
            merchant,
            actor: Actor::try_from("till-1".to_owned())?,
            ambient,
        })
    }

    /// The merchant.
    pub fn merchant(&self) -> MerchantId {
        self.merchant
    }

    /// A name that was never given before.
    pub fn new_name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.ambient.ids.uuid().simple())
    }

    /// `message` as a request of this till; a write gets a key of its own.
    ///
    /// # Errors
    /// Never in practice: the key is well formed.
    pub fn request<M>(&self, message: M) -> anyhow::Result<tonic::Request<M>> {
        let key = IdempotencyKey::try_from(self.new_name("till"))?;
        let caller = CallerContext {
            merchant: self.merchant,
            actor: self.actor.clone(),
            request: RequestId::from_uuid(self.ambient.ids.uuid()),
        };
        let deadline = Instant::now().checked_add(PATIENCE).context("a deadline")?;
        Ok(Outgoing {
            caller: &caller,
            deadline,
            key: Some(&key),
        }
        .request(message))
    }

    /// Creates the points `code` of the merchant's programme.
    ///
    /// # Errors
    /// When the ledger refuses.
    pub async fn create_points(&self, code: &str) -> anyhow::Result<ledger::Asset> {
        let wanted = ledger::CreateAssetRequest {
            code: code.to_owned(),
            kind: ledger::AssetKind::Points.into(),
            exponent: 0,
        };
        let answer = self
            .ledger
            .clone()
            .create_asset(self.request(wanted)?)
            .await?
            .into_inner();
        answer.asset.context("an answer without asset")
    }

    /// Opens a wallet of a new customer.
    ///
    /// # Errors
    /// When svc-wallet refuses.
    pub async fn open_wallet(
        &self,
        asset: &str,
        email: &str,
        language: &str,
    ) -> anyhow::Result<wallet::Wallet> {
        let wanted = wallet::CreateWalletRequest {
            customer_reference: self.new_name("customer"),
            asset_code: asset.to_owned(),
            contact: Some(wallet::Contact {
                email: email.to_owned(),
                language: language.to_owned(),
                messages_allowed: true,
            }),
        };
        let answer = self
            .wallet
            .clone()
            .create_wallet(self.request(wanted)?)
            .await?
            .into_inner();
        answer.wallet.context("an answer without wallet")
    }

    /// Gives points.
    ///
    /// # Errors
    /// When the ledger refuses.
    pub async fn earn(
        &self,
        account: &str,
        points: i64,
        asset: &str,
    ) -> anyhow::Result<ledger::EarnResponse> {
        let wanted = ledger::EarnRequest {
            account_id: account.to_owned(),
            amount: Some(Money {
                minor_units: points,
                asset_code: asset.to_owned(),
            }),
            reference: self.new_name("earn"),
            ..Default::default()
        };
        Ok(self
            .ledger
            .clone()
            .earn(self.request(wanted)?)
            .await?
            .into_inner())
    }

    /// Takes points.
    ///
    /// # Errors
    /// When the ledger refuses.
    pub async fn burn(
        &self,
        account: &str,
        points: i64,
        asset: &str,
    ) -> anyhow::Result<ledger::BurnResponse> {
        let wanted = ledger::BurnRequest {
            account_id: account.to_owned(),
            amount: Some(Money {
                minor_units: points,
                asset_code: asset.to_owned(),
            }),
            reference: self.new_name("burn"),
            ..Default::default()
        };
        Ok(self
            .ledger
            .clone()
            .burn(self.request(wanted)?)
            .await?
            .into_inner())
    }

    /// Reads a wallet's balance, never older than `token` (empty: a little old will do).
    ///
    /// # Errors
    /// When svc-wallet refuses.
    pub async fn balance(&self, wallet_id: &str, token: &str) -> anyhow::Result<wallet::GetBalanceResponse> {
        let wanted = wallet::GetBalanceRequest {
            wallet_id: wallet_id.to_owned(),
            consistency_token: token.to_owned(),
        };
        Ok(self
            .wallet
            .clone()
            .get_balance(self.request(wanted)?)
            .await?
            .into_inner())
    }
}

/// A message that the mail catcher holds.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// Its subject.
    pub subject: String,
    to: Vec<Address>,
}

#[derive(Debug, Clone, Deserialize)]
struct Address {
    address: String,
}

/// Waits until `count` messages to `address` have arrived.
///
/// # Errors
/// When they have not after 20 seconds, or the catcher does not answer.
pub async fn mails(api_url: &str, address: &str, count: usize) -> anyhow::Result<Vec<Mail>> {
    let wait = async {
        loop {
            let all: Vec<Mail> = reqwest::get(format!("{api_url}/email")).await?.json().await?;
            let to = |mail: &Mail| mail.to.iter().any(|a| a.address.eq_ignore_ascii_case(address));
            let mine: Vec<Mail> = all.into_iter().filter(to).collect();
            if mine.len() >= count {
                return anyhow::Ok(mine);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), wait).await;
    outcome.with_context(|| format!("{count} e-mails had not arrived after 20 s"))?
}
