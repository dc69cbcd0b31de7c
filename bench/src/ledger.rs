//! svc-ledger as the benchmark calls it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lp_client::{Channel, Outgoing};
use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        AccountType, AssetKind, CreateAccountRequest, CreateAssetRequest, EarnRequest,
        ledger_service_client::LedgerServiceClient,
    },
};
use lp_types::{Actor, CallerContext, IdempotencyKey, MerchantId, RequestId, time::Ambient};
use tokio::task::JoinSet;
use tonic::Code;

const POINTS: &str = "PTS";
/// How long an answer is of use.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls at once while the accounts are opened.
const OPENERS: usize = 64;

/// A merchant with customers.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    /// One connection would make all requests wait for one socket's reader.
    clients: Vec<LedgerServiceClient<Channel>>,
    merchant: MerchantId,
    actor: Actor,
    ambient: Ambient,
    accounts: Vec<String>,
}

impl Ledger {
    /// A new merchant with points and `accounts` customers.
    ///
    /// # Errors
    /// When the ledger refuses, or cannot be reached.
    pub(crate) async fn open(
        clients: Vec<LedgerServiceClient<Channel>>,
        accounts: u32,
    ) -> anyhow::Result<Self> {
        let ambient = Ambient::system();
        let mut inner = Inner {
            clients,
            merchant: MerchantId::from_uuid(ambient.ids.uuid()),
            actor: Actor::try_from("bench".to_owned())?,
            ambient,
            accounts: Vec::new(),
        };
        let points = CreateAssetRequest {
            code: POINTS.to_owned(),
            kind: AssetKind::Points.into(),
            exponent: 0,
        };
        let request = inner.request(points)?;
        inner.client(0)?.create_asset(request).await?;

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
            let (mut client, request) = (inner.client(number)?, inner.request(wanted)?);
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

    /// Gives a point to customer `number`, modulo how many there are.
    pub(crate) async fn earn(self, number: u64) -> Result<(), Code> {
        let inner = &self.0;
        let accounts = u64::try_from(inner.accounts.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number % accounts).unwrap_or(0);
        let wanted = EarnRequest {
            account_id: inner.accounts.get(index).cloned().unwrap_or_default(),
            amount: Some(Money {
                minor_units: 1,
                asset_code: POINTS.to_owned(),
            }),
            reference: String::new(),
            ..Default::default()
        };
        let request = inner.request(wanted).map_err(|_| Code::Internal)?;
        let mut client = inner.client(number).map_err(|_| Code::Internal)?;
        client
            .earn(request)
            .await
            .map(drop)
            .map_err(|status| status.code())
    }
}

impl Inner {
    fn client(&self, number: u64) -> anyhow::Result<LedgerServiceClient<Channel>> {
        let clients = u64::try_from(self.clients.len())?.max(1);
        let client = self.clients.get(usize::try_from(number % clients)?);
        client.cloned().context("no connection")
    }

    /// `message` under a key of its own.
    fn request<M>(&self, message: M) -> anyhow::Result<tonic::Request<M>> {
        let uuid = self.ambient.ids.uuid();
        let caller = CallerContext {
            merchant: self.merchant,
            actor: self.actor.clone(),
            request: RequestId::from_uuid(uuid),
        };
        let key = IdempotencyKey::try_from(uuid.simple().to_string())?;
        let deadline = Instant::now().checked_add(PATIENCE).context("a deadline")?;
        let outgoing = Outgoing {
            caller: &caller,
            deadline,
            key: Some(&key),
        };
        Ok(outgoing.request(message))
    }
}
