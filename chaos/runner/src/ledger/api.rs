//! The ledger's contract through one replica, as the history tells of it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use history_checker::{
    Balance, Command, Entry, Held, Hold, HoldState, Kind, Outcome, Post, Request, Shortfall, Side, State,
    Transaction,
};
use jiff::Timestamp;
use lp_auth::TokenSource;
use lp_client::{Channel, Outgoing};
use lp_contracts::{
    ledger::v1::{self as ledger, ledger_service_client::LedgerServiceClient},
    time,
};
use lp_types::{Actor, CallerContext, IdempotencyKey, MerchantId, RequestId, time::Ambient};
use tonic::Status;
use uuid::Uuid;

use crate::wire::{
    balance_of, direction, entry_of, first_page, money, new_entry, next_page, outcome_of, side_of,
    transaction_of,
};

/// How long a question waits that is no part of the traffic.
const PATIENCE: Duration = Duration::from_secs(5);

/// One replica.
#[derive(Debug)]
pub(crate) struct LedgerApi {
    pub(crate) client: LedgerServiceClient<Channel>,
    actor: Actor,
    requests: AtomicU64,
}

/// What it takes to read an answer.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What the clock of the calls calls 0.
    pub(crate) origin: Timestamp,
    /// The asset of each account.
    pub(crate) assets: BTreeMap<String, String>,
}

impl Reading {
    fn asset(&self, account: &str) -> &str {
        self.assets.get(account).map_or("", String::as_str)
    }

    fn micros(&self, at: Option<&prost_types::Timestamp>) -> anyhow::Result<u64> {
        let at = at.and_then(time::from_wire).context("a hold without a time")?;
        Ok(u64::try_from(at.duration_since(self.origin).as_micros()).unwrap_or(0))
    }

    fn wire(&self, micros: u64) -> anyhow::Result<prost_types::Timestamp> {
        let at = self.origin.checked_add(Duration::from_micros(micros))?;
        Ok(time::to_wire(at))
    }

    fn hold(&self, merchant: MerchantId, hold: &ledger::Hold) -> anyhow::Result<Hold> {
        Ok(Hold {
            id: hold.hold_id.clone(),
            merchant: merchant.to_string(),
            account: hold.account_id.clone(),
            side: side_of(hold.direction())?,
            amount: hold.amount.as_ref().context("a hold without amount")?.minor_units,
            captured: hold.captured,
            remaining: hold.remaining,
            state: match hold.state() {
                ledger::HoldState::Open => HoldState::Open,
                ledger::HoldState::Captured => HoldState::Captured,
                ledger::HoldState::Voided => HoldState::Voided,
                ledger::HoldState::Expired => HoldState::Expired,
                ledger::HoldState::Unspecified => return Err(anyhow!("a hold in no state")),
            },
            expires_at: self.micros(hold.expires_at.as_ref())?,
            reference: hold.reference.clone(),
        })
    }

    fn held(
        &self,
        merchant: MerchantId,
        hold: Option<&ledger::Hold>,
        balance: Option<&ledger::Balance>,
    ) -> anyhow::Result<Outcome> {
        Ok(Outcome::Held(Held {
            hold: self.hold(merchant, hold.context("an answer without hold")?)?,
            balance: balance_of(balance.context("an answer without balance")?)?,
        }))
    }

    /// As CreateTransaction, a batch and an import ask for it. A part of them takes effect before they are posted.
    pub(super) fn wanted(&self, post: &Post) -> ledger::CreateTransactionRequest {
        let lines = post.lines.iter();
        let earlier = || self.origin.checked_sub(Duration::from_hours(1)).ok();
        let dated = post.reference.ends_with('3');
        ledger::CreateTransactionRequest {
            entries: lines
                .map(|line| new_entry(line, self.asset(&line.account)))
                .collect(),
            reference: post.reference.clone(),
            releases_hold_ids: post.releases.clone(),
            effective_at: dated.then(earlier).flatten().map(time::to_wire),
            ..Default::default()
        }
    }

