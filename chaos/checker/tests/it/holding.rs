//! The part of the correct ledger in memory that holds, captures, reverses and freezes.

use history_checker::{
    Balance, Command, Entry, Held, Hold, HoldState, Kind, Line, Outcome, Request, Shortfall, Side, State,
    Transaction,
};

use crate::reference::{Fleet, SHOP, without_available};

/// A line to be posted, and the line that it undoes.
type Wanted = (Line, i32);

/// Why not.
type Refusal = &'static str;

impl Fleet {
    /// What open holds reserve of an account.
    pub(crate) fn held(&self, account: &str) -> i64 {
        let of_account = self.history.holds.iter().filter(|hold| hold.account == account);
        of_account.map(|hold| hold.remaining).sum()
    }

    /// Ends the holds whose time is over.
    pub(crate) fn expire(&mut self) {
        let now = self.now;
        for hold in &mut self.history.holds {
            if hold.state == HoldState::Open && hold.expires_at <= now {
                (hold.state, hold.remaining) = (HoldState::Expired, 0);
            }
        }
    }

    pub(crate) fn refused_for_state(&self, account: &str) -> Option<Refusal> {
        match self.shut.get(account)? {
            State::Open => None,
            State::Frozen => Some("ACCOUNT_FROZEN"),
            State::Closed => Some("ACCOUNT_CLOSED"),
        }
    }

    /// What the ledger says to a command of [`SHOP`].
    pub(crate) fn apply_command(&mut self, key: &str, command: &Command) -> Outcome {
        let rpc = match command {
            Command::Place { .. } => "place",
            Command::Capture { .. } => "capture",
            Command::Void { .. } => "void",
            Command::Reverse { .. } => "reverse",
            Command::SetState {
                state: State::Open, ..
            } => "open",
            Command::SetState {
                state: State::Frozen, ..
            } => "freeze",
            Command::SetState {
                state: State::Closed, ..
            } => "close",
        };
        let id = (rpc.to_owned(), key.to_owned());
        if let Some((first, answer)) = self.commands.get(&id) {
            let same = first == command;
            return if same {
                answer.clone()
            } else {
                Outcome::Refused("IDEMPOTENCY_KEY_REUSED".to_owned())
            };
        }
        self.expire();
        let answer = self
            .carry_out(command)
            .unwrap_or_else(|refusal| Outcome::Refused(refusal.to_owned()));
        self.commands.insert(id, (command.clone(), answer.clone()));
        answer
    }

