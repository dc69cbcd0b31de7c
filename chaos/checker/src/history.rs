//! What was seen of the fleet from outside, and how it is written down: one JSON object a line.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::{
    command::{ClockBound, Command, Held, Hold, State},
    trade::{Card, Done, Drain, Figures, Look, Programme, Purchase, Trade},
};

/// Everything that was seen of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Every account that traffic could touch.
    pub accounts: Vec<Account>,
    /// Every call, in any order.
    pub operations: Vec<Operation>,
    /// At the end: what each merchant's list of transactions shows.
    pub transactions: Vec<Transaction>,
    /// At the end: what each account's list of entries shows.
    pub entries: Vec<Entry>,
    /// At the end: what the ledger says that each account holds.
    pub ledger_balances: Vec<Balance>,
    /// At the end: what the wallets say that their accounts hold.
    pub wallet_balances: Vec<Balance>,
    /// At the end: every notification.
    pub notifications: Vec<Notification>,
    /// At the end: every e-mail that arrived.
    pub mails: Vec<Mail>,
    /// Each merchant's programme.
    pub programmes: Vec<Programme>,
    /// At the end: every card that anybody was told of.
    pub cards: Vec<Card>,
    /// At the end: every purchase that anybody was told of.
    pub purchases: Vec<Purchase>,
    /// At the end: what svc-analytics says of each day.
    pub figures: Vec<Figures>,
    /// The replicas that were asked to end.
    pub drains: Vec<Drain>,
    /// At the end: every hold.
    pub holds: Vec<Hold>,
    /// How far the services' clocks may have been off.
    pub clock: ClockBound,
}

/// One line of a history file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// An account that traffic may touch.
    Account(Account),
    /// A call.
    Operation(Box<Operation>),
    /// A transaction as the list shows it at the end.
    Transaction(Transaction),
    /// An entry as the account's list shows it at the end.
    Entry(Entry),
    /// What the ledger says at the end.
    LedgerBalance(Balance),
    /// What a wallet says at the end.
    WalletBalance(Balance),
    /// A notification at the end.
    Notification(Notification),
    /// An e-mail that arrived.
    Mail(Mail),
    /// A merchant's programme.
    Programme(Programme),
    /// A card at the end.
    Card(Card),
    /// A purchase at the end.
    Purchase(Purchase),
    /// A day's figures at the end.
    Figures(Figures),
    /// A replica that was asked to end.
    Drain(Drain),
    /// A hold at the end.
    Hold(Hold),
    /// How far the services' clocks may have been off.
    Clock(ClockBound),
}

/// A side of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Left.
    Debit,
    /// Right.
    Credit,
}

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A customer's value.
    Customer,
    /// Where points come from.
    Issuance,
    /// Where burnt points go.
    Redemption,
    /// What the merchant's till takes.
    External,
    /// A card's value.
    GiftCard,
    /// What was sold.
    Sales,
    /// What burnt points paid for.
    LoyaltyCost,
}

/// A place where value of one asset stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub merchant: String,
    /// What it holds.
    pub asset: String,
    /// What it is for.
    pub role: Role,
    /// The side that raises its balance.
    pub normal: Side,
    /// Its least balance, where it has one.
    pub min: Option<i64>,
    /// Its greatest balance, where it has one.
    pub max: Option<i64>,
    /// The holder's address, which no other account has; none where no wallet stands for the account.
    pub email: Option<String>,
    /// Whether the holder did not agree to messages: each of them is suppressed.
    #[serde(default)]
    pub declines_messages: bool,
}

/// A call through the public API. Times are microseconds of one monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its number in the history.
    pub id: u64,
    /// Which client made it.
    pub process: u32,
    /// Just before it was sent.
    pub start: u64,
    /// Just after its answer came, or was given up.
    pub end: u64,
    /// For whom.
    pub merchant: String,
    /// Its idempotency key; empty for a read.
    #[serde(default)]
    pub key: String,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub outcome: Outcome,
    /// Where the client had tried again as often as it may, and gives the request up with this call: the start of
    /// its first try.
    #[serde(default)]
    pub given_up: Option<u64>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// To post a transaction.
    Post(Post),
    /// To read a balance.
    Read(Read),
    /// To make, sell or spend a card, or to post a purchase.
    Trade(Trade),
    /// To look at a card.
    Look(Look),
    /// To hold, capture, reverse, freeze.
    Command(Command),
}

