//! Events that this service acts on.

mod ledger_transactions;
mod merchant_onboarded;

use lp_contracts::topics::{LEDGER_TRANSACTIONS, MERCHANT_ONBOARDED};
use lp_kafka::{Event, HandleError, Handler};
use lp_pg::UnitOfWork;

/// The handler of both topics.
#[derive(Debug, Clone, Copy)]
pub struct Rollup;

impl Handler for Rollup {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        match event.topic.as_str() {
            LEDGER_TRANSACTIONS => ledger_transactions::count(work, event).await,
            MERCHANT_ONBOARDED => merchant_onboarded::keep(work, event).await,
            _ => Err(poison(event, "no topic of this consumer")),
        }
    }
}

/// What cannot be understood, ever.
fn poison(event: &Event, what: impl std::fmt::Display) -> HandleError {
    HandleError::Poison(format!("{}: {what}", event.id))
}

/// A payload of another merchant than its record.
fn check_merchant(event: &Event, in_payload: &str) -> Result<(), HandleError> {
    if in_payload == event.merchant.to_string() {
        Ok(())
    } else {
        Err(poison(event, "the payload is of another merchant"))
    }
}
