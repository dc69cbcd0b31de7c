//! Between the contract's messages and the domain's types.

use jiff::Timestamp;
use ledger_domain::{
    AccountState, AccountType, Asset, AssetKind, Direction, Hold, HoldState, Limits, NewEntry, PostedEntry,
    Shortfall,
};
use lp_contracts::{
    common::v1::Money,
    ledger::v1,
    time::{from_wire, to_wire},
    token::ConsistencyToken,
};
use lp_error::{Error, InField, Result};
use lp_types::{AccountId, Amount, AssetCode, HoldId, MinorUnits, TransactionId};

use crate::infrastructure::{
    events::{account_type, direction, kind},
    postgres::{
        accounts::AccountRecord,
        balances::Balance,
        transactions::{HistoryEntry, PostedTransaction},
    },
};

pub(super) fn account_id(text: &str, field: &str) -> Result<AccountId> {
    text.parse().in_field(field)
}

pub(super) fn hold_id(text: &str) -> Result<HoldId> {
    text.parse().in_field("holdId")
}

/// The holds that end with a transaction.
pub(super) fn releases(texts: &[String]) -> Result<Vec<HoldId>> {
    if texts.len() > ledger_domain::MAX_ENTRIES {
        return Err(Error::invalid_field(
            "releasesHoldIds",
            format!("must be at most {}", ledger_domain::MAX_ENTRIES),
        ));
    }
    let id = |(index, text): (usize, &String)| text.parse().in_field(&format!("releasesHoldIds[{index}]"));
    texts.iter().enumerate().map(id).collect()
}

/// A time, to the microsecond, which is what the ledger keeps.
pub(super) fn time(at: Option<prost_types::Timestamp>, field: &str) -> Result<Timestamp> {
    let at = at.as_ref().and_then(from_wire).in_field(field)?;
    let kept = Timestamp::from_microsecond(at.as_microsecond());
    kept.map_err(|_out_of_range| "is out of range").in_field(field)
}

/// What happens where an account lacks what a reversal takes back.
pub(super) fn shortfall(number: i32, debt_account: &str) -> Result<Shortfall> {
    const FIELD: &str = "debtAccountId";
    let of = v1::Shortfall::try_from(number)
        .map_err(|_| "must be SHORTFALL_REFUSE, SHORTFALL_OVERDRAW or SHORTFALL_OWE")
        .in_field("shortfall")?;
    let owes = of == v1::Shortfall::Owe;
    if !owes && !debt_account.is_empty() {
        return Err(Error::invalid_field(FIELD, "goes with SHORTFALL_OWE only"));
    }
    Ok(match of {
        v1::Shortfall::Unspecified | v1::Shortfall::Refuse => Shortfall::Refuse,
        v1::Shortfall::Overdraw => Shortfall::Overdraw,
        v1::Shortfall::Owe => Shortfall::Owe(account_id(debt_account, FIELD)?),
    })
}

/// The side that a caller named, if any.
pub(super) fn side(number: i32, field: &str) -> Result<Option<Direction>> {
    match v1::Direction::try_from(number) {
        Ok(v1::Direction::Debit) => Ok(Some(Direction::Debit)),
        Ok(v1::Direction::Credit) => Ok(Some(Direction::Credit)),
        Ok(v1::Direction::Unspecified) => Ok(None),
        Err(_) => Err(Error::invalid_field(field, NO_SIDE)),
    }
}

const NO_SIDE: &str = "must be DIRECTION_DEBIT or DIRECTION_CREDIT";

/// An amount and its asset, from the field `field`.
pub(super) fn money(money: Option<Money>, field: &str) -> Result<(Amount, AssetCode)> {
    let money = money.in_field(field)?;
    let amount = Amount::try_from(money.minor_units).in_field(&format!("{field}.minorUnits"))?;
    let asset = AssetCode::try_from(money.asset_code).in_field(&format!("{field}.assetCode"))?;
    Ok((amount, asset))
}