/// What a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Entries given by the caller (`CreateTransaction`).
    General,
    /// Points given to a customer (`Earn`).
    Earn,
    /// Points taken from a customer (`Burn`).
    Burn,
    /// What a hold had reserved (`CaptureHold`).
    Capture,
    /// What undoes a transaction, or a part of it (`ReverseTransaction`).
    Reversal,
}

/// A transaction that somebody wants, with the entries that the contract promises for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Post {
    /// By which rpc.
    pub kind: Kind,
    /// The merchant's own name for it; may be empty, and is then told apart by its entries alone.
    pub reference: String,
    /// Its entries, by line.
    pub lines: Vec<Line>,
    /// The holds that end with it.
    #[serde(default)]
    pub releases: Vec<String>,
}

/// An entry as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The account.
    pub account: String,
    /// The side.
    pub side: Side,
    /// The amount, minor units.
    pub amount: i64,
    /// The hold that it draws on.
    #[serde(default)]
    pub hold: Option<String>,
}

/// A balance that somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Of which account.
    pub account: String,
    /// Where it was asked for.
    pub from: Source,
    /// The sequence in the consistency token that was presented.
    pub token: Option<i64>,
}

/// Where a balance is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// svc-ledger, which is never stale.
    Ledger,
    /// svc-wallet, which may be, but never behind a token.
    Wallet,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The transaction stands, as this answer shows it.
    Posted {
        /// The transaction.
        transaction: Transaction,
        /// The accounts after it, as far as the rpc tells them.
        balances: Vec<Balance>,
        /// The holds that it drew on or ended, after it.
        #[serde(default)]
        holds: Vec<Hold>,
    },
    /// A hold was placed or ended.
    Held(Held),
    /// The account is in this state.
    State {
        /// Which.
        account: String,
        /// In which.
        state: State,
    },
    /// A balance.
    Balance(Balance),
    /// A trade was made.
    Done(Done),
    /// A card.
    Card(Card),
    /// No, and why: an answer, and a lasting one.
    Refused(String),
    /// Nobody knows whether anything happened.
    Unknown(String),
}

/// What an account holds after its entry number `sequence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The account.
    pub account: String,
    /// On its normal side, minor units.
    pub balance: i64,
    /// 0 before the first entry.
    pub sequence: i64,
    /// What may be spent: the balance less what holds reserve; absent where the rpc does not tell it.
    #[serde(default)]
    pub available: Option<i64>,
}

/// A posted transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id.
    pub id: String,
    /// Whose list it stands in.
    pub merchant: String,
    /// What it is.
    pub kind: Kind,
    /// The merchant's own name for it; may be empty.
    pub reference: String,
    /// Its entries, by line.
    pub entries: Vec<Entry>,
    /// The day in the merchant's time zone on which it was posted, `YYYY-MM-DD`.
    pub day: String,
    /// The transaction that it undoes.
    #[serde(default)]
    pub reverses: Option<String>,
}

/// A posted entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The transaction that it belongs to.
    pub transaction: String,
    /// The account.
    pub account: String,
    /// The side.
    pub side: Side,
    /// The amount, minor units.
    pub amount: i64,
    /// Its number in the account.
    pub sequence: i64,
    /// What the account holds after it, on its normal side.
    pub balance_after: i64,
    /// The hold that it drew on.
    #[serde(default)]
    pub hold: Option<String>,
    /// The line of the reversed transaction that it undoes, from 1; 0 where it undoes none.
    #[serde(default)]
    pub reverses_line: i32,
}

/// A message to a customer, as svc-notification tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its id.
    pub id: String,
    /// The transaction that caused it.
    pub transaction: String,
    /// The customer's account.
    pub account: String,
    /// What became of it, as the contract names it without its prefix: `SENT`.
    pub status: String,
}

/// An e-mail that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// To whom.
    pub to: String,
    /// Its `Message-ID`: two e-mails with one are one in effect.
    pub message_id: String,
    /// The transaction that its text names; empty when it names none.
    pub transaction: String,
}

