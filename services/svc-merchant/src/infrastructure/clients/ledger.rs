//! svc-ledger, as far as this service calls it.

use lp_auth::TokenSource;
use lp_client::{Asking, Channel, failed, reason};
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, Asset, AssetKind, Balance, CreateAccountRequest, CreateAssetRequest,
        CreateTransactionRequest, Direction, ErrorReason, GetAssetRequest, NewEntry,
        ledger_service_client::LedgerServiceClient,
    },
};
use lp_error::{Error, Result};
use lp_types::{AccountId, Amount, AssetCode, IdempotencyKey, TransactionId, ids::PurchaseId};
use tonic::Status;
use tonic_types::StatusExt as _;
use url::Url;

use crate::{
    domain::purchase::Side,
    infrastructure::postgres::merchants::{Merchant, MerchantAccounts},
};

const SERVICE: &str = "svc-ledger";

/// A client of svc-ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: LedgerServiceClient<Channel>,
}

/// What became of a merchant's accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// They are open.
    Opened(MerchantAccounts),
    /// The ledger holds an asset of this code that is another.
    AssetUnusable(AssetCode),
}

/// An entry to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: AccountId,
    /// The side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posting {
    /// It stands.
    Posted {
        /// Its id.
        transaction: TransactionId,
        /// Of each account that it touched, the consistency token.
        tokens: Vec<(String, String)>,
    },
    /// The account cannot bear it: its balance would leave its limits.
    Refused(AccountId),
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

    /// Opens the assets and accounts of a merchant, or finds what was opened before.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn open_accounts(&self, asking: Asking<'_>, merchant: &Merchant) -> Result<Opening> {
        let (currency, points) = (&merchant.currency, &merchant.points);
        let exponent = merchant.exponent.get();
        if self
            .asset(asking, currency, AssetKind::Currency, exponent)
            .await?
            .is_none()
        {
            return Ok(Opening::AssetUnusable(currency.clone()));
        }
        let Some(asset) = self.asset(asking, points, AssetKind::Points, 0).await? else {
            return Ok(Opening::AssetUnusable(points.clone()));
        };
        let account = |kind, name| self.open_account(asking, currency, kind, name);
        Ok(Opening::Opened(MerchantAccounts {
            external: account(AccountType::External, "external").await?,
            sales: account(AccountType::Sales, "sales").await?,
            loyalty_cost: account(AccountType::LoyaltyCost, "loyalty-cost").await?,
            issuance: asset.issuance_account_id.parse().map_err(Error::internal)?,
            redemption: asset.redemption_account_id.parse().map_err(Error::internal)?,
        }))
    }

    /// Creates an asset, or finds the one that has its code; none when that is another.
    async fn asset(
        &self,
        asking: Asking<'_>,
        code: &AssetCode,
        kind: AssetKind,
        exponent: i32,
    ) -> Result<Option<Asset>> {
        let key = key(asking.caller.merchant, &format!("asset:{code}"))?;
        let outgoing = asking.outgoing(Some(&key));
        let create = || async {
            let request = CreateAssetRequest {
                code: code.to_string(),
                kind: kind.into(),
                exponent,
            };
            self.client.clone().create_asset(outgoing.request(request)).await
        };
        let found = match outgoing.retrying(create).await {
            Ok(answer) => answer.into_inner().asset,
            Err(status) if reason(&status) == ErrorReason::AssetTaken.reason() => {
                let outgoing = asking.outgoing(None);
                let get = || async {
                    let request = GetAssetRequest {
                        code: code.to_string(),
                    };
                    self.client.clone().get_asset(outgoing.request(request)).await
                };
                let answer = outgoing.retrying(get).await;
                answer
                    .map_err(|status| failed(SERVICE, status))?
                    .into_inner()
                    .asset
            }
            Err(status) => return Err(failed(SERVICE, status)),
        };
        let asset = found.ok_or_else(|| Error::internal("an answer without asset"))?;
        Ok(Some(asset).filter(|asset| asset.kind() == kind && asset.exponent == exponent))
    }

    /// Opens an account under the reference `name`. Where that is taken it has none: its id is what counts.
    async fn open_account(
        &self,
        asking: Asking<'_>,
        asset: &AssetCode,
        kind: AccountType,
        name: &str,
    ) -> Result<AccountId> {
        let merchant = asking.caller.merchant;
        for (step, reference) in [
            (format!("account:{name}"), name),
            (format!("account:{name}:unnamed"), ""),
        ] {
            let key = key(merchant, &step)?;
            let outgoing = asking.outgoing(Some(&key));
            let call = || async {
                let request = CreateAccountRequest {
                    asset_code: asset.to_string(),
                    r#type: kind.into(),
                    reference: reference.to_owned(),
                    ..CreateAccountRequest::default()
                };
                self.client
                    .clone()
                    .create_account(outgoing.request(request))
                    .await
            };
            match outgoing.retrying(call).await {
                Ok(answer) => {
                    let account = answer.into_inner().account.unwrap_or_default();
                    return account.account_id.parse().map_err(Error::internal);
                }
                Err(status) if reason(&status) == ErrorReason::ReferenceTaken.reason() => {}
                Err(status) => return Err(failed(SERVICE, status)),
            }
        }
        Err(Error::internal("no reference, and yet it is taken"))
    }

    /// Posts the one transaction of a purchase. Again, it gives the first answer: the ledger keeps it under the
    /// key for ever, refusals too.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn post(&self, asking: Asking<'_>, purchase: PurchaseId, entries: &[Entry]) -> Result<Posting> {
        let key = key(purchase, "post")?;
        let outgoing = asking.outgoing(Some(&key));
        let call = || async {
            let request = CreateTransactionRequest {
                entries: entries.iter().map(wire).collect(),
                reference: purchase.to_string(),
                ..Default::default()
            };
            self.client
                .clone()
                .create_transaction(outgoing.request(request))
                .await
        };
        let answer = match outgoing.retrying(call).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                return match beyond_its_limits(&status) {
                    Some(account) => Ok(Posting::Refused(account)),
                    None => Err(failed(SERVICE, status)),
                };
            }
        };
        let transaction = answer.transaction.unwrap_or_default().transaction_id;
        let token = |balance: Balance| (balance.account_id, balance.consistency_token);
        Ok(Posting::Posted {
            transaction: transaction.parse().map_err(Error::internal)?,
            tokens: answer.balances.into_iter().map(token).collect(),
        })
    }
}

fn wire(entry: &Entry) -> NewEntry {
    let direction = match entry.side {
        Side::Debit => Direction::Debit,
        Side::Credit => Direction::Credit,
    };
    NewEntry {
        account_id: entry.account.to_string(),
        direction: direction.into(),
        amount: Some(Money {
            minor_units: entry.amount.get(),
            asset_code: entry.asset.to_string(),
        }),
        ..Default::default()
    }
}

/// The account whose balance would have left its limits.
fn beyond_its_limits(status: &Status) -> Option<AccountId> {
    let info = status.get_details_error_info()?;
    let limits = [
        ErrorReason::InsufficientFunds,
        ErrorReason::BalanceLimitExceeded,
        ErrorReason::BalanceOutOfRange,
    ];
    if limits.iter().any(|limit| limit.reason() == info.reason) {
        info.metadata.get("account")?.parse().ok()
    } else {
        None
    }
}
