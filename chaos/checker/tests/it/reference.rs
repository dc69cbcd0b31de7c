//! A correct fleet in memory, one effect at a time, and what it would show.

use std::collections::BTreeMap;

use history_checker::{
    Account, Balance, Command, Entry, History, Kind, Line, Mail, Notification, Operation, Outcome, Post,
    Read, Request, Role, Side, Source, State, Trade, Transaction,
};

use crate::till::{figures, programme};

pub(crate) const SHOP: &str = "mer_shop";
pub(crate) const OTHER: &str = "mer_other";
/// Customers of [`SHOP`] with wallets.
pub(crate) const CUSTOMERS: [&str; 2] = ["acc_ada", "acc_bob"];
/// Holds 100 at most and has no wallet.
pub(crate) const CAPPED: &str = "acc_capped";
pub(crate) const OTHERS: [&str; 2] = ["acc_xenia", "acc_yuri"];

pub(crate) struct Fleet {
    pub(crate) history: History,
    keys: BTreeMap<(String, Kind, String), (Post, Outcome)>,
    pub(crate) trades: BTreeMap<(String, &'static str, String), (Trade, Outcome)>,
    pub(crate) commands: BTreeMap<(String, String), (Command, Outcome)>,
    /// Accounts that are not open.
    pub(crate) shut: BTreeMap<String, State>,
    /// What the fleet's clock says.
    pub(crate) now: u64,
}

pub(crate) fn account(id: &str, merchant: &str, role: Role) -> Account {
    let (asset, normal) = match role {
        Role::Customer | Role::Redemption => ("PTS", Side::Credit),
        Role::Issuance => ("PTS", Side::Debit),
        Role::External | Role::LoyaltyCost => ("EUR", Side::Debit),
        Role::GiftCard | Role::Sales => ("EUR", Side::Credit),
    };
    let (id, merchant, asset) = (id.to_owned(), merchant.to_owned(), asset.to_owned());
    Account {
        id,
        merchant,
        asset,
        role,
        normal,
        min: matches!(role, Role::Customer | Role::GiftCard).then_some(0),
        max: None,
        email: None,
        declines_messages: false,
    }
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut history = History::default();
        for (merchant, prefix) in [(SHOP, "acc_shop"), (OTHER, "acc_other")] {
            let roles = [
                ("issuance", Role::Issuance),
                ("redemption", Role::Redemption),
                ("till", Role::External),
                ("sales", Role::Sales),
                ("cost", Role::LoyaltyCost),
            ];
            for (name, role) in roles {
                let id = format!("{prefix}-{name}");
                history.accounts.push(account(&id, merchant, role));
            }
            history.programmes.push(programme(merchant));
        }
        for (merchant, ids) in [(SHOP, CUSTOMERS), (OTHER, OTHERS)] {
            for id in ids {
                let email = Some(format!("{id}@example.com"));
                history.accounts.push(Account {
                    email,
                    declines_messages: id == CUSTOMERS[1],
                    ..account(id, merchant, Role::Customer)
                });
            }
        }
        history.accounts.push(Account {
            max: Some(100),
            ..account(CAPPED, SHOP, Role::Customer)
        });
        Self {
            history,
            keys: BTreeMap::new(),
            trades: BTreeMap::new(),
            commands: BTreeMap::new(),
            shut: BTreeMap::new(),
            now: 0,
        }
    }

    /// What a ledger does with a write, at one moment.
    pub(crate) fn apply(&mut self, merchant: &str, key: &str, post: &Post) -> Outcome {
        let id = (merchant.to_owned(), post.kind, key.to_owned());
        if let Some((first, answer)) = self.keys.get(&id) {
            let reused = || Outcome::Refused("IDEMPOTENCY_KEY_REUSED".to_owned());
            return if first == post { answer.clone() } else { reused() };
        }
        let answer = self.decide(merchant, post);
        if let Outcome::Posted { transaction, .. } = &answer {
            self.history.entries.extend(transaction.entries.iter().cloned());
            self.history.transactions.push(transaction.clone());
        }
        self.keys.insert(id, (post.clone(), answer.clone()));
        answer
    }

    pub(crate) fn decide(&self, merchant: &str, post: &Post) -> Outcome {
        let number = self.history.transactions.len() + 1;
        let id = format!("txn_{number}");
        let mut after: BTreeMap<&str, Balance> = BTreeMap::new();
        let mut entries = Vec::new();
        for line in &post.lines {
            let found = self
                .history
                .accounts
                .iter()
                .find(|a| a.id == line.account && a.merchant == merchant);
            let Some(account) = found else {
                return Outcome::Refused("UNKNOWN_ACCOUNT".to_owned());
            };
            if let Some(reason) = self.refused_for_state(&line.account) {
                return Outcome::Refused(reason.to_owned());
            }
            let now = after
                .entry(&line.account)
                .or_insert_with(|| self.balance(&line.account));
            now.sequence += 1;
            now.balance += if account.normal == line.side {
                line.amount
            } else {
                -line.amount
            };
            entries.push(Entry {
                transaction: id.clone(),
                account: line.account.clone(),
                side: line.side,
                amount: line.amount,
                sequence: now.sequence,
                balance_after: now.balance,
                hold: None,
                reverses_line: 0,
            });
        }
        for balance in after.values() {
            let account = self
                .history
                .accounts
                .iter()
                .find(|a| a.id == balance.account)
                .unwrap();
            // Only what is taken needs to be there.
            let lowered = balance.balance < self.balance(&account.id).balance;
            let left = balance.balance - self.held(&account.id);
            if lowered && account.min.is_some_and(|min| left < min) {
                return Outcome::Refused("INSUFFICIENT_FUNDS".to_owned());
            }
            if account.max.is_some_and(|max| balance.balance > max) {
                return Outcome::Refused("BALANCE_LIMIT_EXCEEDED".to_owned());
            }
        }
        let (kind, reference) = (post.kind, post.reference.clone());
        let transaction = Transaction {
            id,
            merchant: merchant.to_owned(),
            kind,
            reference,
            entries,
            reverses: None,
            day: if number <= 2 { "2026-11-20" } else { "2026-11-21" }.to_owned(),
        };
        Outcome::Posted {
            transaction,
            balances: after.into_values().map(without_available).collect(),
            holds: Vec::new(),
        }
    }

