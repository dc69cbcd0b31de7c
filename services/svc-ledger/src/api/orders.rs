//! Commands through the queue of the poster, and what became of them.

use ledger_domain::{AccountState, Command, Hold};
use lp_chassis::call::{claim, optional};
use lp_contracts::ledger::v1;
use lp_error::{Error, Result};
use lp_types::{AccountId, Reference};
use prost::Message;
use tonic::Request;

use super::{convert, errors, grpc::LedgerApi};
use crate::{
    application::post_transaction::{Outcome, Verdict, Wanted},
    infrastructure::postgres::transactions::PostedTransaction,
};

/// What was posted, in which life of the ledger.
pub(super) struct Posted {
    pub(super) transaction: PostedTransaction,
    /// The holds that it drew on, after it.
    pub(super) holds: Vec<Hold>,
    epoch: i64,
}

impl Posted {
    pub(super) fn balances(&self) -> Vec<v1::Balance> {
        convert::balances_after(&self.transaction, self.epoch)
    }

    /// The customer's account after an Earn or Burn.
    pub(super) fn balance_of(&self, account: AccountId) -> Option<v1::Balance> {
        let account = account.to_string();
        self.balances().into_iter().find(|b| b.account_id == account)
    }
}

/// A command that did what another one does.
fn unexpected(outcome: &Outcome) -> Error {
    Error::internal(format!("not what was asked for: {outcome:?}"))
}

impl LedgerApi {
    /// Has a command carried out, and tells what it did, in which life of the ledger.
    pub(super) async fn order<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        command: Command,
        reference: String,
    ) -> Result<(Outcome, i64)> {
        let wanted = Wanted {
            claim: claim(request, rpc, self.ambient.clock.now())?,
            command,
            reference: optional::<Reference>(reference, "reference")?,
            traceparent: lp_telemetry::current_traceparent(),
        };
        match self.queue.post(wanted).await? {
            Verdict::Done { outcome, epoch } => Ok((outcome, epoch)),
            Verdict::Refused(refusal) => Err(errors::refused(&refusal)),
            Verdict::KeyReused => Err(lp_pg::idempotency::reused()),
        }
    }

    /// As [`Self::order`], for what posts.
    pub(super) async fn post<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        command: Command,
        reference: String,
    ) -> Result<Posted> {
        match self.order(request, rpc, command, reference).await? {
            (Outcome::Posted { transaction, holds }, epoch) => Ok(Posted {
                transaction,
                holds,
                epoch,
            }),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// As [`Self::order`], for what places or ends a hold.
    pub(super) async fn order_hold<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        command: Command,
    ) -> Result<(v1::Hold, v1::Balance)> {
        match self.order(request, rpc, command, String::new()).await? {
            (Outcome::Hold(hold, record), epoch) => {
                Ok((convert::hold(&hold), convert::balance(&record, epoch)?))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// As [`Self::order`], for what changes an account.
    pub(super) async fn set_state<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        account: &str,
        state: AccountState,
    ) -> Result<v1::Account> {
        let command = Command::SetState(convert::account_id(account, "accountId")?, state);
        match self.order(request, rpc, command, String::new()).await? {
            (Outcome::State(record), epoch) => convert::account(&record, epoch),
            (other, _) => Err(unexpected(&other)),
        }
    }
}
