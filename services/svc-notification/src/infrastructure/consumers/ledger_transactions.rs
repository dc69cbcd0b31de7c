//! Causes notifications by what the ledger tells.

use std::sync::Arc;

use lp_contracts::ledger::v1::{PostedEntry, TransactionKind, TransactionPosted};
use lp_kafka::{Event, HandleError, Handler};
use lp_pg::UnitOfWork;
use lp_types::{AccountId, Amount, AssetCode, MinorUnits, NotificationId, time::Ambient};
use tokio::sync::Notify;

use crate::{
    domain::notification::{Facts, Template},
    infrastructure::postgres::notifications::{self, NewNotification},
};

/// The handler of `ledger.transactions.v1`.
#[derive(Debug)]
pub struct Causes {
    ambient: Ambient,
    wake_courier: Arc<Notify>,
}

impl Causes {
    /// Wakes the courier after each commit.
    pub fn new(ambient: Ambient, wake_courier: Arc<Notify>) -> Self {
        Self {
            ambient,
            wake_courier,
        }
    }

    fn caused_by(&self, event: &Event) -> Result<Option<NewNotification>, HandleError> {
        // A record that is keyed by a merchant touches no customer.
        let Ok(account) = event.key.parse::<AccountId>() else {
            return Ok(None);
        };
        let posted: TransactionPosted = event.message()?;
        let template = match posted.kind() {
            TransactionKind::Earn => Template::PointsEarned,
            TransactionKind::Burn => Template::PointsBurned,
            TransactionKind::General | TransactionKind::Unspecified => return Ok(None),
        };
        let of_account = posted
            .entries
            .iter()
            .filter(|entry| entry.account_id == event.key);
        let last = of_account
            .max_by_key(|entry| entry.account_sequence)
            .ok_or_else(|| HandleError::Poison("no entry of its key".to_owned()))?;
        Ok(Some(NewNotification {
            id: NotificationId::from_uuid(self.ambient.ids.uuid()),
            merchant: event.merchant,
            event: event.id.clone(),
            transaction: posted.transaction_id.parse().map_err(poison("transaction_id"))?,
            account,
            template,
            facts: facts(last)?,
            traceparent: lp_telemetry::current_traceparent().or_else(|| event.traceparent.clone()),
            created_at: event.occurred_at,
        }))
    }
}

fn facts(entry: &PostedEntry) -> Result<Facts, HandleError> {
    Ok(Facts {
        amount: Amount::try_from(entry.minor_units).map_err(poison("minor_units"))?,
        asset: AssetCode::try_from(entry.asset_code.clone()).map_err(poison("asset_code"))?,
        exponent: u8::try_from(entry.asset_exponent)
            .ok()
            .filter(|exponent| *exponent <= 8)
            .ok_or("must be 0 to 8")
            .map_err(poison("asset_exponent"))?,
        balance_after: MinorUnits::new(entry.balance_after),
    })
}

fn poison<E: std::fmt::Display>(field: &'static str) -> impl FnOnce(E) -> HandleError {
    move |error| HandleError::Poison(format!("{field} {error}"))
}

impl Handler for Causes {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        if let Some(caused) = self.caused_by(event)? {
            notifications::insert(work, &caused, self.ambient.clock.now()).await?;
        }
        Ok(())
    }

    async fn committed(&self, _event: &Event) {
        self.wake_courier.notify_one();
    }
}