impl Transaction {
    /// What somebody must have asked for to get this.
    pub fn content(&self) -> Post {
        let line = |entry: &Entry| Line {
            account: entry.account.clone(),
            side: entry.side,
            amount: entry.amount,
            hold: entry.hold.clone(),
        };
        Post {
            kind: self.kind,
            reference: self.reference.clone(),
            lines: self.entries.iter().map(line).collect(),
            releases: Vec::new(),
        }
    }
}

impl Outcome {
    /// The transaction that it acknowledges, if it does.
    pub(crate) fn transaction(&self) -> Option<&str> {
        match self {
            Self::Posted { transaction, .. } => Some(&transaction.id),
            Self::Done(done) => done.transaction(),
            Self::Balance(_)
            | Self::Card(_)
            | Self::Held(_)
            | Self::State { .. }
            | Self::Refused(_)
            | Self::Unknown(_) => None,
        }
    }

    /// Whether it acknowledges a write.
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(
            self,
            Self::Posted { .. } | Self::Done(_) | Self::Held(_) | Self::State { .. }
        )
    }
}

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file failed.
    #[error("the history cannot be read or written")]
    Io(#[from] std::io::Error),
    /// A line is no record.
    #[error("line {line} of the history is no record: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

impl History {
    /// Adds one record.
    pub fn push(&mut self, record: Record) {
        match record {
            Record::Account(one) => self.accounts.push(one),
            Record::Operation(one) => self.operations.push(*one),
            Record::Transaction(one) => self.transactions.push(one),
            Record::Entry(one) => self.entries.push(one),
            Record::LedgerBalance(one) => self.ledger_balances.push(one),
            Record::WalletBalance(one) => self.wallet_balances.push(one),
            Record::Notification(one) => self.notifications.push(one),
            Record::Mail(one) => self.mails.push(one),
            Record::Programme(one) => self.programmes.push(one),
            Record::Card(one) => self.cards.push(one),
            Record::Purchase(one) => self.purchases.push(one),
            Record::Figures(one) => self.figures.push(one),
            Record::Drain(one) => self.drains.push(one),
            Record::Hold(one) => self.holds.push(one),
            Record::Clock(bound) => self.clock = bound,
        }
    }

    /// All records, in the order of the fields.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let accounts = self.accounts.iter().cloned().map(Record::Account);
        accounts
            .chain(
                self.operations
                    .iter()
                    .cloned()
                    .map(|one| Record::Operation(Box::new(one))),
            )
            .chain(self.transactions.iter().cloned().map(Record::Transaction))
            .chain(self.entries.iter().cloned().map(Record::Entry))
            .chain(self.ledger_balances.iter().cloned().map(Record::LedgerBalance))
            .chain(self.wallet_balances.iter().cloned().map(Record::WalletBalance))
            .chain(self.notifications.iter().cloned().map(Record::Notification))
            .chain(self.mails.iter().cloned().map(Record::Mail))
            .chain(self.programmes.iter().cloned().map(Record::Programme))
            .chain(self.cards.iter().cloned().map(Record::Card))
            .chain(self.purchases.iter().cloned().map(Record::Purchase))
            .chain(self.figures.iter().cloned().map(Record::Figures))
            .chain(self.drains.iter().cloned().map(Record::Drain))
            .chain(self.holds.iter().cloned().map(Record::Hold))
            .chain([Record::Clock(self.clock)])
    }

    /// Reads JSON lines.
    ///
    /// # Errors
    /// When the source fails or a line is no record.
    pub fn read(source: impl BufRead) -> Result<Self, FormatError> {
        let mut history = Self::default();
        for (line, text) in (1..).zip(source.lines()) {
            let record = serde_json::from_str(&text?).map_err(|cause| FormatError::Line { line, cause })?;
            history.push(record);
        }
        Ok(history)
    }

    /// Writes JSON lines.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn write(&self, mut sink: impl Write) -> Result<(), FormatError> {
        for record in self.records() {
            serde_json::to_writer(&mut sink, &record).map_err(std::io::Error::from)?;
            sink.write_all(b"\n")?;
        }
        Ok(sink.flush()?)
    }
}
