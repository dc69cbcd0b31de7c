//! svc-ledger as the benchmark calls it: over tonic's own channel and with few headers, so that little of the
//! processors' time is the generator's.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, AssetKind, BatchCreateTransactionsRequest, CreateAccountRequest, CreateAssetRequest,
        CreateTransactionRequest, Direction, EarnRequest, GetBalanceRequest, NewEntry,
        ledger_service_client::LedgerServiceClient,
    },
};
use lp_types::{MerchantId, time::Ambient};
use tokio::task::JoinSet;
use tonic::{
    Code,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::load::Scenario;

const POINTS: &str = "PTS";
/// How long an answer is of use.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls at once while the accounts are opened.
const OPENERS: usize = 64;
/// Transactions in one batch call.
const BATCH: u32 = 100;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Points to one customer after the other.
    Spread,
    /// Points to one customer.
    Hot,
    /// Eight of ten to a fifth of the customers.
    Skewed,
    /// A hundred transactions in one call, spread.
    Batches,
    /// A balance, spread.
    Reads,
}

impl Work {
    pub(crate) const ALL: [Self; 5] = [Self::Spread, Self::Hot, Self::Skewed, Self::Batches, Self::Reads];

    /// How many of so many callers send it at once: a batch waits for as many transactions as it has.
    pub(crate) fn callers(self, callers: u32) -> u32 {
        match self {
            Self::Batches => (callers / 8).max(1),
            _ => callers,
        }
    }

    /// Its name, and transactions (or reads) in one request.
    pub(crate) fn scenario(self) -> Scenario<'static> {
        match self {
            Self::Spread => ("earn, spread", 1),
            Self::Hot => ("earn, one account", 1),
            Self::Skewed => ("earn, 80 of 100 to a fifth", 1),
            Self::Batches => ("batches of 100, spread", BATCH),
            Self::Reads => ("balance reads, spread", 1),
        }
    }
}

/// A merchant with customers.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    /// One connection would make all requests wait for one socket's reader.
    clients: Vec<LedgerServiceClient<Channel>>,
    bearer: MetadataValue<Ascii>,
    merchant: MetadataValue<Ascii>,
    actor: MetadataValue<Ascii>,
    ambient: Ambient,
    issuance: String,
    accounts: Vec<String>,
}

impl Ledger {
    /// A new merchant with points and `accounts` customers.
    ///
    /// # Errors
    /// When the ledger refuses, or cannot be reached.
    pub(crate) async fn open(
        clients: Vec<LedgerServiceClient<Channel>>,
        bearer: MetadataValue<Ascii>,
        accounts: u32,
    ) -> anyhow::Result<Self> {
        let ambient = Ambient::system();
        let merchant = MerchantId::from_uuid(ambient.ids.uuid());
        let mut inner = Inner {
            clients,
            bearer,
            merchant: merchant.to_string().parse()?,
            actor: "bench".parse()?,
            ambient,
            issuance: String::new(),
            accounts: Vec::new(),
        };
        let points = CreateAssetRequest {
            code: POINTS.to_owned(),
            kind: AssetKind::Points.into(),
            exponent: 0,
        };
        let request = inner.request(points);
        let asset = inner.client(0)?.create_asset(request).await?.into_inner().asset;
        inner.issuance = asset.context("an answer without asset")?.issuance_account_id;

        let mut opening = JoinSet::new();
        for number in 0..u64::from(accounts) {
            if opening.len() >= OPENERS
                && let Some(opened) = opening.join_next().await
            {
                inner.accounts.push(opened??);
            }
            let wanted = CreateAccountRequest {
                asset_code: POINTS.to_owned(),
                r#type: AccountType::Customer.into(),
                ..CreateAccountRequest::default()
            };
            let (mut client, request) = (inner.client(number)?, inner.request(wanted));
            opening.spawn(async move {
                let opened = client.create_account(request).await?.into_inner().account;
                anyhow::Ok(opened.context("an answer without account")?.account_id)
            });
        }
        while let Some(opened) = opening.join_next().await {
            inner.accounts.push(opened??);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Request `number` of `work`.
    pub(crate) async fn request(self, work: Work, number: u64) -> Result<(), Code> {
        let inner = &self.0;
        let mut client = inner.client(number).map_err(|_| Code::Internal)?;
        let answer = match work {
            Work::Spread => client.earn(inner.request(inner.earn(number))).await.map(drop),
            Work::Hot => client.earn(inner.request(inner.earn(0))).await.map(drop),
            Work::Skewed => {
                let of = u64::try_from(inner.accounts.len()).unwrap_or(1).max(5);
                let fifth = of / 5;
                // Scattered by a number without a common divisor, so that neighbours in time are none in the table.
                let scattered = number.wrapping_mul(7_919);
                let account = if number.is_multiple_of(5) {
                    scattered % of
                } else {
                    scattered % fifth
                };
                client.earn(inner.request(inner.earn(account))).await.map(drop)
            }
            Work::Batches => {
                let transactions = (0..u64::from(BATCH))
                    .map(|n| inner.give(number.wrapping_mul(u64::from(BATCH)).wrapping_add(n)));
                let wanted = BatchCreateTransactionsRequest {
                    transactions: transactions.collect(),
                    ..Default::default()
                };
                let request = inner.request(wanted);
                client.batch_create_transactions(request).await.map(drop)
            }
            Work::Reads => {
                let wanted = GetBalanceRequest {
                    account_id: inner.account(number),
                    ..Default::default()
                };
                client.get_balance(inner.request(wanted)).await.map(drop)
            }
        };
        answer.map_err(|status| status.code())
    }
}

fn point() -> Option<Money> {
    Some(Money {
        minor_units: 1,
        asset_code: POINTS.to_owned(),
    })
}

impl Inner {
    fn client(&self, number: u64) -> anyhow::Result<LedgerServiceClient<Channel>> {
        let clients = u64::try_from(self.clients.len())?.max(1);
        let client = self.clients.get(usize::try_from(number % clients)?);
        client.cloned().context("no connection")
    }

    /// Customer `number`, modulo how many there are.
    fn account(&self, number: u64) -> String {
        let accounts = u64::try_from(self.accounts.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number % accounts).unwrap_or(0);
        self.accounts.get(index).cloned().unwrap_or_default()
    }

    fn earn(&self, number: u64) -> EarnRequest {
        EarnRequest {
            account_id: self.account(number),
            amount: point(),
            ..Default::default()
        }
    }

    /// As [`Self::earn`], in entries.
    fn give(&self, number: u64) -> CreateTransactionRequest {
        let entry = |account_id, direction: Direction| NewEntry {
            account_id,
            direction: direction.into(),
            amount: point(),
            ..Default::default()
        };
        CreateTransactionRequest {
            entries: vec![
                entry(self.issuance.clone(), Direction::Debit),
                entry(self.account(number), Direction::Credit),
            ],
            ..Default::default()
        }
    }

    /// `message` under a key of its own.
    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(PATIENCE);
        let key = self.ambient.ids.uuid().simple().to_string();
        let headers = request.metadata_mut();
        headers.insert("authorization", self.bearer.clone());
        headers.insert(lp_auth::MERCHANT, self.merchant.clone());
        headers.insert(lp_auth::ACTOR, self.actor.clone());
        if let Ok(key) = key.parse() {
            headers.insert("idempotency-key", key);
        }
        request
    }
}
