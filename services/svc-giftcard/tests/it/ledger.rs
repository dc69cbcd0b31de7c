//! A stand-in for svc-ledger: a real gRPC server that opens accounts, posts, tells balances, and fails when told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        self, AccountType, Direction, ErrorReason,
        ledger_service_server::{LedgerService, LedgerServiceServer},
    },
};
use lp_error::{Code, Error};
use lp_types::{AccountId, IdSource as _, SystemIds, TransactionId};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use url::Url;

/// How it answers a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Well,
    /// Does nothing, and says so.
    Unavailable,
    /// Does it, and the answer is lost.
    Lossy,
    /// Not before the mode is another one.
    Hang,
}

/// What it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Account,
    Transaction,
    Balance,
}

/// A call, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub step: Step,
    pub merchant: String,
    pub actor: String,
    pub key: String,
}

#[derive(Debug, Default)]
struct State {
    modes: BTreeMap<Step, Mode>,
    asked: Vec<Asked>,
    /// By merchant and key, with its type.
    accounts: BTreeMap<(String, String), (String, AccountType)>,
    /// By account, on its credit side.
    balances: BTreeMap<String, i64>,
    /// By merchant and key; none for a refusal.
    transactions: BTreeMap<(String, String), Option<v1::CreateTransactionResponse>>,
}

#[derive(Debug, Clone)]
pub struct Ledger {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
    address: std::net::SocketAddr,
}

