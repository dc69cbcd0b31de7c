//! A stand-in for svc-ledger: a real gRPC server that opens accounts, tells balances, and fails when told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use lp_contracts::{
    common::v1::Money,
    ledger::v1::{
        self, ErrorReason,
        ledger_service_server::{LedgerService, LedgerServiceServer},
    },
    token::ConsistencyToken,
};
use lp_error::{Code, Error};
use lp_types::{AccountId, IdSource as _, SystemIds};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use url::Url;

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Well,
    Unavailable,
    /// Not before the mode is another one.
    Hang,
}

/// A call of CreateAccount, as it came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opened {
    pub merchant: String,
    pub actor: String,
    pub key: String,
    pub asset: String,
    pub customer: bool,
}

#[derive(Debug, Default)]
struct State {
    unknown_assets: BTreeSet<String>,
    /// By merchant and key.
    accounts: BTreeMap<(String, String), String>,
    next_account: Option<String>,
    opened: Vec<Opened>,
    balances: BTreeMap<String, v1::Balance>,
    asked: usize,
}

#[derive(Debug, Clone)]
pub struct Ledger {
    state: Arc<Mutex<State>>,
    mode: watch::Sender<Mode>,
    address: std::net::SocketAddr,
}

impl Ledger {
    pub async fn start() -> Self {
        let ledger = Self::absent().await;
        ledger.appear().await;
        ledger
    }

    /// One that nobody listens for yet.
    pub async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            state: Arc::default(),
            mode: watch::Sender::default(),
            address: listener.local_addr().unwrap(),
        }
    }

    pub async fn appear(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let server = tonic::transport::Server::builder().add_service(LedgerServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn forget_asset(&self, code: &str) {
        self.state().unknown_assets.insert(code.to_owned());
    }

    /// The id of the next account.
    pub fn give_next(&self, account: &str) {
        self.state().next_account = Some(account.to_owned());
    }

    /// Where an account stands from now on.
    pub fn set_balance(&self, account: &str, position: Position) {
        let at = lp_contracts::time::to_wire("2026-11-21T10:00:00Z".parse().unwrap());
        let balance = v1::Balance {
            account_id: account.to_owned(),
            balance: Some(Money {
                minor_units: position.balance,
                asset_code: "PTS".to_owned(),
            }),
            sequence: position.sequence,
            posted_at: (position.sequence > 0).then_some(at),
            consistency_token: position.token(account),
            ..Default::default()
        };
        self.state().balances.insert(account.to_owned(), balance);
    }

    /// The calls of CreateAccount, failed ones included.
    pub fn opened(&self) -> Vec<Opened> {
        self.state().opened.clone()
    }

    pub fn accounts(&self) -> usize {
        self.state().accounts.len()
    }

    /// How often a balance was asked for.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    async fn behave(&self) -> Result<(), Status> {
        let mut mode = self.mode.subscribe();
        let mode = *mode.wait_for(|mode| *mode != Mode::Hang).await.unwrap();
        match mode {
            Mode::Unavailable => Err(Status::unavailable("the ledger is away")),
            _ => Ok(()),
        }
    }
}

/// A position of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub epoch: i64,
    pub sequence: i64,
    pub balance: i64,
}

impl Position {
    pub fn token(self, account: &str) -> String {
        let account: AccountId = account.parse().unwrap();
        let (epoch, sequence) = (self.epoch, self.sequence);
        ConsistencyToken {
            account,
            epoch,
            sequence,
        }
        .encode()
    }
}

/// The position of the first epoch where each entry brought ten points.
pub fn position(sequence: i64) -> Position {
    Position {
        epoch: 1,
        sequence,
        balance: sequence.saturating_mul(10),
    }
}

fn header<M>(request: &Request<M>, name: &str) -> String {
    let value = request.metadata().get(name);
    value.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn refusal(reason: ErrorReason, code: Code) -> Status {
    Error::new(code, "ledger.localplus", reason.reason(), "no").into()
}

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn create_account(
        &self,
        request: Request<v1::CreateAccountRequest>,
    ) -> Result<Response<v1::CreateAccountResponse>, Status> {
        let call = Opened {
            merchant: header(&request, "localplus-merchant"),
            actor: header(&request, "localplus-actor"),
            key: header(&request, "idempotency-key"),
            asset: request.get_ref().asset_code.clone(),
            customer: request.get_ref().r#type() == v1::AccountType::Customer,
        };
        self.state().opened.push(call.clone());
        self.behave().await?;
        let mut state = self.state();
        if state.unknown_assets.contains(&call.asset) {
            return Err(refusal(ErrorReason::UnknownAsset, Code::FailedPrecondition));
        }
        let chosen = state.next_account.take();
        let new = || chosen.unwrap_or_else(|| AccountId::from_uuid(SystemIds.uuid()).to_string());
        let account_id = state
            .accounts
            .entry((call.merchant, call.key))
            .or_insert_with(new)
            .clone();
        let account = v1::Account {
            account_id,
            asset_code: call.asset,
            ..v1::Account::default()
        };
        Ok(Response::new(v1::CreateAccountResponse {
            account: Some(account),
        }))
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        self.state().asked += 1;
        self.behave().await?;
        let found = self.state().balances.get(&request.get_ref().account_id).cloned();
        let balance = found.ok_or_else(|| refusal(ErrorReason::UnknownAccount, Code::NotFound))?;
        Ok(Response::new(v1::GetBalanceResponse {
            balance: Some(balance),
        }))
    }

    lp_test::not_here! {
        create_asset: v1::CreateAssetRequest => v1::CreateAssetResponse,
        get_asset: v1::GetAssetRequest => v1::GetAssetResponse,
        get_account: v1::GetAccountRequest => v1::GetAccountResponse,
        create_transaction: v1::CreateTransactionRequest => v1::CreateTransactionResponse,
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
