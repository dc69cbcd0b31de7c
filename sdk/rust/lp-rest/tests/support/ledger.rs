//! A ledger that knows just enough.

use std::time::Duration;

use lp_contracts::{
    common::v1::PageResponse,
    ledger::v1::{
        ledger_service_server::{LedgerService, LedgerServiceServer},
        *,
    },
};
use lp_error::{Code, Error};
use tonic::{Request, Response, Status, service::Routes};

pub fn routes() -> Routes {
    Routes::new(LedgerServiceServer::new(Ledger))
}

struct Ledger;

#[tonic::async_trait]
impl LedgerService for Ledger {
    /// Answers the metadata that came, in the reference.
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<CreateAccountResponse>, Status> {
        let mut names: Vec<_> = request
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap_or_default()))
            .collect();
        names.sort();
        let request = request.into_inner();
        let account = Account {
            asset_code: request.asset_code,
            r#type: request.r#type,
            min_balance: request.min_balance,
            reference: names.join(" "),
            ..Account::default()
        };
        Ok(Response::new(CreateAccountResponse {
            account: Some(account),
        }))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        let account_id = request.into_inner().account_id;
        if account_id == "acc_none" {
            let error = Error::new(
                Code::NotFound,
                "ledger.localplus",
                "UNKNOWN_ACCOUNT",
                "no such account",
            );
            return Err(error.with_metadata("accountId", account_id).into());
        }
        let account = Account {
            account_id,
            ..Account::default()
        };
        Ok(Response::new(GetAccountResponse {
            account: Some(account),
        }))
    }

    /// Fails as its reference says.
    async fn earn(&self, request: Request<EarnRequest>) -> Result<Response<EarnResponse>, Status> {
        match request.into_inner().reference.as_str() {
            "busy" => Err(Error::overloaded(Duration::from_millis(1500)).into()),
            "field" => Err(Error::invalid_field("entries[1].amount.minorUnits", "must be above zero").into()),
            "funds" => Err(Error::new(
                Code::FailedPrecondition,
                "ledger.localplus",
                "INSUFFICIENT_FUNDS",
                "the account would fall below its minimum",
            )
            .into()),
            "leak" => Err(Status::unknown("password=hunter2")),
            _ => Ok(Response::new(EarnResponse::default())),
        }
    }

    /// Answers what it was asked, in the page token.
    async fn list_transactions(
        &self,
        request: Request<ListTransactionsRequest>,
    ) -> Result<Response<ListTransactionsResponse>, Status> {
        let request = request.into_inner();
        let page = request.page.unwrap_or_default();
        let next_page_token = format!("{}|{}|{}", request.account_id, page.page_size, page.page_token);
        let page = Some(PageResponse { next_page_token });
        Ok(Response::new(ListTransactionsResponse {
            transactions: Vec::new(),
            page,
        }))
    }

    async fn create_transaction(
        &self,
        request: Request<CreateTransactionRequest>,
    ) -> Result<Response<CreateTransactionResponse>, Status> {
        let transaction = Transaction {
            reference: request.into_inner().reference,
            ..Transaction::default()
        };
        Ok(Response::new(CreateTransactionResponse {
            transaction: Some(transaction),
            ..CreateTransactionResponse::default()
        }))
    }

    lp_test::not_here! {
        create_asset: CreateAssetRequest => CreateAssetResponse,
        get_asset: GetAssetRequest => GetAssetResponse,
        burn: BurnRequest => BurnResponse,
        get_transaction: GetTransactionRequest => GetTransactionResponse,
        get_balance: GetBalanceRequest => GetBalanceResponse,
        list_entries: ListEntriesRequest => ListEntriesResponse,
        reverse_transaction: ReverseTransactionRequest => ReverseTransactionResponse,
        place_hold: PlaceHoldRequest => PlaceHoldResponse,
        capture_hold: CaptureHoldRequest => CaptureHoldResponse,
        void_hold: VoidHoldRequest => VoidHoldResponse,
        get_hold: GetHoldRequest => GetHoldResponse,
        list_holds: ListHoldsRequest => ListHoldsResponse,
        freeze_account: FreezeAccountRequest => FreezeAccountResponse,
        unfreeze_account: UnfreezeAccountRequest => UnfreezeAccountResponse,
        close_account: CloseAccountRequest => CloseAccountResponse,
        batch_create_accounts: BatchCreateAccountsRequest => BatchCreateAccountsResponse,
        lookup_account: LookupAccountRequest => LookupAccountResponse,
        batch_create_transactions: BatchCreateTransactionsRequest => BatchCreateTransactionsResponse,
        batch_get_balances: BatchGetBalancesRequest => BatchGetBalancesResponse,
        get_trial_balance: GetTrialBalanceRequest => GetTrialBalanceResponse,
        check_ledger: CheckLedgerRequest => CheckLedgerResponse,
        import_transactions: tonic::Streaming<ImportTransactionsRequest> => ImportTransactionsResponse,
    }
}