    pub(super) fn posted(
        &self,
        merchant: MerchantId,
        transaction: Option<ledger::Transaction>,
        balances: &[ledger::Balance],
        holds: &[ledger::Hold],
    ) -> anyhow::Result<Outcome> {
        Ok(Outcome::Posted {
            transaction: transaction_of(merchant, transaction)?,
            balances: balances.iter().map(balance_of).collect::<anyhow::Result<_>>()?,
            holds: holds
                .iter()
                .map(|hold| self.hold(merchant, hold))
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Why there is no outcome to read: what the service said, or what was wrong with its answer.
pub(super) enum Failed {
    Said(Status),
    Wrong(anyhow::Error),
}

impl Failed {
    /// As the history tells of it.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Said(status) => outcome_of(&status),
            Self::Wrong(error) => Outcome::Unknown(format!("{error:#}")),
        }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Said(status)
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

impl LedgerApi {
    /// The replica at `url`, as the platform's operator, who acts for all merchants.
    pub(crate) fn new(url: &str, token_url: &str, secret: &str) -> anyhow::Result<Self> {
        let config = lp_config::Client {
            auth_token_url: token_url.parse()?,
            auth_client_id: "operator".to_owned(),
            auth_client_secret: secret.to_owned().into(),
        };
        let tokens = TokenSource::asking(config, &[], Ambient::system())?;
        Ok(Self {
            client: LedgerServiceClient::new(lp_client::channel(&url.parse()?, &tokens)?),
            actor: Actor::try_from("chaos".to_owned())?,
            requests: AtomicU64::new(1),
        })
    }

    /// `message` as a request of `merchant`; with `key`, unless that is empty.
    pub(crate) fn request<M>(
        &self,
        merchant: MerchantId,
        key: &str,
        patience: Duration,
        message: M,
    ) -> anyhow::Result<tonic::Request<M>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let caller = CallerContext {
            merchant,
            actor: self.actor.clone(),
            request: RequestId::from_uuid(Uuid::from_u128(number.into())),
        };
        let key = Some(key).filter(|key| !key.is_empty());
        let key = key
            .map(|key| IdempotencyKey::try_from(key.to_owned()))
            .transpose()?;
        let deadline = Instant::now().checked_add(patience).context("a deadline")?;
        Ok(Outgoing {
            caller: &caller,
            deadline,
            key: key.as_ref(),
        }
        .request(message))
    }

    /// Makes a call, once.
    pub(crate) async fn call(
        &self,
        reading: &Reading,
        merchant: MerchantId,
        key: &str,
        request: &Request,
        patience: Duration,
    ) -> Outcome {
        let outcome = match request {
            Request::Post(post) => self.post(reading, merchant, key, post, patience).await,
            Request::Command(command) => self.command(reading, merchant, key, command, patience).await,
            Request::Read(read) => self.balance(merchant, &read.account, patience).await,
            Request::Trade(_) | Request::Look(_) => Err(anyhow!("the ledger knows no trade").into()),
        };
        outcome.unwrap_or_else(Failed::outcome)
    }

    async fn post(
        &self,
        reading: &Reading,
        merchant: MerchantId,
        key: &str,
        post: &Post,
        patience: Duration,
    ) -> Result<Outcome, Failed> {
        let mut client = self.client.clone();
        let customer = |side| {
            let line = post.lines.iter().find(|line| line.side == side);
            line.context("no line of a customer")
        };
        match post.kind {
            Kind::Earn => {
                let line = customer(Side::Credit)?;
                let reference = post.reference.clone();
                let message = ledger::EarnRequest {
                    account_id: line.account.clone(),
                    amount: money(line.amount, reading.asset(&line.account)),
                    reference,
                    ..Default::default()
                };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.earn(request).await?.into_inner();
                Ok(reading.posted(merchant, answer.transaction, answer.balance.as_slice(), &[])?)
            }
            Kind::Burn => {
                let line = customer(Side::Debit)?;
                let reference = post.reference.clone();
                let message = ledger::BurnRequest {
                    account_id: line.account.clone(),
                    amount: money(line.amount, reading.asset(&line.account)),
                    reference,
                    ..Default::default()
                };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.burn(request).await?.into_inner();
                Ok(reading.posted(merchant, answer.transaction, answer.balance.as_slice(), &[])?)
            }
            Kind::General | Kind::Capture | Kind::Reversal => {
                let request = self.request(merchant, key, patience, reading.wanted(post))?;
                let answer = client.create_transaction(request).await?.into_inner();
                Ok(reading.posted(merchant, answer.transaction, &answer.balances, &answer.holds)?)
            }
        }
    }

    async fn command(
        &self,
        reading: &Reading,
        merchant: MerchantId,
        key: &str,
        command: &Command,
        patience: Duration,
    ) -> Result<Outcome, Failed> {
        let mut client = self.client.clone();
        match command {
            Command::Place {
                account,
                side,
                amount,
                expires_at,
                reference,
            } => {
                let message = ledger::PlaceHoldRequest {
                    account_id: account.clone(),
                    amount: money(*amount, reading.asset(account)),
                    direction: direction(*side).into(),
                    expires_at: Some(reading.wire(*expires_at)?),
                    reference: reference.clone(),
                };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.place_hold(request).await?.into_inner();
                Ok(reading.held(merchant, answer.hold.as_ref(), answer.balance.as_ref())?)
            }
            Command::Capture {
                hold,
                amount,
                to,
                last,
                reference,
            } => {
                let message = ledger::CaptureHoldRequest {
                    hold_id: hold.clone(),
                    amount: amount.and_then(|amount| money(amount, reading.asset(to))),
                    destination_account_id: to.clone(),
                    r#final: *last,
                    reference: reference.clone(),
                    ..Default::default()
                };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.capture_hold(request).await?.into_inner();
                let holds = answer.hold.as_slice();
                Ok(reading.posted(merchant, answer.transaction, &answer.balances, holds)?)
            }
            Command::Void { hold } => {
                let hold_id = hold.clone();
                let message = ledger::VoidHoldRequest { hold_id };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.void_hold(request).await?.into_inner();
                Ok(reading.held(merchant, answer.hold.as_ref(), answer.balance.as_ref())?)
            }
            Command::Reverse {
                transaction,
                part,
                shortfall,
                reference,
            } => {
                let (shortfall, debt_account_id) = match shortfall {
                    Shortfall::Refuse => (ledger::Shortfall::Refuse, String::new()),
                    Shortfall::Overdraw => (ledger::Shortfall::Overdraw, String::new()),
                    Shortfall::Owe(debtor) => (ledger::Shortfall::Owe, debtor.clone()),
                };
                let message = ledger::ReverseTransactionRequest {
                    transaction_id: transaction.clone(),
                    amount: part.as_ref().and_then(|part| money(part.amount, &part.asset)),
                    shortfall: shortfall.into(),
                    debt_account_id,
                    reference: reference.clone(),
                    ..Default::default()
                };
                let request = self.request(merchant, key, patience, message)?;
                let answer = client.reverse_transaction(request).await?.into_inner();
                Ok(reading.posted(merchant, answer.transaction, &answer.balances, &[])?)
            }
            Command::SetState { account, state } => {
                let account_id = account.clone();
                let found = match state {
                    State::Frozen => {
                        let message = ledger::FreezeAccountRequest { account_id };
                        let request = self.request(merchant, key, patience, message)?;
                        client.freeze_account(request).await?.into_inner().account
                    }
                    State::Open => {
                        let message = ledger::UnfreezeAccountRequest { account_id };
                        let request = self.request(merchant, key, patience, message)?;
                        client.unfreeze_account(request).await?.into_inner().account
                    }
                    State::Closed => {
                        let message = ledger::CloseAccountRequest { account_id };
                        let request = self.request(merchant, key, patience, message)?;
                        client.close_account(request).await?.into_inner().account
                    }
                };
                let found = found.context("an answer without account")?;
                Ok(Outcome::State {
                    state: match found.state() {
                        ledger::AccountState::Open => State::Open,
                        ledger::AccountState::Frozen => State::Frozen,
                        ledger::AccountState::Closed => State::Closed,
                        ledger::AccountState::Unspecified => {
                            return Err(anyhow!("an account in no state").into());
                        }
                    },
                    account: found.account_id,
                })
            }
        }
    }

    async fn balance(
        &self,
        merchant: MerchantId,
        account: &str,
        patience: Duration,
    ) -> Result<Outcome, Failed> {
        let message = ledger::GetBalanceRequest {
            account_id: account.to_owned(),
            ..Default::default()
        };
        let request = self.request(merchant, "", patience, message)?;
        let answer = self.client.clone().get_balance(request).await?.into_inner();
        let balance = answer.balance.context("an answer without balance")?;
        Ok(Outcome::Balance(balance_of(&balance)?))
    }

    /// The balance of an account at the end.
    pub(crate) async fn final_balance(&self, merchant: MerchantId, account: &str) -> anyhow::Result<Balance> {
        match self.balance(merchant, account, PATIENCE).await {
            Ok(Outcome::Balance(balance)) => Ok(balance),
            Ok(other) => Err(anyhow!("{other:?} in place of a balance")),
            Err(Failed::Said(status)) => Err(status.into()),
            Err(Failed::Wrong(error)) => Err(error),
        }
    }

    /// All transactions of a merchant.
    pub(crate) async fn transactions(&self, merchant: MerchantId) -> anyhow::Result<Vec<Transaction>> {
        let (mut all, mut page) = (Vec::new(), Some(first_page()));
        while page.is_some() {
            let message = ledger::ListTransactionsRequest {
                page,
                ..Default::default()
            };
            let request = self.request(merchant, "", PATIENCE, message)?;
            let answer = self.client.clone().list_transactions(request).await?.into_inner();
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
            let request = self.request(merchant, "", PATIENCE, message)?;
            let answer = self.client.clone().list_entries(request).await?.into_inner();
            for one in answer.entries {
                all.push(entry_of(one)?);
            }
            page = next_page(answer.page);
        }
        Ok(all)
    }

    /// All holds on an account.
    pub(crate) async fn holds(
        &self,
        reading: &Reading,
        merchant: MerchantId,
        account: &str,
    ) -> anyhow::Result<Vec<Hold>> {
        let (mut all, mut page) = (Vec::new(), Some(first_page()));
        while page.is_some() {
            let message = ledger::ListHoldsRequest {
                account_id: account.to_owned(),
                open_only: false,
                page,
            };
            let request = self.request(merchant, "", PATIENCE, message)?;
            let answer = self.client.clone().list_holds(request).await?.into_inner();
            for one in &answer.holds {
                all.push(reading.hold(merchant, one)?);
            }
            page = next_page(answer.page);
        }
        Ok(all)
    }
}
