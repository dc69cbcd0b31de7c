//! svc-ledger, as far as this service calls it.

use lp_auth::TokenSource;
use lp_client::{Asking, Channel, failed, reason};
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, CreateAccountRequest, CreateTransactionRequest, Direction, ErrorReason,
        GetBalanceRequest, NewEntry, ledger_service_client::LedgerServiceClient,
    },
};
use lp_error::{Error, Result};
use lp_types::{AccountId, Amount, AssetCode, IdempotencyKey, MinorUnits, TransactionId, ids::CardId};
use url::Url;

const SERVICE: &str = "svc-ledger";

/// A client of svc-ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: LedgerServiceClient<Channel>,
}

/// Value that goes from one account to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The account that is debited.
    pub debit: AccountId,
    /// The account that is credited.
    pub credit: AccountId,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
}

/// What became of a [`Move`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {
    /// It stands.
    Posted {
        /// Its transaction.
        transaction: TransactionId,
        /// What the debited account holds after it.
        debited: MinorUnits,
    },
    /// An account would fall below its least balance.
    InsufficientFunds,
}

/// The key of a saga's step: however often it runs, there is one effect.
fn key(saga: impl std::fmt::Display, step: &str) -> Result<IdempotencyKey> {
    IdempotencyKey::try_from(format!("{saga}:{step}")).map_err(Error::internal)
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

    /// Opens the account of a card, or finds the one that was opened for it.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn open_account(
        &self,
        asking: Asking<'_>,
        card: CardId,
        asset: &AssetCode,
    ) -> Result<AccountId> {
        let key = key(card, "open-account")?;
        let outgoing = asking.outgoing(Some(&key));
        let call = || async {
            let request = CreateAccountRequest {
                asset_code: asset.to_string(),
                r#type: AccountType::GiftCard.into(),
                ..CreateAccountRequest::default()
            };
            self.client
                .clone()
                .create_account(outgoing.request(request))
                .await
        };
        let answer = outgoing.retrying(call).await;
        let answer = answer.map_err(|status| failed(SERVICE, status))?.into_inner();
        let account = answer.account.unwrap_or_default().account_id;
        account.parse().map_err(Error::internal)
    }

    /// Posts `wanted` as step `step` of `saga`. Again, it gives the first answer: the ledger keeps it under the
    /// key for ever, refusals too.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn post(
        &self,
        asking: Asking<'_>,
        (saga, step): (impl std::fmt::Display, &str),
        wanted: &Move,
    ) -> Result<Posting> {
        let key = key(saga, step)?;
        let outgoing = asking.outgoing(Some(&key));
        let call = || async {
            let request = CreateTransactionRequest {
                entries: vec![
                    entry(wanted.debit, Direction::Debit, wanted),
                    entry(wanted.credit, Direction::Credit, wanted),
                ],
                reference: String::new(),
                ..Default::default()
            };
            self.client
                .clone()
                .create_transaction(outgoing.request(request))
                .await
        };
        let answer = match outgoing.retrying(call).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if reason(&status) == ErrorReason::InsufficientFunds.reason() => {
                return Ok(Posting::InsufficientFunds);
            }
            Err(status) => return Err(failed(SERVICE, status)),
        };
        let debited = wanted.debit.to_string();
        let debited = answer
            .balances
            .into_iter()
            .find(|balance| balance.account_id == debited);
        let debited = debited.and_then(|balance| balance.balance);
        let debited = debited.ok_or_else(|| Error::internal("an answer without the debited balance"))?;
        let transaction = answer.transaction.unwrap_or_default().transaction_id;
        Ok(Posting::Posted {
            transaction: transaction.parse().map_err(Error::internal)?,
            debited: MinorUnits::new(debited.minor_units),
        })
    }

    /// What stands in an account now.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn balance(&self, asking: Asking<'_>, account: AccountId) -> Result<MinorUnits> {
        let outgoing = asking.outgoing(None);
        let call = || async {
            let request = GetBalanceRequest {
                account_id: account.to_string(),
                ..Default::default()
            };
            self.client.clone().get_balance(outgoing.request(request)).await
        };
        let answer = outgoing.retrying(call).await;
        let answer = answer.map_err(|status| failed(SERVICE, status))?.into_inner();
        let money = answer.balance.and_then(|balance| balance.balance);
        let money = money.ok_or_else(|| Error::internal("an answer without balance"))?;
        Ok(MinorUnits::new(money.minor_units))
    }
}

fn entry(account: AccountId, direction: Direction, wanted: &Move) -> NewEntry {
    NewEntry {
        account_id: account.to_string(),
        direction: direction.into(),
        amount: Some(Money {
            minor_units: wanted.amount.get(),
            asset_code: wanted.asset.to_string(),
        }),
        ..Default::default()
    }
}
