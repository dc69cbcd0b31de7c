//! The rpcs of `LedgerService`.

use std::time::Duration;

use ledger_domain::{AccountState, Command, NewHold, NewReversal, NewTransaction};
use lp_chassis::{
    Call,
    call::{claim, optional},
    page::Page,
};
use lp_contracts::ledger::v1::{self, ledger_service_server::LedgerService};
use lp_error::{Error, InField};
use lp_pg::Database;
use lp_types::{AssetCode, HoldId, Reference, TransactionId, time::Ambient};
use tonic::{Request, Response, Status, Streaming};

use super::{accounts, balances, batch, checks, convert, errors, import, orders::Notes};
use crate::application::{
    create_asset::{self, NewAsset, create_asset},
    post_transaction::Queue,
    read::{self, Slice},
};

type Answer<T> = Result<Response<T>, Status>;

/// The handlers.
#[derive(Debug)]
pub struct LedgerApi {
    pub(super) database: Database,
    pub(super) ambient: Ambient,
    pub(super) queue: Queue,
}

impl LedgerApi {
    /// Reads from `database`, writes through `queue`.
    pub fn new(database: Database, ambient: Ambient, queue: Queue) -> Self {
        Self {
            database,
            ambient,
            queue,
        }
    }
}

/// How far in the future a hold may expire.
const LONGEST_HOLD: Duration = Duration::from_hours(366 * 24);

#[tonic::async_trait]
impl LedgerService for LedgerApi {
    async fn create_asset(
        &self,
        request: Request<v1::CreateAssetRequest>,
    ) -> Answer<v1::CreateAssetResponse> {
        let claim = claim(&request, "CreateAsset", self.ambient.clock.now())?;
        let wanted = request.into_inner();
        let points = match wanted.kind() {
            v1::AssetKind::Points => true,
            v1::AssetKind::Currency => false,
            v1::AssetKind::Unspecified => {
                return Err(
                    Error::invalid_field("kind", "must be ASSET_KIND_CURRENCY or ASSET_KIND_POINTS").into(),
                );
            }
        };
        let exponent = u8::try_from(wanted.exponent).ok().filter(|e| *e <= 8);
        let exponent = exponent.ok_or("must be 0 to 8").in_field("exponent")?;
        let code = AssetCode::try_from(wanted.code).in_field("code")?;
        match create_asset(
            &self.database,
            &self.ambient,
            claim,
            NewAsset {
                code,
                points,
                exponent,
            },
        )
        .await?
        {
            create_asset::Answer::Created(asset) => Ok(Response::new(v1::CreateAssetResponse {
                asset: Some(convert::asset(&asset)),
            })),
            create_asset::Answer::CodeTaken => Err(errors::asset_taken().into()),
        }
    }

    async fn get_asset(&self, request: Request<v1::GetAssetRequest>) -> Answer<v1::GetAssetResponse> {
        let call = Call::of(&request)?;
        let code = AssetCode::try_from(request.into_inner().code).in_field("code")?;
        let asset = read::asset(&self.database, call.caller.merchant, &code).await?;
        let asset = asset.ok_or_else(|| errors::unknown_asset(&code, "code"))?;
        Ok(Response::new(v1::GetAssetResponse {
            asset: Some(convert::asset(&asset)),
        }))
    }

    async fn create_account(
        &self,
        request: Request<v1::CreateAccountRequest>,
    ) -> Answer<v1::CreateAccountResponse> {
        Ok(Response::new(accounts::create(self, request).await?))
    }

    async fn get_account(&self, request: Request<v1::GetAccountRequest>) -> Answer<v1::GetAccountResponse> {
        Ok(Response::new(accounts::get(self, request).await?))
    }

    async fn create_transaction(
        &self,
        request: Request<v1::CreateTransactionRequest>,
    ) -> Answer<v1::CreateTransactionResponse> {
        let wanted = request.get_ref().clone();
        let validate_only = wanted.validate_only;
        let order = batch::order(wanted, &self.ambient)?;
        let posted = self.post(&request, "CreateTransaction", order, validate_only);
        Ok(Response::new(posted.await?.created()))
    }