impl Ledger {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ledger = Self {
            state: Arc::default(),
            changed: watch::Sender::default(),
            address: listener.local_addr().unwrap(),
        };
        let server =
            tonic::transport::Server::builder().add_service(LedgerServiceServer::new(ledger.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        ledger
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set(&self, step: Step, mode: Mode) {
        self.state().modes.insert(step, mode);
        self.changed.send_replace(());
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    pub fn asked_for(&self, step: Step) -> usize {
        self.state()
            .asked
            .iter()
            .filter(|asked| asked.step == step)
            .count()
    }

    /// Accounts of cards, and transactions that stand.
    pub fn written(&self) -> [usize; 2] {
        let state = self.state();
        let cards = state
            .accounts
            .values()
            .filter(|(_, kind)| *kind == AccountType::GiftCard);
        [cards.count(), state.transactions.values().flatten().count()]
    }

    /// On its credit side.
    pub fn balance(&self, account: &str) -> i64 {
        self.state().balances.get(account).copied().unwrap_or_default()
    }

    /// Behaves as told; true when the answer is lost.
    async fn behave<M>(&self, step: Step, request: &Request<M>) -> Result<bool, Status> {
        let header = |name: &str| {
            let value = request.metadata().get(name);
            value.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let asked = Asked {
            step,
            merchant: header("localplus-merchant"),
            actor: header("localplus-actor"),
            key: header("idempotency-key"),
        };
        self.state().asked.push(asked);
        let mut changed = self.changed.subscribe();
        loop {
            let mode = self.state().modes.get(&step).copied().unwrap_or_default();
            match mode {
                Mode::Well => return Ok(false),
                Mode::Lossy => return Ok(true),
                Mode::Unavailable => return Err(away()),
                Mode::Hang => changed.changed().await.unwrap(),
            }
        }
    }

    fn key_of<M>(request: &Request<M>) -> (String, String) {
        let text = |name: &str| request.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        (text("localplus-merchant"), text("idempotency-key"))
    }
}

fn away() -> Status {
    Status::unavailable("the ledger is away")
}

fn refusal(reason: ErrorReason, code: Code) -> Status {
    Error::new(code, "ledger.localplus", reason.reason(), "no").into()
}

fn told<T>(lost: bool, answer: T) -> Result<Response<T>, Status> {
    if lost {
        Err(away())
    } else {
        Ok(Response::new(answer))
    }
}

impl State {
    /// Posts, or not when a card's account would fall below zero.
    fn post(&mut self, wanted: v1::CreateTransactionRequest) -> Option<v1::CreateTransactionResponse> {
        let mut after = self.balances.clone();
        let mut balances = Vec::new();
        for entry in wanted.entries {
            let amount = entry.amount.clone().unwrap();
            let change = match entry.direction() {
                Direction::Credit => amount.minor_units,
                _ => -amount.minor_units,
            };
            let balance = after.entry(entry.account_id.clone()).or_default();
            *balance += change;
            let is_card = self
                .accounts
                .values()
                .any(|(id, kind)| *id == entry.account_id && *kind == AccountType::GiftCard);
            if is_card && *balance < 0 {
                return None;
            }
            balances.push(v1::Balance {
                account_id: entry.account_id,
                balance: Some(Money {
                    minor_units: *balance,
                    ..amount
                }),
                ..v1::Balance::default()
            });
        }
        self.balances = after;
        let transaction = v1::Transaction {
            transaction_id: TransactionId::from_uuid(SystemIds.uuid()).to_string(),
            ..v1::Transaction::default()
        };
        Some(v1::CreateTransactionResponse {
            transaction: Some(transaction),
            balances,
            ..Default::default()
        })
    }
}

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn create_account(
        &self,
        request: Request<v1::CreateAccountRequest>,
    ) -> Result<Response<v1::CreateAccountResponse>, Status> {
        let lost = self.behave(Step::Account, &request).await?;
        let key = Self::key_of(&request);
        let wanted = request.into_inner();
        let new = || {
            (
                AccountId::from_uuid(SystemIds.uuid()).to_string(),
                wanted.r#type(),
            )
        };
        let (account_id, _) = self.state().accounts.entry(key).or_insert_with(new).clone();
        let account = v1::Account {
            account_id,
            ..v1::Account::default()
        };
        told(
            lost,
            v1::CreateAccountResponse {
                account: Some(account),
            },
        )
    }

    async fn create_transaction(
        &self,
        request: Request<v1::CreateTransactionRequest>,
    ) -> Result<Response<v1::CreateTransactionResponse>, Status> {
        let lost = self.behave(Step::Transaction, &request).await?;
        let key = Self::key_of(&request);
        let mut state = self.state();
        let answer = match state.transactions.get(&key) {
            Some(answer) => answer.clone(),
            None => {
                let answer = state.post(request.into_inner());
                state.transactions.insert(key, answer.clone());
                answer
            }
        };
        match answer {
            Some(answer) => told(lost, answer),
            None if lost => Err(away()),
            None => Err(refusal(ErrorReason::InsufficientFunds, Code::FailedPrecondition)),
        }
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        self.behave(Step::Balance, &request).await?;
        let account_id = request.into_inner().account_id;
        let balance = v1::Balance {
            balance: Some(Money {
                minor_units: self.balance(&account_id),
                asset_code: "EUR".to_owned(),
            }),
            account_id,
            ..v1::Balance::default()
        };
        Ok(Response::new(v1::GetBalanceResponse {
            balance: Some(balance),
        }))
    }

    lp_test::not_here! {
        create_asset: v1::CreateAssetRequest => v1::CreateAssetResponse,
        get_asset: v1::GetAssetRequest => v1::GetAssetResponse,
        get_account: v1::GetAccountRequest => v1::GetAccountResponse,
        earn: v1::EarnRequest => v1::EarnResponse,
        burn: v1::BurnRequest => v1::BurnResponse,
        get_transaction: v1::GetTransactionRequest => v1::GetTransactionResponse,
        list_transactions: v1::ListTransactionsRequest => v1::ListTransactionsResponse,
        list_entries: v1::ListEntriesRequest => v1::ListEntriesResponse,
        reverse_transaction: v1::ReverseTransactionRequest => v1::ReverseTransactionResponse,
        place_hold: v1::PlaceHoldRequest => v1::PlaceHoldResponse,
        capture_hold: v1::CaptureHoldRequest => v1::CaptureHoldResponse,
        void_hold: v1::VoidHoldRequest => v1::VoidHoldResponse,
        get_hold: v1::GetHoldRequest => v1::GetHoldResponse,
        list_holds: v1::ListHoldsRequest => v1::ListHoldsResponse,
        freeze_account: v1::FreezeAccountRequest => v1::FreezeAccountResponse,
        unfreeze_account: v1::UnfreezeAccountRequest => v1::UnfreezeAccountResponse,
        close_account: v1::CloseAccountRequest => v1::CloseAccountResponse,
        batch_create_accounts: v1::BatchCreateAccountsRequest => v1::BatchCreateAccountsResponse,
        lookup_account: v1::LookupAccountRequest => v1::LookupAccountResponse,
        batch_create_transactions: v1::BatchCreateTransactionsRequest => v1::BatchCreateTransactionsResponse,
        batch_get_balances: v1::BatchGetBalancesRequest => v1::BatchGetBalancesResponse,
        get_trial_balance: v1::GetTrialBalanceRequest => v1::GetTrialBalanceResponse,
        check_ledger: v1::CheckLedgerRequest => v1::CheckLedgerResponse,
        import_transactions: tonic::Streaming<v1::ImportTransactionsRequest> => v1::ImportTransactionsResponse,
    }
}
