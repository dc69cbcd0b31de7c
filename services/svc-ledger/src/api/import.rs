//! A stream of transactions of any length.

use std::{collections::VecDeque, time::Duration};

use lp_chassis::{Call, call::fingerprint};
use lp_contracts::ledger::v1;
use lp_error::{Code, Error, InField, Result};
use lp_pg::idempotency::Claim;
use lp_types::{CallerContext, IdempotencyKey};
use tokio::time::timeout;
use tonic::{Request, Streaming};

use super::{batch, grpc::LedgerApi, orders::only};
use crate::application::post_transaction::{Pending, Wanted};

/// Transactions of one stream in the queue at once. What comes after waits in the client, by HTTP/2's flow control.
const UNDER_WAY: usize = 256;
/// Refusals that are named in the answer.
const NAMED: usize = 1_000;
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(
    api: &LedgerApi,
    request: Request<Streaming<v1::ImportTransactionsRequest>>,
) -> Result<v1::ImportTransactionsResponse> {
    let caller = Call::of(&request)?.caller;
    let mut stream = request.into_inner();
    let mut import = Import::default();
    loop {
        let next = timeout(SILENCE, stream.message()).await;
        let next = next.map_err(|_silent| Error::deadline_exceeded())?;
        let Some(item) = next.map_err(|status| broken(&status))? else {
            break;
        };
        if import.under_way.len() >= UNDER_WAY {
            import.settle().await?;
        }
        let key = item.idempotency_key.clone();
        let step = match wanted(api, &caller, item) {
            Ok(wanted) => Step::Queued(api.queue.enter(wanted).await?),
            Err(error) => Step::Refused(error),
        };
        import.under_way.push_back((key, step));
    }
    while !import.under_way.is_empty() {
        import.settle().await?;
    }
    Ok(import.answer)
}

/// The client has gone, or sent what is no message.
fn broken(status: &tonic::Status) -> Error {
    Error::new(
        Code::InvalidArgument,
        lp_error::DOMAIN,
        "MALFORMED_BODY",
        status.message().to_owned(),
    )
}

/// An item as CreateTransaction would take it, under the same key.
fn wanted(api: &LedgerApi, caller: &CallerContext, item: v1::ImportTransactionsRequest) -> Result<Wanted> {
    let key = IdempotencyKey::try_from(item.idempotency_key).in_field("idempotencyKey")?;
    let transaction = item.transaction.in_field("transaction")?;
    if transaction.validate_only {
        return Err(Error::invalid_field(
            "transaction.validateOnly",
            "is not for a stream",
        ));
    }
    let claim = Claim {
        caller: caller.clone(),
        rpc: "CreateTransaction",
        key,
        fingerprint: fingerprint(&transaction),
        at: api.ambient.clock.now(),
    };
    let order = batch::order(transaction, &api.ambient).map_err(|error| error.within("transaction"))?;
    Ok(Wanted {
        claim,
        orders: vec![order],
        all_or_nothing: true,
        traceparent: lp_telemetry::current_traceparent(),
    })
}

#[derive(Default)]
struct Import {
    /// In the order of the stream.
    under_way: VecDeque<(String, Step)>,
    answer: v1::ImportTransactionsResponse,
}

enum Step {
    Queued(Pending),
    Refused(Error),
}

impl Import {
    /// Waits for the earliest.
    async fn settle(&mut self) -> Result<()> {
        let Some((key, step)) = self.under_way.pop_front() else {
            return Ok(());
        };
        let error = match step {
            // What is no verdict ends the stream: the client sends it again.
            Step::Queued(pending) => match only(pending.verdict().await?) {
                Ok(_posted) => {
                    self.answer.posted = self.answer.posted.saturating_add(1);
                    return Ok(());
                }
                Err(refused) => refused.within("transaction"),
            },
            Step::Refused(error) => error,
        };
        if self.answer.refusals.len() < NAMED {
            self.answer.refusals.push(v1::ImportRefusal {
                index: self.answer.posted.saturating_add(self.answer.refused),
                idempotency_key: key,
                refusal: Some(batch::refused(&error)),
            });
        }
        self.answer.refused = self.answer.refused.saturating_add(1);
        Ok(())
    }
}