    async fn batch_create_transactions(
        &self,
        request: Request<v1::BatchCreateTransactionsRequest>,
    ) -> Answer<v1::BatchCreateTransactionsResponse> {
        Ok(Response::new(batch::create(self, request).await?))
    }

    async fn import_transactions(
        &self,
        request: Request<Streaming<v1::ImportTransactionsRequest>>,
    ) -> Answer<v1::ImportTransactionsResponse> {
        Ok(Response::new(import::run(self, request).await?))
    }

    async fn earn(&self, request: Request<v1::EarnRequest>) -> Answer<v1::EarnResponse> {
        let wanted = request.get_ref().clone();
        let account = convert::account_id(&wanted.account_id, "accountId")?;
        let (amount, asset) = convert::money(wanted.amount, "amount")?;
        let earn = NewTransaction::Earn {
            account,
            amount,
            asset,
        };
        let notes = Notes {
            reference: wanted.reference,
            effective_at: wanted.effective_at,
            metadata: wanted.metadata,
        };
        let order = notes.on(Command::Post(earn), &self.ambient)?;
        let posted = self.post(&request, "Earn", order, wanted.validate_only).await?;
        Ok(Response::new(v1::EarnResponse {
            balance: posted.balance_of(account),
            transaction: Some(posted.transaction()),
        }))
    }

    async fn burn(&self, request: Request<v1::BurnRequest>) -> Answer<v1::BurnResponse> {
        let wanted = request.get_ref().clone();
        let account = convert::account_id(&wanted.account_id, "accountId")?;
        let (amount, asset) = convert::money(wanted.amount, "amount")?;
        let burn = NewTransaction::Burn {
            account,
            amount,
            asset,
        };
        let notes = Notes {
            reference: wanted.reference,
            effective_at: wanted.effective_at,
            metadata: wanted.metadata,
        };
        let order = notes.on(Command::Post(burn), &self.ambient)?;
        let posted = self.post(&request, "Burn", order, wanted.validate_only).await?;
        Ok(Response::new(v1::BurnResponse {
            balance: posted.balance_of(account),
            transaction: Some(posted.transaction()),
        }))
    }

    async fn reverse_transaction(
        &self,
        request: Request<v1::ReverseTransactionRequest>,
    ) -> Answer<v1::ReverseTransactionResponse> {
        let wanted = request.get_ref().clone();
        let shortfall = convert::shortfall(wanted.shortfall, &wanted.debt_account_id)?;
        let part = wanted.amount.map(|amount| convert::money(Some(amount), "amount"));
        let reversal = NewReversal {
            transaction: wanted.transaction_id.parse().in_field("transactionId")?,
            part: part.transpose()?,
            shortfall,
        };
        let notes = Notes {
            reference: wanted.reference,
            effective_at: wanted.effective_at,
            metadata: wanted.metadata,
        };
        let order = notes.on(Command::Reverse(reversal), &self.ambient)?;
        let posted = self.post(&request, "ReverseTransaction", order, wanted.validate_only);
        let posted = posted.await?;
        Ok(Response::new(v1::ReverseTransactionResponse {
            balances: posted.balances(),
            transaction: Some(posted.transaction()),
        }))
    }

    async fn place_hold(&self, request: Request<v1::PlaceHoldRequest>) -> Answer<v1::PlaceHoldResponse> {
        let wanted = request.get_ref().clone();
        let direction = convert::side(wanted.direction, "direction")?;
        let (amount, asset) = convert::money(wanted.amount, "amount")?;
        let expires_at = convert::time(wanted.expires_at, "expiresAt")?;
        let latest = self
            .ambient
            .clock
            .now()
            .checked_add(LONGEST_HOLD)
            .map_err(Error::internal)?;
        if expires_at > latest {
            return Err(Error::invalid_field("expiresAt", "must be at most 366 days from now").into());
        }
        let new = NewHold {
            account: convert::account_id(&wanted.account_id, "accountId")?,
            direction,
            amount,
            asset,
            expires_at,
            reference: optional::<Reference>(wanted.reference, "reference")?,
        };
        let id = HoldId::from_uuid(self.ambient.ids.uuid());
        let placed = self.order_hold(&request, "PlaceHold", Command::PlaceHold(id, new));
        let (hold, balance) = placed.await?;
        Ok(Response::new(v1::PlaceHoldResponse {
            hold: Some(hold),
            balance: Some(balance),
        }))
    }

