//! svc-ledger as the benchmark calls it: over tonic's own channel and with few headers, so that little of the
//! processors' time is the generator's.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use http::HeaderMap;
use lp_auth::TokenSource;
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, AssetKind, BatchCreateAccountsRequest, BatchCreateTransactionsRequest,
        CreateAccountRequest, CreateAssetRequest, CreateTransactionRequest, Direction, EarnRequest,
        GetBalanceRequest, NewEntry, ledger_service_client::LedgerServiceClient,
    },
};
use lp_types::{MerchantId, time::Ambient};
use tonic::{
    Code, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

const POINTS: &str = "PTS";
/// How long an answer is of use.
const PATIENCE: Duration = Duration::from_secs(10);
/// Accounts opened by one call.
const OPENED: usize = 500;
/// Has no divisor in common with a number of accounts.
const SCATTER: u64 = 7_919;
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

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spread => "earn, spread",
            Self::Hot => "earn, one account",
            Self::Skewed => "earn, 80 of 100 to a fifth",
            Self::Batches => "batches of 100, spread",
            Self::Reads => "balance reads, spread",
        }
    }

    /// Transactions (or reads) in one request.
    pub(crate) fn each(self) -> u32 {
        match self {
            Self::Batches => BATCH,
            _ => 1,
        }
    }
}

/// A merchant with customers.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    /// One connection would make all requests wait for one socket's reader.
    clients: Vec<LedgerServiceClient<Channel>>,
    tokens: TokenSource,
    merchant: MetadataValue<Ascii>,
    actor: MetadataValue<Ascii>,
    merchant_id: MerchantId,
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
        tokens: TokenSource,
        accounts: u32,
    ) -> anyhow::Result<Self> {
        let ambient = Ambient::system();
        let merchant = MerchantId::from_uuid(ambient.ids.uuid());
        let mut inner = Inner {
            clients,
            tokens,
            merchant: merchant.to_string().parse()?,
            actor: "bench".parse()?,
            merchant_id: merchant,
            ambient,
            issuance: String::new(),
            accounts: Vec::new(),
        };
        let points = CreateAssetRequest {
            code: POINTS.to_owned(),
            kind: AssetKind::Points.into(),
            exponent: 0,
        };
        let request = inner.request(points).await?;
        let asset = inner.client(0)?.create_asset(request).await?.into_inner().asset;
        inner.issuance = asset.context("an answer without asset")?.issuance_account_id;

        inner.open_accounts(accounts).await?;
        Ok(Self(Arc::new(inner)))
    }

    /// The same ledger with more accounts, `accounts` in all.
    ///
    /// # Errors
    /// When the ledger refuses.
    pub(crate) async fn with_accounts(&self, accounts: u32) -> anyhow::Result<Self> {
        let mut inner = Inner::clone(&self.0);
        inner.open_accounts(accounts).await?;
        Ok(Self(Arc::new(inner)))
    }

    /// The same ledger over other connections.
    pub(crate) fn over(&self, clients: Vec<LedgerServiceClient<Channel>>) -> Self {
        Self(Arc::new(Inner {
            clients,
            ..Inner::clone(&self.0)
        }))
    }

    /// For whom all is posted.
    pub(crate) fn merchant(&self) -> MerchantId {
        self.0.merchant_id
    }

    /// Request `number` of `work`.
    pub(crate) async fn request(self, work: Work, number: u64) -> Result<(), Code> {
        self.call(work, number).await.map_err(|status| status.code())
    }

    async fn call(self, work: Work, number: u64) -> Result<(), Status> {
        let inner = &self.0;
        let missing = |_| Status::internal("no connection");
        let mut client = inner.client(number).map_err(missing)?;
        match work {
            Work::Spread => client
                .earn(inner.request(inner.earn(number)).await?)
                .await
                .map(drop),
            Work::Hot => client.earn(inner.request(inner.earn(0)).await?).await.map(drop),
            Work::Skewed => {
                let fifth = u64::try_from(inner.accounts.len()).unwrap_or(1).max(5) / 5;
                let account = if number.is_multiple_of(5) {
                    number
                } else {
                    number % fifth
                };
                client
                    .earn(inner.request(inner.earn(account)).await?)
                    .await
                    .map(drop)
            }
            Work::Batches => {
                let transactions = (0..u64::from(BATCH))
                    .map(|n| inner.give(number.wrapping_mul(u64::from(BATCH)).wrapping_add(n)));
                let wanted = BatchCreateTransactionsRequest {
                    transactions: transactions.collect(),
                    ..Default::default()
                };
                let request = inner.request(wanted).await?;
                client.batch_create_transactions(request).await.map(drop)
            }
            Work::Reads => {
                let wanted = GetBalanceRequest {
                    account_id: inner.account(number),
                    ..Default::default()
                };
                client.get_balance(inner.request(wanted).await?).await.map(drop)
            }
        }
    }
}

fn point() -> Option<Money> {
    Some(Money {
        minor_units: 1,
        asset_code: POINTS.to_owned(),
    })
}

impl Inner {
    /// Opens as many as are missing.
    async fn open_accounts(&mut self, accounts: u32) -> anyhow::Result<()> {
        let wanted = CreateAccountRequest {
            asset_code: POINTS.to_owned(),
            r#type: AccountType::Customer.into(),
            ..CreateAccountRequest::default()
        };
        let accounts = usize::try_from(accounts)?;
        while self.accounts.len() < accounts {
            let missing = accounts.saturating_sub(self.accounts.len()).min(OPENED);
            let accounts = vec![wanted.clone(); missing];
            let request = self.request(BatchCreateAccountsRequest { accounts }).await?;
            let opened = self.client(0)?.batch_create_accounts(request).await?.into_inner();
            self.accounts
                .extend(opened.accounts.into_iter().map(|account| account.account_id));
        }
        Ok(())
    }

    fn client(&self, number: u64) -> anyhow::Result<LedgerServiceClient<Channel>> {
        let clients = u64::try_from(self.clients.len())?.max(1);
        let client = self.clients.get(usize::try_from(number % clients)?);
        client.cloned().context("no connection")
    }

    /// One customer for each number, modulo how many there are; scattered, so that neighbours in time are none in the
    /// table.
    fn account(&self, number: u64) -> String {
        let accounts = u64::try_from(self.accounts.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number.wrapping_mul(SCATTER) % accounts).unwrap_or(0);
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
    async fn request<M>(&self, message: M) -> Result<tonic::Request<M>, Status> {
        // Asked for each time: it is valid for some minutes only, and kept until then.
        let bearer = self.tokens.bearer().await?;
        let mut request = tonic::Request::new(message);
        request.set_timeout(PATIENCE);
        let key = self.ambient.ids.uuid().simple().to_string();
        let headers = request.metadata_mut();
        headers.insert(lp_auth::MERCHANT, self.merchant.clone());
        headers.insert(lp_auth::ACTOR, self.actor.clone());
        if let Ok(key) = key.parse() {
            headers.insert("idempotency-key", key);
        }
        let headers: &mut HeaderMap = headers.as_mut();
        headers.insert(http::header::AUTHORIZATION, bearer);
        Ok(request)
    }
}
