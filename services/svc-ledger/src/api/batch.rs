//! Several transactions in one call.

use ledger_domain::{Command, MAX_ENTRIES, NewTransaction};
use lp_chassis::call::claim;
use lp_contracts::ledger::v1::{self, transaction_result};
use lp_error::{Error, Result};
use lp_types::time::Ambient;
use tonic::Request;

use super::{
    convert, errors,
    grpc::LedgerApi,
    orders::{Notes, Posted},
};
use crate::application::post_transaction::{Order, Verdict};

/// Transactions in one call at most.
const MAX_TRANSACTIONS: usize = 500;
/// Entries in one call at most, of transactions that stand each for itself.
const MAX_BATCH_ENTRIES: usize = 5_000;

/// What CreateTransaction asks for.
pub(super) fn order(wanted: v1::CreateTransactionRequest, ambient: &Ambient) -> Result<Order> {
    let entries = convert::new_entries(wanted.entries)?;
    let releases = convert::releases(&wanted.releases_hold_ids)?;
    let transaction =
        NewTransaction::general(entries, releases).map_err(|invalid| errors::invalid(&invalid))?;
    let notes = Notes {
        reference: wanted.reference,
        effective_at: wanted.effective_at,
        metadata: wanted.metadata,
    };
    notes.on(Command::Post(transaction), ambient)
}

pub(super) async fn create(
    api: &LedgerApi,
    request: Request<v1::BatchCreateTransactionsRequest>,
) -> Result<v1::BatchCreateTransactionsResponse> {
    let claim = claim(&request, "BatchCreateTransactions", api.ambient.clock.now())?;
    let wanted = request.into_inner();
    let (all_or_nothing, validate_only) = (wanted.all_or_nothing, wanted.validate_only);
    let orders = orders(wanted, &api.ambient)?;
    match api.verdict(claim, orders, all_or_nothing, validate_only).await? {
        Verdict::Done { outcomes, epoch } => {
            let result = |outcome| {
                let result = match outcome {
                    Ok(outcome) => transaction_result::Result::Posted(
                        Posted::of(outcome, epoch, validate_only)?.created(),
                    ),
                    Err(refusal) => transaction_result::Result::Refused(refused(&errors::refused(&refusal))),
                };
                let result = Some(result);
                Ok(v1::TransactionResult { result })
            };
            let results = outcomes.into_iter().map(result).collect::<Result<_>>()?;
            Ok(v1::BatchCreateTransactionsResponse { results })
        }
        Verdict::Refused { index, refusal } => Err(errors::refused(&refusal).within(&part(index))),
        Verdict::KeyReused => Err(lp_pg::idempotency::reused()),
    }
}

fn orders(wanted: v1::BatchCreateTransactionsRequest, ambient: &Ambient) -> Result<Vec<Order>> {
    if !(1..=MAX_TRANSACTIONS).contains(&wanted.transactions.len()) {
        return Err(Error::invalid_field(
            "transactions",
            format!("must be 1 to {MAX_TRANSACTIONS}"),
        ));
    }
    let most = if wanted.all_or_nothing {
        MAX_ENTRIES
    } else {
        MAX_BATCH_ENTRIES
    };
    let entries: usize = wanted.transactions.iter().map(|t| t.entries.len()).sum();
    if entries > most {
        return Err(Error::invalid_field(
            "transactions",
            format!("must be of at most {most} entries together"),
        ));
    }
    let order = |(index, transaction): (usize, v1::CreateTransactionRequest)| {
        if transaction.validate_only {
            return Err(Error::invalid_field(
                format!("{}.validateOnly", part(index)),
                "stands beside the transactions",
            ));
        }
        order(transaction, ambient).map_err(|error| error.within(&part(index)))
    };
    wanted.transactions.into_iter().enumerate().map(order).collect()
}

fn part(index: usize) -> String {
    format!("transactions[{index}]")
}

/// An error as one of several results.
pub(super) fn refused(error: &Error) -> v1::TransactionRefusal {
    v1::TransactionRefusal {
        reason: error.reason().to_owned(),
        message: error.message().to_owned(),
        field: error
            .fields()
            .first()
            .map(|f| f.field.clone())
            .unwrap_or_default(),
        metadata: error
            .metadata()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}