    async fn capture_hold(
        &self,
        request: Request<v1::CaptureHoldRequest>,
    ) -> Answer<v1::CaptureHoldResponse> {
        let wanted = request.get_ref().clone();
        let hold = convert::hold_id(&wanted.hold_id)?;
        let amount = wanted.amount.map(|amount| convert::money(Some(amount), "amount"));
        let capture = NewTransaction::Capture {
            hold,
            amount: amount.transpose()?,
            destination: convert::account_id(&wanted.destination_account_id, "destinationAccountId")?,
            releases: wanted.r#final.then_some(hold),
        };
        let notes = Notes {
            reference: wanted.reference,
            effective_at: wanted.effective_at,
            metadata: wanted.metadata,
        };
        let order = notes.on(Command::Post(capture), &self.ambient)?;
        let posted = self
            .post(&request, "CaptureHold", order, wanted.validate_only)
            .await?;
        Ok(Response::new(v1::CaptureHoldResponse {
            balances: posted.balances(),
            hold: posted.holds().into_iter().next(),
            transaction: Some(posted.transaction()),
        }))
    }

    async fn void_hold(&self, request: Request<v1::VoidHoldRequest>) -> Answer<v1::VoidHoldResponse> {
        let hold = convert::hold_id(&request.get_ref().hold_id)?;
        let ended = self.order_hold(&request, "VoidHold", Command::VoidHold(hold));
        let (hold, balance) = ended.await?;
        Ok(Response::new(v1::VoidHoldResponse {
            hold: Some(hold),
            balance: Some(balance),
        }))
    }

