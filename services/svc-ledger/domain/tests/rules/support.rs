//! A small book: customers 0 to 3 (3 may hold at most 500), issuance 10, redemption 11, and outside 12, all of PTS;
//! and in EUR a gift card 20, outside 21 and sales 22.

use jiff::Timestamp;
use ledger_domain::{
    Account, AccountType, Book, Command, Decision, Direction, Limits, NewEntry, NewTransaction, Original,
    OriginalLine, PointsAccounts, PostedEntry, Refusal, TransactionKind,
};
use lp_types::{AccountId, Amount, AssetCode, HoldId, MerchantId, MinorUnits, TransactionId};
use uuid::Uuid;

pub(crate) const MERCHANT: MerchantId = MerchantId::from_uuid(Uuid::from_u128(1));
pub(crate) const OTHER: MerchantId = MerchantId::from_uuid(Uuid::from_u128(2));
pub(crate) const CUSTOMERS: u128 = 4;
pub(crate) const ISSUANCE: u128 = 10;
pub(crate) const REDEMPTION: u128 = 11;
pub(crate) const OUTSIDE: u128 = 12;
pub(crate) const CARD: u128 = 20;
pub(crate) const BANK: u128 = 21;
pub(crate) const SALES: u128 = 22;

pub(crate) fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(100 + n))
}

pub(crate) fn hold_id(n: u128) -> HoldId {
    HoldId::from_uuid(Uuid::from_u128(1_000 + n))
}

pub(crate) fn transaction_id(n: u128) -> TransactionId {
    TransactionId::from_uuid(Uuid::from_u128(5_000 + n))
}

pub(crate) fn asset(code: &str) -> AssetCode {
    AssetCode::try_from(code.to_owned()).unwrap()
}

pub(crate) fn asset_of(n: u128) -> AssetCode {
    asset(if n < CARD { "PTS" } else { "EUR" })
}

pub(crate) fn amount(n: i64) -> Amount {
    Amount::try_from(n).unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

pub(crate) fn account(n: u128, account_type: AccountType, limits: Limits) -> Account {
    Account::open(account_id(n), MERCHANT, asset_of(n), account_type, limits)
}

pub(crate) fn book() -> Book {
    let of = |n, account_type: AccountType| account(n, account_type, account_type.default_limits());
    let mut accounts: Vec<_> = (0..CUSTOMERS).map(|n| of(n, AccountType::Customer)).collect();
    accounts[3].limits.max = Some(MinorUnits::new(500));
    accounts.extend([
        of(ISSUANCE, AccountType::Issuance),
        of(REDEMPTION, AccountType::Redemption),
        of(OUTSIDE, AccountType::External),
        of(CARD, AccountType::GiftCard),
        of(BANK, AccountType::External),
        of(SALES, AccountType::Sales),
    ]);
    let points = PointsAccounts {
        issuance: account_id(ISSUANCE),
        redemption: account_id(REDEMPTION),
    };
    Book::new(accounts, [(MERCHANT, asset("PTS"), points)])
}

pub(crate) fn entry(account: u128, direction: Direction, n: i64) -> NewEntry {
    NewEntry {
        account: account_id(account),
        direction,
        amount: amount(n),
        asset: asset_of(account),
        hold: None,
    }
}

pub(crate) fn debit(account: u128, n: i64) -> NewEntry {
    entry(account, Direction::Debit, n)
}

pub(crate) fn credit(account: u128, n: i64) -> NewEntry {
    entry(account, Direction::Credit, n)
}

pub(crate) fn general(entries: Vec<NewEntry>) -> Command {
    Command::Post(NewTransaction::general(entries, Vec::new()).unwrap())
}

pub(crate) fn earn(customer: u128, n: i64) -> Command {
    Command::Post(NewTransaction::Earn {
        account: account_id(customer),
        amount: amount(n),
        asset: asset("PTS"),
    })
}

pub(crate) fn burn(customer: u128, n: i64) -> Command {
    Command::Post(NewTransaction::Burn {
        account: account_id(customer),
        amount: amount(n),
        asset: asset("PTS"),
    })
}

/// Carries out a command that posts.
pub(crate) fn post(book: &mut Book, command: &Command, now: Timestamp) -> Result<Vec<PostedEntry>, Refusal> {
    match book.decide(MERCHANT, command, now)? {
        Decision::Posted { entries, .. } => Ok(entries),
        other => panic!("{command:?} did not post: {other:?}"),
    }
}

pub(crate) fn balance(book: &Book, n: u128) -> i64 {
    book.get(account_id(n)).unwrap().balance().unwrap().get()
}

pub(crate) fn available(book: &Book, n: u128) -> i64 {
    book.get(account_id(n)).unwrap().available().unwrap().get()
}

/// What was posted, as a reversal is told of it.
pub(crate) fn original(n: u128, kind: TransactionKind, entries: &[PostedEntry]) -> Original {
    let line = |entry: &PostedEntry| OriginalLine {
        line: entry.line,
        account: entry.account,
        direction: entry.direction,
        amount: entry.amount,
        asset: entry.asset.clone(),
        reversed: 0,
    };
    Original {
        id: transaction_id(n),
        merchant: MERCHANT,
        kind,
        lines: entries.iter().map(line).collect(),
    }
}
