//! Commands through the queue of the poster, and what became of them.

use std::collections::BTreeMap;

use ledger_domain::{AccountState, Command, Hold, Metadata};
use lp_chassis::call::{claim, optional};
use lp_contracts::ledger::v1;
use lp_error::{Error, InField, Result};
use lp_pg::idempotency::Claim;
use lp_types::{AccountId, Reference, TransactionId, time::Ambient};
use prost::Message;
use prost_types::Timestamp;
use tonic::Request;

use super::{convert, errors, grpc::LedgerApi};
use crate::{
    application::post_transaction::{Order, Outcome, Terms, Verdict, Wanted},
    infrastructure::postgres::transactions::PostedTransaction,
};

/// What was posted, in which life of the ledger, or would be.
pub(super) struct Posted {
    transaction: PostedTransaction,
    holds: Vec<Hold>,
    epoch: i64,
    preview: bool,
}

impl Posted {
    pub(super) fn of(outcome: Outcome, epoch: i64, preview: bool) -> Result<Self> {
        match outcome {
            Outcome::Posted { transaction, holds } => Ok(Self {
                transaction,
                holds,
                epoch,
                preview,
            }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn transaction(&self) -> v1::Transaction {
        let mut transaction = convert::transaction(&self.transaction);
        if self.preview {
            transaction.transaction_id.clear();
            for entry in &mut transaction.entries {
                entry.transaction_id.clear();
            }
        }
        transaction
    }

    pub(super) fn balances(&self) -> Vec<v1::Balance> {
        let mut balances = convert::balances_after(&self.transaction, self.epoch);
        if self.preview {
            for balance in &mut balances {
                balance.consistency_token.clear();
            }
        }
        balances
    }

    /// The holds that it drew on, after it.
    pub(super) fn holds(&self) -> Vec<v1::Hold> {
        self.holds.iter().map(convert::hold).collect()
    }

    /// The customer's account after an Earn or Burn.
    pub(super) fn balance_of(&self, account: AccountId) -> Option<v1::Balance> {
        let account = account.to_string();
        self.balances().into_iter().find(|b| b.account_id == account)
    }

    pub(super) fn created(&self) -> v1::CreateTransactionResponse {
        v1::CreateTransactionResponse {
            transaction: Some(self.transaction()),
            balances: self.balances(),
            holds: self.holds(),
        }
    }
}

/// What one order did, in which life of the ledger.
pub(super) fn only(verdict: Verdict) -> Result<(Outcome, i64)> {
    match verdict {
        Verdict::Done { outcomes, epoch } => match outcomes.into_iter().next() {
            Some(Ok(outcome)) => Ok((outcome, epoch)),
            Some(Err(refusal)) => Err(errors::refused(&refusal)),
            None => Err(Error::internal("an order without an outcome")),
        },
        Verdict::Refused { refusal, .. } => Err(errors::refused(&refusal)),
        Verdict::KeyReused => Err(lp_pg::idempotency::reused()),
    }
}

/// The order of a command without notes.
fn order(command: Command, ambient: &Ambient) -> Order {
    Order {
        command,
        terms: Terms::default(),
        transaction: TransactionId::from_uuid(ambient.ids.uuid()),
    }
}

/// A command that did what another one does.
fn unexpected(outcome: &Outcome) -> Error {
    Error::internal(format!("not what was asked for: {outcome:?}"))
}

/// What an rpc that posts was asked beside its command.
pub(super) struct Notes {
    pub(super) reference: String,
    pub(super) effective_at: Option<Timestamp>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Notes {
    /// The order of a command with these notes.
    pub(super) fn on(self, command: Command, ambient: &Ambient) -> Result<Order> {
        let effective_at = self.effective_at.map(|at| convert::time(Some(at), "effectiveAt"));
        let effective_at = effective_at.transpose()?;
        if effective_at.is_some_and(|at| at > ambient.clock.now()) {
            return Err(Error::invalid_field("effectiveAt", "must not be in the future"));
        }
        let terms = Terms {
            reference: optional::<Reference>(self.reference, "reference")?,
            effective_at,
            metadata: Metadata::try_from(self.metadata).in_field("metadata")?,
        };
        Ok(Order {
            terms,
            ..order(command, ambient)
        })
    }
}

impl LedgerApi {
    /// What becomes of orders, or would become of them.
    pub(super) async fn verdict(
        &self,
        claim: Claim,
        orders: Vec<Order>,
        all_or_nothing: bool,
        validate_only: bool,
    ) -> Result<Verdict> {
        let wanted = Wanted {
            claim,
            orders,
            all_or_nothing,
            traceparent: lp_telemetry::current_traceparent(),
        };
        if validate_only {
            return self.queue.preview(&wanted).await;
        }
        self.queue.post(wanted).await
    }

    /// Has a command carried out, and tells what it did, in which life of the ledger.
    async fn order<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        order: Order,
        validate_only: bool,
    ) -> Result<(Outcome, i64)> {
        let claim = claim(request, rpc, self.ambient.clock.now())?;
        only(self.verdict(claim, vec![order], true, validate_only).await?)
    }

    /// As [`Self::order`], for what posts.
    pub(super) async fn post<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        order: Order,
        validate_only: bool,
    ) -> Result<Posted> {
        let (outcome, epoch) = self.order(request, rpc, order, validate_only).await?;
        Posted::of(outcome, epoch, validate_only)
    }

    /// As [`Self::order`], for what places or ends a hold.
    pub(super) async fn order_hold<M: Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
        command: Command,
    ) -> Result<(v1::Hold, v1::Balance)> {
        match self
            .order(request, rpc, order(command, &self.ambient), false)
            .await?
        {
            (Outcome::Hold(hold, record), epoch) => {
                Ok((convert::hold(&hold), convert::current_balance(&record, epoch)?))
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
        match self
            .order(request, rpc, order(command, &self.ambient), false)
            .await?
        {
            (Outcome::State(record), epoch) => convert::account(&record, epoch),
            (other, _) => Err(unexpected(&other)),
        }
    }
}
