//! What the contract says, as the history tells of it, and the other way.

use anyhow::{Context as _, anyhow};
use history_checker::{Balance, Entry, Kind, Line, Outcome, Side, Transaction};
use lp_contracts::{
    common::v1::{Money, PageRequest, PageResponse},
    ledger::v1 as ledger,
    time,
};
use lp_types::MerchantId;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::{Token, time_zone};

/// The largest page.
const PAGE: i32 = 500;

/// The first page of a list.
pub(crate) fn first_page() -> PageRequest {
    PageRequest {
        page_size: PAGE,
        page_token: String::new(),
    }
}

/// The page after an answer; none after the last.
pub(crate) fn next_page(page: Option<PageResponse>) -> Option<PageRequest> {
    let token = page
        .map(|page| page.next_page_token)
        .filter(|token| !token.is_empty())?;
    Some(PageRequest {
        page_token: token,
        ..first_page()
    })
}

/// A failed call: refused where that is an answer, unknown where it is none.
pub(crate) fn outcome_of(status: &Status) -> Outcome {
    let info = status.get_details_error_info();
    // Without details it is the transport's word, and not the service's. tonic says CANCELLED both for a deadline that
    // passed and for a request that never left, since its connection was closed.
    let reason = info.map_or_else(
        || match status.code() {
            Code::Cancelled if status.message().contains("Timeout expired") => "DeadlineExceeded".to_owned(),
            Code::Cancelled => "Unavailable".to_owned(),
            code => format!("{code:?}"),
        },
        |info| info.reason,
    );
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Internal
        | Code::Unknown => Outcome::Unknown(reason),
        _ => Outcome::Refused(reason),
    }
}

/// An amount of an asset.
pub(crate) fn money(amount: i64, asset: &str) -> Option<Money> {
    Some(Money {
        minor_units: amount,
        asset_code: asset.to_owned(),
    })
}

/// A side, as requests have it.
pub(crate) fn direction(side: Side) -> ledger::Direction {
    match side {
        Side::Debit => ledger::Direction::Debit,
        Side::Credit => ledger::Direction::Credit,
    }
}

/// An entry of an asset to be posted.
pub(crate) fn new_entry(line: &Line, asset: &str) -> ledger::NewEntry {
    ledger::NewEntry {
        account_id: line.account.clone(),
        direction: direction(line.side).into(),
        amount: money(line.amount, asset),
        hold_id: line.hold.clone().unwrap_or_default(),
    }
}

/// The position that a balance hands out.
pub(crate) fn token(balance: &ledger::Balance) -> Token {
    let (account, text) = (balance.account_id.clone(), balance.consistency_token.clone());
    Token {
        account,
        sequence: balance.sequence,
        text,
    }
}

/// A balance, as histories have it.
pub(crate) fn balance_of(balance: &ledger::Balance) -> anyhow::Result<Balance> {
    let held = balance.balance.as_ref().context("a balance without amount")?;
    Ok(Balance {
        account: balance.account_id.clone(),
        balance: held.minor_units,
        sequence: balance.sequence,
        available: balance.available,
    })
}

/// A transaction, as histories have it.
pub(crate) fn transaction_of(
    merchant: MerchantId,
    found: Option<ledger::Transaction>,
) -> anyhow::Result<Transaction> {
    let found = found.context("an answer without transaction")?;
    let kind = match found.kind() {
        ledger::TransactionKind::General => Kind::General,
        ledger::TransactionKind::Earn => Kind::Earn,
        ledger::TransactionKind::Burn => Kind::Burn,
        ledger::TransactionKind::Capture => Kind::Capture,
        ledger::TransactionKind::Reversal => Kind::Reversal,
        other => return Err(anyhow!("a transaction of kind {other:?}, which nobody asked for")),
    };
    Ok(Transaction {
        id: found.transaction_id,
        merchant: merchant.to_string(),
        kind,
        day: day_of(merchant, found.posted_at.as_ref().and_then(time::from_wire))?,
        reference: found.reference,
        reverses: Some(found.reverses_transaction_id).filter(|id| !id.is_empty()),
        entries: found
            .entries
            .into_iter()
            .map(entry_of)
            .collect::<anyhow::Result<_>>()?,
    })
}

/// The day in the merchant's time zone, `YYYY-MM-DD`.
fn day_of(merchant: MerchantId, posted_at: Option<jiff::Timestamp>) -> anyhow::Result<String> {
    let at = posted_at.context("a transaction without a time")?;
    Ok(at.in_tz(time_zone(merchant))?.date().to_string())
}

/// An entry, as histories have it.
pub(crate) fn entry_of(entry: ledger::Entry) -> anyhow::Result<Entry> {
    let side = side_of(entry.direction())?;
    Ok(Entry {
        transaction: entry.transaction_id,
        account: entry.account_id,
        side,
        amount: entry.amount.context("an entry without amount")?.minor_units,
        sequence: entry.account_sequence,
        balance_after: entry.balance_after,
        hold: Some(entry.hold_id).filter(|hold| !hold.is_empty()),
        reverses_line: entry.reverses_line,
    })
}

/// A side, as answers have it.
pub(crate) fn side_of(direction: ledger::Direction) -> anyhow::Result<Side> {
    match direction {
        ledger::Direction::Debit => Ok(Side::Debit),
        ledger::Direction::Credit => Ok(Side::Credit),
        ledger::Direction::Unspecified => Err(anyhow!("neither debit nor credit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_is_a_refusal() {
        assert_eq!(
            outcome_of(&Status::unavailable("")),
            Outcome::Unknown("Unavailable".to_owned())
        );
        for (message, reason) in [("Timeout expired", "DeadlineExceeded"), ("", "Unavailable")] {
            let outcome = outcome_of(&Status::cancelled(message));
            assert_eq!(outcome, Outcome::Unknown(reason.to_owned()));
        }
        assert_eq!(
            outcome_of(&Status::aborted("")),
            Outcome::Refused("Aborted".to_owned())
        );
        let fault = Status::with_error_details(
            Code::Internal,
            "",
            tonic_types::ErrorDetails::with_error_info(
                "INTERNAL",
                "localplus",
                std::collections::HashMap::new(),
            ),
        );
        assert_eq!(outcome_of(&fault), Outcome::Unknown("INTERNAL".to_owned()));
    }
}