pub(super) fn new_entries(entries: Vec<v1::NewEntry>) -> Result<Vec<NewEntry>> {
    if entries.len() > ledger_domain::MAX_ENTRIES {
        return Err(Error::invalid_field(
            "entries",
            ledger_domain::Invalid::EntryCount,
        ));
    }
    let entry = |(index, entry): (usize, v1::NewEntry)| {
        let field = format!("entries[{index}].direction");
        let direction = side(entry.direction, &field)?.ok_or(NO_SIDE).in_field(&field)?;
        let hold = match entry.hold_id.as_str() {
            "" => None,
            text => Some(text.parse().in_field(&format!("entries[{index}].holdId"))?),
        };
        let (amount, asset) = money(entry.amount, &format!("entries[{index}].amount"))?;
        let account = account_id(&entry.account_id, &format!("entries[{index}].accountId"))?;
        Ok(NewEntry {
            account,
            direction,
            amount,
            asset,
            hold,
        })
    };
    entries.into_iter().enumerate().map(entry).collect()
}

pub(super) fn account_type_of(account_type: v1::AccountType) -> Result<AccountType> {
    match account_type {
        v1::AccountType::Customer => Ok(AccountType::Customer),
        v1::AccountType::Issuance => Ok(AccountType::Issuance),
        v1::AccountType::Redemption => Ok(AccountType::Redemption),
        v1::AccountType::External => Ok(AccountType::External),
        v1::AccountType::GiftCard => Ok(AccountType::GiftCard),
        v1::AccountType::Sales => Ok(AccountType::Sales),
        v1::AccountType::LoyaltyCost => Ok(AccountType::LoyaltyCost),
        v1::AccountType::Breakage => Ok(AccountType::Breakage),
        v1::AccountType::Unspecified => Err(Error::invalid_field(
            "type",
            "must be ACCOUNT_TYPE_CUSTOMER, ACCOUNT_TYPE_ISSUANCE, ACCOUNT_TYPE_REDEMPTION or ACCOUNT_TYPE_EXTERNAL",
        )),
    }
}

pub(super) fn limits(account_type: AccountType, min: Option<i64>, max: Option<i64>) -> Result<Limits> {
    let min = min.map(MinorUnits::new).or(account_type.default_limits().min);
    let max = max.map(MinorUnits::new);
    // The account opens empty: zero must be allowed.
    if min.is_some_and(|min| min > MinorUnits::ZERO) {
        return Err(Error::invalid_field(
            "minBalance",
            "must be at most zero: accounts open empty",
        ));
    }
    if max.is_some_and(|max| max < MinorUnits::ZERO) {
        return Err(Error::invalid_field(
            "maxBalance",
            "must be at least zero: accounts open empty",
        ));
    }
    Ok(Limits { min, max })
}

pub(super) fn asset(asset: &Asset) -> v1::Asset {
    let (kind, points) = match asset.kind {
        AssetKind::Currency => (v1::AssetKind::Currency, None),
        AssetKind::Points(points) => (v1::AssetKind::Points, Some(points)),
    };
    v1::Asset {
        code: asset.code.as_str().to_owned(),
        kind: kind.into(),
        exponent: asset.exponent.into(),
        issuance_account_id: points.map(|p| p.issuance.to_string()).unwrap_or_default(),
        redemption_account_id: points.map(|p| p.redemption.to_string()).unwrap_or_default(),
        created_at: Some(to_wire(asset.created_at)),
    }
}

fn wire_money(minor_units: MinorUnits, asset: &AssetCode) -> Option<Money> {
    Some(Money {
        minor_units: minor_units.get(),
        asset_code: asset.as_str().to_owned(),
    })
}

/// What an account held, in this life of the ledger.
pub(super) fn balance(of: &Balance, epoch: i64) -> v1::Balance {
    let token = ConsistencyToken {
        account: of.account,
        epoch,
        sequence: of.sequence,
    };
    v1::Balance {
        account_id: of.account.to_string(),
        balance: wire_money(of.balance, &of.asset),
        sequence: of.sequence,
        posted_at: of.posted_at.map(to_wire),
        consistency_token: token.encode(),
        available: of.available.map(MinorUnits::get),
    }
}

/// What an account holds.
pub(super) fn current_balance(record: &AccountRecord, epoch: i64) -> Result<v1::Balance> {
    let out_of_range = || Error::internal(format!("{} is out of range", record.account.id));
    let of = Balance::of(&record.account).ok_or_else(out_of_range)?;
    Ok(balance(&of, epoch))
}

