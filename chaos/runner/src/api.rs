//! The public API, as the history tells of it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use backon::{ConstantBuilder, Retryable as _};
use history_checker::{Balance, Entry, Kind, Line, Notification, Outcome, Post, Side, Transaction};
use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing};
use lp_contracts::{
    analytics::v1::analytics_service_client::AnalyticsServiceClient,
    giftcard::v1::gift_card_service_client::GiftCardServiceClient,
    ledger::v1::{self as ledger, ledger_service_client::LedgerServiceClient},
    merchant::v1::merchant_service_client::MerchantServiceClient,
    notification::v1::{self as notification, notification_service_client::NotificationServiceClient},
    token::ConsistencyToken,
    wallet::v1::{self as wallet, wallet_service_client::WalletServiceClient},
};
use lp_types::{Actor, CallerContext, IdempotencyKey, MerchantId, RequestId, time::Ambient};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::wire::{
    balance_of, entry_of, first_page, money, new_entry, next_page, outcome_of, token, transaction_of,
};

/// The points of every merchant.
pub(crate) const POINTS: &str = "PTS";
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services' clients.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) ledger: LedgerServiceClient<Channel>,
    pub(crate) wallet: WalletServiceClient<Channel>,
    pub(crate) notification: NotificationServiceClient<Channel>,
    pub(crate) merchant: MerchantServiceClient<Channel>,
    pub(crate) giftcard: GiftCardServiceClient<Channel>,
    pub(crate) analytics: AnalyticsServiceClient<Channel>,
    actor: Actor,
    requests: AtomicU64,
}

/// A position that a read may ask for, as the ledger handed it out.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) account: String,
    pub(crate) sequence: i64,
    pub(crate) text: String,
}

impl Token {
    /// As an answer gave it; none where it gave none.
    pub(crate) fn read(account: &str, text: String) -> Option<Self> {
        let sequence = ConsistencyToken::decode(&text).ok()?.sequence;
        let account = account.to_owned();
        Some(Self {
            account,
            sequence,
            text,
        })
    }
}

impl Api {
    /// Of the fleet with these settings, as the platform's operator: one token for all merchants, which is renewed
    /// aside before it expires.
    pub(crate) fn new(settings: &[(String, String)]) -> anyhow::Result<Self> {
        Self::of_client(settings, "operator", "chaos", &[])
    }

    /// Of the fleet with these settings, as a merchant's own till, whose token is bound to the merchant.
    pub(crate) fn of_till(settings: &[(String, String)], merchant: MerchantId) -> anyhow::Result<Self> {
        let merchant = merchant.to_string();
        Self::of_client(settings, "till", "till-1", &[("merchant_id", &merchant)])
    }

    fn of_client(
        settings: &[(String, String)],
        client: &str,
        actor: &str,
        asked: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let setting = |name: &str| {
            let found = settings.iter().find(|(known, _)| known == name);
            found
                .map(|(_, value)| value.clone())
                .with_context(|| format!("no {name}"))
        };
        let config = lp_config::Client {
            auth_token_url: setting("AUTH_TOKEN_URL")?.parse()?,
            auth_client_id: client.to_owned(),
            auth_client_secret: setting("CLIENT_SECRET")?.into(),
        };
        let tokens = TokenSource::asking(config, asked, Ambient::system())?;
        let channel = |name| anyhow::Ok(lp_client::channel(&setting(name)?.parse()?, &tokens)?);
        Ok(Self {
            ledger: LedgerServiceClient::new(channel("SVC_LEDGER_URL")?),
            wallet: WalletServiceClient::new(channel("SVC_WALLET_URL")?),
            notification: NotificationServiceClient::new(channel("SVC_NOTIFICATION_URL")?),
            merchant: MerchantServiceClient::new(channel("SVC_MERCHANT_URL")?),
            giftcard: GiftCardServiceClient::new(channel("SVC_GIFTCARD_URL")?),
            analytics: AnalyticsServiceClient::new(channel("SVC_ANALYTICS_URL")?),
            actor: Actor::try_from(actor.to_owned())?,
            requests: AtomicU64::new(1),
        })
    }