    /// What an account holds now.
    pub(crate) fn balance(&self, account: &str) -> Balance {
        self.balance_at(account, i64::MAX)
    }

    /// What it held when its sequence was `at`, or now where that is less.
    pub(crate) fn balance_at(&self, account: &str, at: i64) -> Balance {
        let of_account = self
            .history
            .entries
            .iter()
            .filter(|e| e.account == account && e.sequence <= at);
        let (sequence, balance) = of_account
            .map(|e| (e.sequence, e.balance_after))
            .max()
            .unwrap_or((0, 0));
        Balance {
            account: account.to_owned(),
            balance,
            sequence,
            available: (at == i64::MAX && !self.history.holds.is_empty())
                .then(|| balance - self.held(account)),
        }
    }

    /// Writes a call down.
    pub(crate) fn record(
        &mut self,
        span: (u64, u64),
        merchant: &str,
        key: &str,
        request: Request,
        outcome: Outcome,
    ) {
        let id = self.history.operations.len() as u64;
        let (start, end) = span;
        let (merchant, key) = (merchant.to_owned(), key.to_owned());
        self.history.operations.push(Operation {
            id,
            process: 0,
            start,
            end,
            merchant,
            key,
            request,
            outcome,
            given_up: None,
        });
    }

    /// A write of [`SHOP`] that is answered before the next call begins.
    pub(crate) fn post(&mut self, key: &str, post: &Post) -> Outcome {
        let outcome = self.apply(SHOP, key, post);
        self.record(
            self.next_span(),
            SHOP,
            key,
            Request::Post(post.clone()),
            outcome.clone(),
        );
        outcome
    }

    /// A read of [`SHOP`] likewise.
    pub(crate) fn read(&mut self, account: &str, from: Source, token: Option<i64>) {
        let seen = Outcome::Balance(self.balance(account));
        let read = Read {
            account: account.to_owned(),
            from,
            token,
        };
        self.record(self.next_span(), SHOP, "", Request::Read(read), seen);
    }

    /// After all calls so far.
    pub(crate) fn next_span(&self) -> (u64, u64) {
        let start = self.history.operations.iter().map(|o| o.end).max().unwrap_or(0) + 10;
        (start, start + 10)
    }

    /// Everything that can be seen in the end.
    pub(crate) fn finish(mut self) -> History {
        for at in 0..self.history.cards.len() {
            self.history.cards[at].balance = self.balance(&self.history.cards[at].account).balance;
        }
        self.expire();
        self.history.figures = figures(&self.history);
        for account in &self.history.accounts {
            let balance = self.balance(&account.id);
            if account.email.is_some() {
                self.history
                    .wallet_balances
                    .push(without_available(balance.clone()));
            }
            self.history.ledger_balances.push(balance);
        }
        let told = self.history.transactions.iter();
        for transaction in told.filter(|one| one.kind != Kind::Reversal) {
            let customer = transaction.entries.iter().find_map(|e| {
                self.history
                    .accounts
                    .iter()
                    .find(|a| a.id == e.account && a.email.is_some())
            });
            let points = ["-issuance", "-redemption"];
            let told = |e: &Entry| points.iter().any(|end| e.account.ends_with(end));
            if let (Some(customer), true) = (customer, transaction.entries.iter().any(told)) {
                let notification = Notification {
                    id: format!("ntf_{}", transaction.id),
                    transaction: transaction.id.clone(),
                    account: customer.id.clone(),
                    status: if customer.declines_messages {
                        "SUPPRESSED".to_owned()
                    } else {
                        "SENT".to_owned()
                    },
                };
                let mail = Mail {
                    to: customer.email.clone().unwrap(),
                    message_id: format!("<{}@localplus>", notification.id),
                    transaction: transaction.id.clone(),
                };
                // As often as it was tried.
                let tries = (!customer.declines_messages).then_some(1 + transaction.entries[0].amount % 2);
                for _ in 0..tries.unwrap_or(0) {
                    self.history.mails.push(mail.clone());
                }
                self.history.notifications.push(notification);
            }
        }
        self.history
    }
}

/// As rpcs tell a balance that know nothing of holds.
pub(crate) fn without_available(balance: Balance) -> Balance {
    Balance {
        available: None,
        ..balance
    }
}

fn post(kind: Kind, name: &str, from: &str, to: &str, amount: i64) -> Post {
    let line = |account: &str, side| Line {
        account: account.to_owned(),
        side,
        amount,
        hold: None,
    };
    Post {
        kind,
        reference: name.to_owned(),
        lines: vec![line(from, Side::Debit), line(to, Side::Credit)],
        releases: Vec::new(),
    }
}

pub(crate) fn earn(name: &str, account: &str, amount: i64) -> Post {
    post(Kind::Earn, name, "acc_shop-issuance", account, amount)
}

pub(crate) fn burn(name: &str, account: &str, amount: i64) -> Post {
    post(Kind::Burn, name, account, "acc_shop-redemption", amount)
}

pub(crate) fn transfer(name: &str, from: &str, to: &str, amount: i64) -> Post {
    post(Kind::General, name, from, to, amount)
}