    async fn get_hold(&self, request: Request<v1::GetHoldRequest>) -> Answer<v1::GetHoldResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let id = convert::hold_id(&request.get_ref().hold_id)?;
        let found = read::hold(&self.database, merchant, id, self.ambient.clock.now()).await?;
        let found = found.ok_or_else(|| errors::unknown_hold(id))?;
        Ok(Response::new(v1::GetHoldResponse {
            hold: Some(convert::hold(&found)),
        }))
    }

    async fn list_holds(&self, request: Request<v1::ListHoldsRequest>) -> Answer<v1::ListHoldsResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListHolds", &wanted)?;
        let account = convert::account_id(&wanted.account_id, "accountId")?;
        let slice = Slice {
            before: page.cursor()?,
            limit: page.limit(),
        };
        let now = self.ambient.clock.now();
        let found = read::holds(&self.database, merchant, account, (now, wanted.open_only), slice).await?;
        let mut rows = found.ok_or_else(|| errors::unknown_account(account, "accountId"))?;
        let next = page.close(&mut rows, |hold| hold.id.to_string());
        Ok(Response::new(v1::ListHoldsResponse {
            holds: rows.iter().map(convert::hold).collect(),
            page: Some(next),
        }))
    }

    async fn freeze_account(
        &self,
        request: Request<v1::FreezeAccountRequest>,
    ) -> Answer<v1::FreezeAccountResponse> {
        let account = &request.get_ref().account_id;
        let account = self.set_state(&request, "FreezeAccount", account, AccountState::Frozen);
        Ok(Response::new(v1::FreezeAccountResponse {
            account: Some(account.await?),
        }))
    }

    async fn unfreeze_account(
        &self,
        request: Request<v1::UnfreezeAccountRequest>,
    ) -> Answer<v1::UnfreezeAccountResponse> {
        let account = &request.get_ref().account_id;
        let account = self.set_state(&request, "UnfreezeAccount", account, AccountState::Open);
        Ok(Response::new(v1::UnfreezeAccountResponse {
            account: Some(account.await?),
        }))
    }

    async fn close_account(
        &self,
        request: Request<v1::CloseAccountRequest>,
    ) -> Answer<v1::CloseAccountResponse> {
        let account = &request.get_ref().account_id;
        let account = self.set_state(&request, "CloseAccount", account, AccountState::Closed);
        Ok(Response::new(v1::CloseAccountResponse {
            account: Some(account.await?),
        }))
    }

    async fn get_transaction(
        &self,
        request: Request<v1::GetTransactionRequest>,
    ) -> Answer<v1::GetTransactionResponse> {
        let call = Call::of(&request)?;
        let id: TransactionId = request
            .get_ref()
            .transaction_id
            .parse()
            .in_field("transactionId")?;
        let found = read::transaction(&self.database, call.caller.merchant, id).await?;
        let posted = found.ok_or_else(|| errors::unknown_transaction(id))?;
        Ok(Response::new(v1::GetTransactionResponse {
            transaction: Some(convert::transaction(&posted)),
        }))
    }

    async fn list_transactions(
        &self,
        request: Request<v1::ListTransactionsRequest>,
    ) -> Answer<v1::ListTransactionsResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListTransactions", &wanted)?;
        let reference = optional::<Reference>(wanted.reference, "reference")?;
        let (rows, next) = if wanted.account_id.is_empty() {
            let slice = Slice {
                before: page.cursor()?,
                limit: page.limit(),
            };
            let mut rows = read::transactions(&self.database, merchant, reference.as_ref(), slice).await?;
            let next = page.close(&mut rows, |t| t.id.to_string());
            (rows, next)
        } else {
            if reference.is_some() {
                return Err(Error::invalid_field("reference", "cannot be combined with accountId").into());
            }
            let account = convert::account_id(&wanted.account_id, "accountId")?;
            let slice = Slice {
                before: page.cursor()?,
                limit: page.limit(),
            };
            let mut rows = read::transactions_of_account(&self.database, merchant, account, slice).await?;
            let next = page.close(&mut rows, |(_, sequence)| sequence.to_string());
            (rows.into_iter().map(|(t, _)| t).collect(), next)
        };
        Ok(Response::new(v1::ListTransactionsResponse {
            transactions: rows.iter().map(convert::transaction).collect(),
            page: Some(next),
        }))
    }

    async fn get_balance(&self, request: Request<v1::GetBalanceRequest>) -> Answer<v1::GetBalanceResponse> {
        Ok(Response::new(balances::get(self, request).await?))
    }

    async fn batch_create_accounts(
        &self,
        request: Request<v1::BatchCreateAccountsRequest>,
    ) -> Answer<v1::BatchCreateAccountsResponse> {
        Ok(Response::new(accounts::batch_create(self, request).await?))
    }

    async fn lookup_account(
        &self,
        request: Request<v1::LookupAccountRequest>,
    ) -> Answer<v1::LookupAccountResponse> {
        Ok(Response::new(accounts::lookup(self, request).await?))
    }

    async fn batch_get_balances(
        &self,
        request: Request<v1::BatchGetBalancesRequest>,
    ) -> Answer<v1::BatchGetBalancesResponse> {
        Ok(Response::new(balances::batch_get(self, request).await?))
    }

    async fn get_trial_balance(
        &self,
        request: Request<v1::GetTrialBalanceRequest>,
    ) -> Answer<v1::GetTrialBalanceResponse> {
        Ok(Response::new(balances::trial(self, request).await?))
    }

    async fn check_ledger(
        &self,
        request: Request<v1::CheckLedgerRequest>,
    ) -> Answer<v1::CheckLedgerResponse> {
        Ok(Response::new(checks::check(self, request).await?))
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Answer<v1::ListEntriesResponse> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListEntries", &wanted)?;
        let account = convert::account_id(&wanted.account_id, "accountId")?;
        let slice = Slice {
            before: page.cursor()?,
            limit: page.limit(),
        };
        let found = read::entries(&self.database, merchant, account, slice).await?;
        let mut rows = found.ok_or_else(|| errors::unknown_account(account, "accountId"))?;
        let next = page.close(&mut rows, |row| row.entry.account_sequence.to_string());
        Ok(Response::new(v1::ListEntriesResponse {
            entries: rows.iter().map(convert::history_entry).collect(),
            page: Some(next),
        }))
    }
}
