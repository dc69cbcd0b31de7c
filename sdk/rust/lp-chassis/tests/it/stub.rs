//! A service that does what the request's id says.

use std::sync::Arc;

use lp_chassis::Call;
use lp_contracts::ledger::v1::{self, ledger_service_server::LedgerService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// `GetBalance` of the account `ok` answers who called; of `wait` it waits until [`Stub::go`] has a permit;
/// of `never` it does not end; of `panic` it panics; of anything else it refuses.
#[derive(Clone)]
pub struct Stub {
    pub go: Arc<Semaphore>,
}

macro_rules! absent {
    ($($method:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl LedgerService for Stub {
            $(async fn $method(
                &self,
                _: Request<v1::$request>,
            ) -> Result<Response<v1::$response>, Status> {
                Err(lp_error::Error::not_found("this rpc").into())
            })+

            async fn import_transactions(
                &self,
                _: Request<tonic::Streaming<v1::ImportTransactionsRequest>>,
            ) -> Result<Response<v1::ImportTransactionsResponse>, Status> {
                Err(lp_error::Error::not_found("this rpc").into())
            }

            async fn get_balance(
                &self,
                request: Request<v1::GetBalanceRequest>,
            ) -> Result<Response<v1::GetBalanceResponse>, Status> {
                let call = Call::of(&request)?;
                match request.into_inner().account_id.as_str() {
                    "ok" => {}
                    "wait" => self.go.acquire().await.unwrap().forget(),
                    "never" => std::future::pending().await,
                    "panic" => panic!("as the test asked"),
                    other => return Err(lp_error::Error::not_found(other).into()),
                }
                let balance = v1::Balance {
                    account_id: format!("{} {}", call.caller.merchant, call.caller.actor),
                    consistency_token: call.caller.request.to_string(),
                    ..Default::default()
                };
                Ok(Response::new(v1::GetBalanceResponse {
                    balance: Some(balance),
                }))
            }
        }
    };
}

absent! {
    batch_create_accounts(BatchCreateAccountsRequest) -> BatchCreateAccountsResponse;
    lookup_account(LookupAccountRequest) -> LookupAccountResponse;
    batch_create_transactions(BatchCreateTransactionsRequest) -> BatchCreateTransactionsResponse;
    batch_get_balances(BatchGetBalancesRequest) -> BatchGetBalancesResponse;
    get_trial_balance(GetTrialBalanceRequest) -> GetTrialBalanceResponse;
    check_ledger(CheckLedgerRequest) -> CheckLedgerResponse;
    create_asset(CreateAssetRequest) -> CreateAssetResponse;
    get_asset(GetAssetRequest) -> GetAssetResponse;
    create_account(CreateAccountRequest) -> CreateAccountResponse;
    get_account(GetAccountRequest) -> GetAccountResponse;
    create_transaction(CreateTransactionRequest) -> CreateTransactionResponse;
    earn(EarnRequest) -> EarnResponse;
    burn(BurnRequest) -> BurnResponse;
    get_transaction(GetTransactionRequest) -> GetTransactionResponse;
    list_transactions(ListTransactionsRequest) -> ListTransactionsResponse;
    reverse_transaction(ReverseTransactionRequest) -> ReverseTransactionResponse;
    place_hold(PlaceHoldRequest) -> PlaceHoldResponse;
    capture_hold(CaptureHoldRequest) -> CaptureHoldResponse;
    void_hold(VoidHoldRequest) -> VoidHoldResponse;
    get_hold(GetHoldRequest) -> GetHoldResponse;
    list_holds(ListHoldsRequest) -> ListHoldsResponse;
    freeze_account(FreezeAccountRequest) -> FreezeAccountResponse;
    unfreeze_account(UnfreezeAccountRequest) -> UnfreezeAccountResponse;
    close_account(CloseAccountRequest) -> CloseAccountResponse;
    list_entries(ListEntriesRequest) -> ListEntriesResponse;
}