    /// `message` as a request of `merchant`; with `key`, unless that is empty.
    pub(crate) fn request<M>(
        &self,
        merchant: MerchantId,
        key: &str,
        message: M,
    ) -> anyhow::Result<tonic::Request<M>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let caller = CallerContext {
            merchant,
            actor: self.actor.clone(),
            request: RequestId::from_uuid(Uuid::from_u128(number.into())),
        };
        let key = Some(key)
            .filter(|key| !key.is_empty())
            .map(|key| IdempotencyKey::try_from(key.to_owned()));
        let key = key.transpose()?;
        let deadline = Instant::now().checked_add(PATIENCE).context("a deadline")?;
        Ok(Outgoing {
            caller: &caller,
            deadline,
            key: key.as_ref(),
        }
        .request(message))
    }

    /// Posts, once. The tokens are those of the answer.
    pub(crate) async fn post(&self, merchant: MerchantId, key: &str, post: &Post) -> (Outcome, Vec<Token>) {
        match self.try_post(merchant, key, post).await {
            Ok((transaction, balances)) => {
                let tokens = balances.iter().map(token).collect();
                let read = transaction_of(merchant, transaction)
                    .and_then(|t| Ok((t, balances.iter().map(balance_of).collect::<anyhow::Result<_>>()?)));
                match read {
                    Ok((transaction, balances)) => (
                        Outcome::Posted {
                            transaction,
                            balances,
                            holds: Vec::new(),
                        },
                        tokens,
                    ),
                    Err(error) => (Outcome::Unknown(format!("{error:#}")), Vec::new()),
                }
            }
            Err(status) => (outcome_of(&status), Vec::new()),
        }
    }

    async fn try_post(
        &self,
        merchant: MerchantId,
        key: &str,
        post: &Post,
    ) -> Result<(Option<ledger::Transaction>, Vec<ledger::Balance>), Status> {
        let mut client = self.ledger.clone();
        let reference = post.reference.clone();
        // The line of the customer: Earn credits it, Burn debits it.
        let customer = |side| post.lines.iter().find(|line| line.side == side).cloned();
        let malformed = |error: anyhow::Error| Status::invalid_argument(error.to_string());
        let missing = || Status::invalid_argument("no line of a customer");
        match post.kind {
            Kind::Earn => {
                let Line { account, amount, .. } = customer(Side::Credit).ok_or_else(missing)?;
                let message = ledger::EarnRequest {
                    account_id: account,
                    amount: money(amount, POINTS),
                    reference,
                    ..Default::default()
                };
                let request = self.request(merchant, key, message).map_err(malformed)?;
                let answer = client.earn(request).await?.into_inner();
                Ok((answer.transaction, answer.balance.into_iter().collect()))
            }
            Kind::Burn => {
                let Line { account, amount, .. } = customer(Side::Debit).ok_or_else(missing)?;
                let message = ledger::BurnRequest {
                    account_id: account,
                    amount: money(amount, POINTS),
                    reference,
                    ..Default::default()
                };
                let request = self.request(merchant, key, message).map_err(malformed)?;
                let answer = client.burn(request).await?.into_inner();
                Ok((answer.transaction, answer.balance.into_iter().collect()))
            }
            Kind::Capture | Kind::Reversal => Err(Status::invalid_argument("no list of entries")),
            Kind::General => {
                let entries = post.lines.iter().map(|line| new_entry(line, POINTS)).collect();
                let mut message = ledger::CreateTransactionRequest::default();
                (message.entries, message.reference) = (entries, reference);
                let request = self.request(merchant, key, message).map_err(malformed)?;
                let answer = client.create_transaction(request).await?.into_inner();
                Ok((answer.transaction, answer.balances))
            }
        }
    }

    /// The balance of an account, from the ledger.
    pub(crate) async fn ledger_balance(
        &self,
        merchant: MerchantId,
        account: &str,
    ) -> Result<Balance, Status> {
        let message = ledger::GetBalanceRequest {
            account_id: account.to_owned(),
            ..Default::default()
        };
        let request = self
            .request(merchant, "", message)
            .map_err(|error| Status::internal(error.to_string()))?;
        let answer = self.ledger.clone().get_balance(request).await?.into_inner();
        let balance = answer.balance.as_ref().map(balance_of).transpose();
        balance
            .ok()
            .flatten()
            .ok_or_else(|| Status::internal("an answer without balance"))
    }

    /// The balance of the wallet that stands for `account`.
    pub(crate) async fn wallet_balance(
        &self,
        merchant: MerchantId,
        wallet_id: &str,
        account: &str,
        token: Option<&Token>,
    ) -> Result<Balance, Status> {
        let message = wallet::GetBalanceRequest {
            wallet_id: wallet_id.to_owned(),
            consistency_token: token.map(|token| token.text.clone()).unwrap_or_default(),
        };
        let request = self
            .request(merchant, "", message)
            .map_err(|error| Status::internal(error.to_string()))?;
        let answer = self.wallet.clone().get_balance(request).await?.into_inner();
        let held = answer
            .balance
            .ok_or_else(|| Status::internal("an answer without balance"))?;
        Ok(Balance {
            account: account.to_owned(),
            balance: held.minor_units,
            sequence: answer.sequence,
            available: None,
        })
    }

    /// All transactions of a merchant.
    pub(crate) async fn transactions(&self, merchant: MerchantId) -> anyhow::Result<Vec<Transaction>> {
        let (mut all, mut page) = (Vec::new(), Some(first_page()));
        while page.is_some() {
            let message = ledger::ListTransactionsRequest {
                page,
                ..Default::default()
            };
            let request = self.request(merchant, "", message)?;
            let answer = self.ledger.clone().list_transactions(request).await?.into_inner();
            for one in answer.transactions {
                all.push(transaction_of(merchant, Some(one))?);
            }
            page = next_page(answer.page);
        }
        Ok(all)
    }

    /// All entries of an account.
    pub(crate) async fn entries(&self, merchant: MerchantId, account: &str) -> anyhow::Result<Vec<Entry>> {
        let (mut all, mut page) = (Vec::new(), Some(first_page()));
        while page.is_some() {
            let message = ledger::ListEntriesRequest {
                account_id: account.to_owned(),
                page,
            };
            let request = self.request(merchant, "", message)?;
            let answer = self.ledger.clone().list_entries(request).await?.into_inner();
            for one in answer.entries {
                all.push(entry_of(one)?);
            }
            page = next_page(answer.page);
        }
        Ok(all)
    }

    /// All notifications of a merchant.
    pub(crate) async fn notifications(&self, merchant: MerchantId) -> anyhow::Result<Vec<Notification>> {
        let (mut all, mut page) = (Vec::new(), Some(first_page()));
        while page.is_some() {
            let message = notification::ListNotificationsRequest {
                page,
                ..Default::default()
            };
            let request = self.request(merchant, "", message)?;
            let answer = self
                .notification
                .clone()
                .list_notifications(request)
                .await?
                .into_inner();
            all.extend(answer.notifications.into_iter().map(|one| {
                Notification {
                    status: one
                        .status()
                        .as_str_name()
                        .trim_start_matches("NOTIFICATION_STATUS_")
                        .to_owned(),
                    id: one.notification_id,
                    transaction: one.transaction_id,
                    account: one.account_id,
                }
            }));
            page = next_page(answer.page);
        }
        Ok(all)
    }
}

/// Where a merchant is: in one of three places, of which one or another begins its next day early.
pub(crate) fn time_zone(merchant: MerchantId) -> &'static str {
    match merchant.uuid().as_u128() % 3 {
        0 => "Europe/Paris",
        1 => "Pacific/Auckland",
        _ => "America/Los_Angeles",
    }
}

/// Does what is safe to do again until the fleet is reached: a network lets a pod through only a moment after it has
/// begun.
pub(crate) async fn reaching<T, F>(call: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let pauses = ConstantBuilder::new()
        .with_delay(Duration::from_millis(250))
        .with_max_times(80);
    let away = |error: &anyhow::Error| {
        let status = error.downcast_ref::<Status>();
        status.is_some_and(|status| status.code() == Code::Unavailable)
    };
    call.retry(pauses).when(away).await
}
