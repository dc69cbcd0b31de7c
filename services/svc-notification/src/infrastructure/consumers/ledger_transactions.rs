//! Causes notifications by what the ledger tells.

use std::sync::Arc;

use lp_contracts::ledger::v1::{AccountType, Direction, PostedEntry, TransactionPosted};
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
        let of_account = || {
            posted
                .entries
                .iter()
                .filter(|entry| entry.account_id == event.key)
        };
        let last = of_account()
            .max_by_key(|entry| entry.account_sequence)
            .ok_or_else(|| HandleError::Poison("no entry of its key".to_owned()))?;
        // Points come from an issuance account and go to a redemption account. What else moves in a customer's
        // account (a transfer, a correction) is not told.
        let moved = |internal: AccountType, side: Direction| {
            let comes_with = posted.entries.iter().any(|entry| {
                entry.account_type() == internal
                    && entry.direction() != side
                    && entry.asset_code == last.asset_code
            });
            let mut sides = of_account().filter(|entry| comes_with && entry.direction() == side);
            sides.try_fold(0_i64, |sum, entry| sum.checked_add(entry.minor_units))
        };
        let earned = moved(AccountType::Issuance, Direction::Credit).ok_or_else(too_much)?;
        let burned = moved(AccountType::Redemption, Direction::Debit).ok_or_else(too_much)?;
        let (template, amount, burned) = match (earned, burned) {
            (0, 0) => return Ok(None),
            (earned, 0) => (Template::PointsEarned, earned, None),
            (0, burned) => (Template::PointsBurned, burned, None),
            (earned, burned) => (Template::PointsExchanged, earned, Some(burned)),
        };
        Ok(Some(NewNotification {
            id: NotificationId::from_uuid(self.ambient.ids.uuid()),
            merchant: event.merchant,
            event: event.id.clone(),
            transaction: posted.transaction_id.parse().map_err(poison("transaction_id"))?,
            account,
            template,
            facts: facts(amount, burned, last)?,
            traceparent: lp_telemetry::current_traceparent().or_else(|| event.traceparent.clone()),
            created_at: event.occurred_at,
        }))
    }
}

fn too_much() -> HandleError {
    HandleError::Poison("minor_units add up to too much".to_owned())
}

/// `last` is the account's last entry in the transaction.
fn facts(amount: i64, burned: Option<i64>, last: &PostedEntry) -> Result<Facts, HandleError> {
    let amount_of = |units| Amount::try_from(units).map_err(poison("minor_units"));
    Ok(Facts {
        amount: amount_of(amount)?,
        burned: burned.map(amount_of).transpose()?,
        asset: AssetCode::try_from(last.asset_code.clone()).map_err(poison("asset_code"))?,
        exponent: u8::try_from(last.asset_exponent)
            .ok()
            .filter(|exponent| *exponent <= 8)
            .ok_or("must be 0 to 8")
            .map_err(poison("asset_exponent"))?,
        balance_after: MinorUnits::new(last.balance_after),
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