    fn carry_out(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Place {
                account,
                side,
                amount,
                expires_at,
                reference,
            } => {
                if *expires_at <= self.now {
                    return Err("INVALID_FIELD");
                }
                if let Some(refusal) = self.refused_for_state(account) {
                    return Err(refusal);
                }
                if self.balance(account).balance - self.held(account) < *amount {
                    return Err("INSUFFICIENT_FUNDS");
                }
                self.history.holds.push(Hold {
                    id: format!("hld_{}", self.history.holds.len() + 1),
                    merchant: SHOP.to_owned(),
                    account: account.clone(),
                    side: *side,
                    amount: *amount,
                    captured: 0,
                    remaining: *amount,
                    state: HoldState::Open,
                    expires_at: *expires_at,
                    reference: reference.clone(),
                });
                Ok(self.held_outcome(self.history.holds.len() - 1))
            }
            Command::Void { hold } => {
                let place = self.open_hold(hold)?;
                let hold = &mut self.history.holds[place];
                (hold.state, hold.remaining) = (HoldState::Voided, 0);
                Ok(self.held_outcome(place))
            }
            Command::Capture {
                hold,
                amount,
                to,
                last,
                reference,
            } => {
                let place = self.open_hold(hold)?;
                let held = self.history.holds[place].clone();
                let amount = amount.unwrap_or(held.remaining);
                if amount > held.remaining {
                    return Err("HOLD_EXCEEDED");
                }
                let line = |account: &str, side, hold| Line {
                    account: account.to_owned(),
                    side,
                    amount,
                    hold,
                };
                let lines = vec![
                    (line(&held.account, held.side, Some(held.id.clone())), 0),
                    (line(to, Side::Credit, None), 0),
                ];
                self.post_lines(
                    Kind::Capture,
                    reference,
                    None,
                    &lines,
                    false,
                    last.then_some(place),
                )
            }
            Command::Reverse {
                transaction,
                part,
                shortfall,
                reference,
            } => {
                let found = self
                    .history
                    .transactions
                    .iter()
                    .find(|one| one.id == *transaction);
                let Some(original) = found.cloned() else {
                    return Err("NOT_FOUND");
                };
                if original.kind == Kind::Reversal {
                    return Err("NOT_REVERSIBLE");
                }
                // All that tests reverse has one amount on all of its lines.
                let reversals = self.history.transactions.iter();
                let reversals = reversals.filter(|one| one.reverses.as_ref() == Some(transaction));
                let undone: i64 = reversals.map(|one| one.entries[0].amount).sum();
                let left = original.entries[0].amount - undone;
                let amount = part.as_ref().map_or(left, |part| part.amount);
                if left == 0 {
                    return Err("ALREADY_REVERSED");
                }
                if amount > left {
                    return Err("REVERSAL_EXCEEDED");
                }
                let back = |(number, entry): (i32, &Entry)| {
                    let side = if entry.side == Side::Debit {
                        Side::Credit
                    } else {
                        Side::Debit
                    };
                    let account = entry.account.clone();
                    (
                        Line {
                            account,
                            side,
                            amount,
                            hold: None,
                        },
                        number,
                    )
                };
                let lines: Vec<Wanted> = (1..).zip(&original.entries).map(back).collect();
                let overdraws = *shortfall == Shortfall::Overdraw;
                self.post_lines(
                    Kind::Reversal,
                    reference,
                    Some(transaction),
                    &lines,
                    overdraws,
                    None,
                )
            }
            Command::SetState { account, state } => {
                if self.shut.get(account) == Some(&State::Closed) && *state != State::Closed {
                    return Err("ACCOUNT_CLOSED");
                }
                if *state == State::Closed && (self.balance(account).balance, self.held(account)) != (0, 0) {
                    return Err("ACCOUNT_NOT_EMPTY");
                }
                self.shut.insert(account.clone(), *state);
                Ok(Outcome::State {
                    account: account.clone(),
                    state: *state,
                })
            }
        }
    }

    fn open_hold(&self, id: &str) -> Result<usize, Refusal> {
        let Some(place) = self.history.holds.iter().position(|hold| hold.id == id) else {
            return Err("NOT_FOUND");
        };
        if self.history.holds[place].state == HoldState::Open {
            Ok(place)
        } else {
            Err("HOLD_NOT_OPEN")
        }
    }

    fn held_outcome(&self, place: usize) -> Outcome {
        let hold = self.history.holds[place].clone();
        let balance = self.balance(&hold.account);
        Outcome::Held(Held { hold, balance })
    }

    /// Posts lines; the hold at `ends` ends with them.
    fn post_lines(
        &mut self,
        kind: Kind,
        reference: &str,
        reverses: Option<&String>,
        lines: &[Wanted],
        overdraws: bool,
        ends: Option<usize>,
    ) -> Result<Outcome, Refusal> {
        let id = format!("txn_{}", self.history.transactions.len() + 1);
        let mut entries = Vec::new();
        for (line, undoes) in lines {
            if let Some(refusal) = self.refused_for_state(&line.account) {
                return Err(refusal);
            }
            let account = self
                .history
                .accounts
                .iter()
                .find(|one| one.id == line.account)
                .unwrap();
            let now = self.balance(&line.account);
            let lowered = account.normal != line.side;
            let balance_after = if lowered {
                now.balance - line.amount
            } else {
                now.balance + line.amount
            };
            let left = balance_after - self.held(&line.account);
            let free = overdraws || line.hold.is_some();
            if lowered && !free && account.min.is_some_and(|min| left < min) {
                return Err("INSUFFICIENT_FUNDS");
            }
            entries.push(Entry {
                transaction: id.clone(),
                account: line.account.clone(),
                side: line.side,
                amount: line.amount,
                sequence: now.sequence + 1,
                balance_after,
                hold: line.hold.clone(),
                reverses_line: *undoes,
            });
        }
        let mut holds = Vec::new();
        for (line, _) in lines.iter().filter(|(line, _)| line.hold.is_some()) {
            let place = self.open_hold(line.hold.as_ref().unwrap())?;
            let hold = &mut self.history.holds[place];
            hold.captured += line.amount;
            hold.remaining -= line.amount;
            if hold.remaining == 0 {
                hold.state = HoldState::Captured;
            } else if ends == Some(place) {
                (hold.state, hold.remaining) = (HoldState::Voided, 0);
            }
            holds.push(hold.clone());
        }
        let transaction = Transaction {
            id,
            merchant: SHOP.to_owned(),
            kind,
            reference: reference.to_owned(),
            entries,
            day: "2026-11-21".to_owned(),
            reverses: reverses.cloned(),
        };
        self.history.entries.extend(transaction.entries.iter().cloned());
        self.history.transactions.push(transaction.clone());
        let balances: Vec<Balance> = lines
            .iter()
            .map(|(line, _)| without_available(self.balance(&line.account)))
            .collect();
        Ok(Outcome::Posted {
            transaction,
            balances,
            holds,
        })
    }

    /// A command of [`SHOP`] that is answered before the next call begins.
    pub(crate) fn command(&mut self, key: &str, command: &Command) -> Outcome {
        let span = self.next_span();
        self.now = span.0;
        let outcome = self.apply_command(key, command);
        self.record(
            span,
            SHOP,
            key,
            Request::Command(command.clone()),
            outcome.clone(),
        );
        outcome
    }
}

/// To reserve value of a customer until a moment.
pub(crate) fn place(account: &str, amount: i64, expires_at: u64) -> Command {
    Command::Place {
        account: account.to_owned(),
        side: Side::Debit,
        amount,
        expires_at,
        reference: String::new(),
    }
}

/// To capture for the merchant; without an amount all that is left.
pub(crate) fn capture(hold: &str, amount: Option<i64>, last: bool) -> Command {
    Command::Capture {
        hold: hold.to_owned(),
        amount,
        to: "acc_shop-redemption".to_owned(),
        last,
        reference: String::new(),
    }
}

/// To give back what a hold reserves.
pub(crate) fn void(hold: &str) -> Command {
    Command::Void {
        hold: hold.to_owned(),
    }
}

/// To undo a transaction, or so much of it.
pub(crate) fn reverse(transaction: &str, amount: Option<i64>, shortfall: Shortfall) -> Command {
    Command::Reverse {
        transaction: transaction.to_owned(),
        part: amount.map(|amount| history_checker::Part {
            asset: "PTS".to_owned(),
            amount,
        }),
        shortfall,
        reference: String::new(),
    }
}

/// To freeze, open or close an account.
pub(crate) fn set_state(account: &str, state: State) -> Command {
    Command::SetState {
        account: account.to_owned(),
        state,
    }
}