pub(super) fn account(record: &AccountRecord, epoch: i64) -> Result<v1::Account> {
    let account = &record.account;
    Ok(v1::Account {
        account_id: account.id.to_string(),
        asset_code: account.asset.as_str().to_owned(),
        r#type: account_type(account.account_type).into(),
        normal_balance: direction(account.account_type.normal_balance()).into(),
        min_balance: account.limits.min.map(MinorUnits::get),
        max_balance: account.limits.max.map(MinorUnits::get),
        reference: record
            .reference
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        balance: Some(current_balance(record, epoch)?),
        posted_debits: account.posted_debits.get(),
        posted_credits: account.posted_credits.get(),
        created_at: Some(to_wire(record.created_at)),
        state: account_state(account.state).into(),
        debt: account.debt.get(),
        metadata: record.metadata.pairs().clone(),
    })
}

fn account_state(of: AccountState) -> v1::AccountState {
    match of {
        AccountState::Open => v1::AccountState::Open,
        AccountState::Frozen => v1::AccountState::Frozen,
        AccountState::Closed => v1::AccountState::Closed,
    }
}

pub(super) fn hold(of: &Hold) -> v1::Hold {
    let state = match of.state {
        HoldState::Open => v1::HoldState::Open,
        HoldState::Captured => v1::HoldState::Captured,
        HoldState::Voided => v1::HoldState::Voided,
        HoldState::Expired => v1::HoldState::Expired,
    };
    v1::Hold {
        hold_id: of.id.to_string(),
        account_id: of.account.to_string(),
        direction: direction(of.direction).into(),
        amount: wire_money(MinorUnits::new(of.amount.get()), &of.asset),
        captured: of.captured.get(),
        remaining: of.remaining().get(),
        state: state.into(),
        reference: of.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
        placed_at: Some(to_wire(of.placed_at)),
        expires_at: Some(to_wire(of.expires_at)),
    }
}

fn entry(id: TransactionId, posted_at: Timestamp, entry: &PostedEntry) -> v1::Entry {
    v1::Entry {
        transaction_id: id.to_string(),
        line: entry.line.into(),
        account_id: entry.account.to_string(),
        direction: direction(entry.direction).into(),
        amount: wire_money(MinorUnits::new(entry.amount.get()), &entry.asset),
        account_sequence: entry.account_sequence,
        balance_after: entry.balance_after.get(),
        posted_at: Some(to_wire(posted_at)),
        hold_id: entry.hold.map(|hold| hold.to_string()).unwrap_or_default(),
        reverses_line: entry.reverses.unwrap_or_default().into(),
    }
}

pub(super) fn history_entry(of: &HistoryEntry) -> v1::Entry {
    entry(of.transaction, of.posted_at, &of.entry)
}

pub(super) fn transaction(posted: &PostedTransaction) -> v1::Transaction {
    v1::Transaction {
        transaction_id: posted.id.to_string(),
        kind: kind(posted.kind).into(),
        reference: posted
            .reference
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        entries: posted
            .entries
            .iter()
            .map(|e| entry(posted.id, posted.posted_at, e))
            .collect(),
        posted_at: Some(to_wire(posted.posted_at)),
        reverses_transaction_id: posted.reverses.map(|id| id.to_string()).unwrap_or_default(),
        effective_at: Some(to_wire(posted.effective_at.unwrap_or(posted.posted_at))),
        metadata: posted.metadata.pairs().clone(),
    }
}

/// Each touched account after the transaction, in order of first entry.
pub(super) fn balances_after(posted: &PostedTransaction, epoch: i64) -> Vec<v1::Balance> {
    let mut balances: Vec<(AccountId, v1::Balance)> = Vec::new();
    for entry in &posted.entries {
        let of = Balance {
            account: entry.account,
            asset: entry.asset.clone(),
            balance: entry.balance_after,
            sequence: entry.account_sequence,
            posted_at: Some(posted.posted_at),
            // What holds reserved then is not part of the transaction.
            available: None,
        };
        let balance = balance(&of, epoch);
        // An account's last entry tells what it holds afterwards.
        match balances.iter_mut().find(|(id, _)| *id == entry.account) {
            Some((_, standing)) => *standing = balance,
            None => balances.push((entry.account, balance)),
        }
    }
    balances.into_iter().map(|(_, balance)| balance).collect()
}
