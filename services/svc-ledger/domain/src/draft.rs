//! Commands, carried out on copies of what they touch, so that a refusal changes nothing.

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::Timestamp;
use lp_types::{AccountId, Amount, AssetCode, HoldId, MerchantId, MinorUnits, TransactionId};

use crate::{
    Account, AccountState, AccountType, Book, Command, Decision, Direction, Hold, HoldState, NewEntry,
    NewHold, NewReversal, NewTransaction, Original, PointsAccounts, PostedEntry, Refusal, Shortfall,
    TransactionKind,
};

/// What was copied to decide on.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    pub(crate) originals: BTreeMap<TransactionId, Original>,
}

/// Decided on copies, so that a refusal changes nothing.
pub(crate) struct Draft<'a> {
    pub(crate) book: &'a Book,
    pub(crate) merchant: MerchantId,
    pub(crate) changes: Changes,
}

/// An entry on its way.
struct Line {
    account: AccountId,
    direction: Direction,
    amount: Amount,
    asset: AssetCode,
    /// The hold that it draws on.
    hold: Option<HoldId>,
    /// The line that it reverses.
    reverses: Option<i16>,
    /// Where the caller's own entry stands in the request, from 0.
    entry: Option<usize>,
    /// Whether it may leave the account below its least balance.
    overdraws: bool,
}

impl Line {
    fn new(account: AccountId, direction: Direction, amount: Amount, asset: &AssetCode) -> Self {
        Self {
            account,
            direction,
            amount,
            asset: asset.clone(),
            hold: None,
            reverses: None,
            entry: None,
            overdraws: false,
        }
    }
}

impl Draft<'_> {
    pub(crate) fn carry_out(&mut self, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
        match command {
            Command::Post(transaction) => {
                let lines = self.lines(transaction)?;
                self.post((transaction.kind(), None), lines, transaction.releases(), now)
            }
            Command::Reverse(reversal) => self.reverse(reversal, now),
            Command::PlaceHold(id, new) => self.place(*id, new, now),
            Command::VoidHold(id) => {
                self.hold(*id, None)?.must_be_open()?;
                self.release(*id, HoldState::Voided).map(Decision::Hold)
            }
            Command::SetState(account, state) => self.set_state(*account, *state),
        }
    }

    /// What a transaction wants to post.
    fn lines(&mut self, transaction: &NewTransaction) -> Result<Vec<Line>, Refusal> {
        match transaction {
            NewTransaction::General { entries, .. } => entries
                .iter()
                .enumerate()
                .map(|(index, entry)| self.own_line(index, entry))
                .collect(),
            NewTransaction::Earn {
                account,
                amount,
                asset,
            } => {
                let points = self.points_accounts(*account, asset)?;
                Ok(vec![
                    Line::new(points.issuance, Direction::Debit, *amount, asset),
                    Line::new(*account, Direction::Credit, *amount, asset),
                ])
            }
            NewTransaction::Burn {
                account,
                amount,
                asset,
            } => {
                let points = self.points_accounts(*account, asset)?;
                Ok(vec![
                    Line::new(*account, Direction::Debit, *amount, asset),
                    Line::new(points.redemption, Direction::Credit, *amount, asset),
                ])
            }
            NewTransaction::Capture {
                hold: id,
                amount,
                destination,
                ..
            } => {
                let hold = self.hold(*id, None)?.clone();
                hold.must_be_open()?;
                let amount = match amount {
                    Some((amount, asset)) if *asset == hold.asset => *amount,
                    Some((_, asset)) => {
                        return Err(Refusal::AssetMismatch {
                            account: hold.account,
                            entry: None,
                            asset: asset.clone(),
                            holds: hold.asset,
                        });
                    }
                    // An open hold reserves something.
                    None => Amount::try_from(hold.remaining().get()).map_err(|_| Refusal::HoldNotOpen {
                        hold: *id,
                        state: hold.state,
                    })?,
                };
                self.account(*destination, Some(&hold.asset), None)?;
                let from = Line {
                    hold: Some(*id),
                    ..Line::new(hold.account, hold.direction, amount, &hold.asset)
                };
                let to = Line::new(*destination, hold.direction.opposite(), amount, &hold.asset);
                Ok(vec![from, to])
            }
        }
    }

    fn own_line(&mut self, index: usize, entry: &NewEntry) -> Result<Line, Refusal> {
        self.account(entry.account, Some(&entry.asset), Some(index))?;
        if let Some(id) = entry.hold {
            let hold = self.hold(id, Some(index))?;
            if hold.account != entry.account || hold.direction != entry.direction {
                return Err(Refusal::HoldMismatch {
                    hold: id,
                    entry: Some(index),
                });
            }
        }
        Ok(Line {
            hold: entry.hold,
            entry: Some(index),
            ..Line::new(entry.account, entry.direction, entry.amount, &entry.asset)
        })
    }

    /// Posts lines in their order, and gives back the rest of the holds that end with them.
    fn post(
        &mut self,
        (kind, reverses): (TransactionKind, Option<TransactionId>),
        lines: Vec<Line>,
        releases: &[HoldId],
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let mut entries = Vec::with_capacity(lines.len());
        let mut touched = Vec::with_capacity(lines.len());
        let mut drawn: Vec<HoldId> = Vec::new();
        for (number, line) in (1_i16..).zip(lines) {
            if let Some(id) = line.hold {
                self.draw(id, line.amount)?;
                if !drawn.contains(&id) {
                    drawn.push(id);
                }
            }
            touched.push(line.account);
            let account = self.account(line.account, None, line.entry)?;
            // After each entry, not only after the last: points that a purchase earns do not pay for it.
            entries.push(apply(account, number, line)?);
        }
        for id in releases {
            self.hold(*id, None)?;
            if self.hold(*id, None)?.state == HoldState::Open {
                self.release(*id, HoldState::Voided)?;
            }
            if !drawn.contains(id) {
                drawn.push(*id);
            }
        }
        let mut posted_at = now;
        for id in &touched {
            let last = self
                .changes
                .accounts
                .get(id)
                .and_then(|account| account.posted_at);
            posted_at = last.map_or(posted_at, |last| last.max(posted_at));
        }
        for id in &touched {
            if let Some(account) = self.changes.accounts.get_mut(id) {
                account.posted_at = Some(posted_at);
            }
        }
        let holds = drawn
            .iter()
            .filter_map(|id| self.changes.holds.get(id).cloned())
            .collect();
        Ok(Decision::Posted {
            kind,
            reverses,
            posted_at,
            entries,
            holds,
        })
    }

    fn reverse(&mut self, reversal: &NewReversal, now: Timestamp) -> Result<Decision, Refusal> {
        let unknown = Refusal::UnknownTransaction {
            transaction: reversal.transaction,
        };
        let known = self.changes.originals.get(&reversal.transaction);
        let original = known.or_else(|| self.book.originals.get(&reversal.transaction));
        let original = original.filter(|original| original.merchant == self.merchant);
        let mut original = original.cloned().ok_or(unknown)?;
        let shares = original.shares(reversal.part.as_ref())?;

        let (mut raising, mut lowering) = (Vec::new(), Vec::new());
        for (line, share) in original.lines.iter_mut().zip(shares) {
            // A share of nothing is no entry.
            let Ok(amount) = Amount::try_from(share) else {
                continue;
            };
            let out_of_range = Refusal::BalanceOutOfRange {
                account: line.account,
            };
            line.reversed = line.reversed.checked_add(share).ok_or(out_of_range)?;
            let back = Line {
                reverses: Some(line.line),
                ..Line::new(line.account, line.direction.opposite(), amount, &line.asset)
            };
            if self
                .account(line.account, None, None)?
                .is_lowered_by(back.direction)
            {
                lowering.push(back);
            } else {
                raising.push(back);
            }
        }
        // What an account gets back may pay for what it gives back.
        let mut lines = raising;
        for back in lowering {
            match reversal.shortfall {
                Shortfall::Refuse => lines.push(back),
                Shortfall::Overdraw => lines.push(Line {
                    overdraws: true,
                    ..back
                }),
                Shortfall::Owe(debtor) => self.owe(&mut lines, back, debtor)?,
            }
        }
        let head = (TransactionKind::Reversal, Some(original.id));
        let posted = self.post(head, lines, &[], now)?;
        self.changes.originals.insert(original.id, original);
        Ok(posted)
    }

    /// Splits a line between the account, as far as it has, and the one that owes the rest, if that is of its asset.
    fn owe(&mut self, lines: &mut Vec<Line>, back: Line, debtor: AccountId) -> Result<(), Refusal> {
        let owes = self.account(debtor, None, None)?.asset == back.asset;
        let account = self.account(back.account, None, None)?;
        let out_of_range = || Refusal::BalanceOutOfRange {
            account: back.account,
        };
        let Some(min) = account.limits.min.filter(|_| owes) else {
            lines.push(back);
            return Ok(());
        };
        // What earlier lines of this reversal do to the account counts too.
        let mut spare = account
            .available()
            .and_then(|available| available.minus(min))
            .ok_or_else(out_of_range)?
            .get();
        for line in lines.iter().filter(|line| line.account == back.account) {
            let amount = line.amount.get();
            let lowers = line.direction == back.direction;
            let after = if lowers {
                spare.checked_sub(amount)
            } else {
                spare.checked_add(amount)
            };
            spare = after.ok_or_else(out_of_range)?;
        }
        let from_account = spare.clamp(0, back.amount.get());
        let from_debtor = back
            .amount
            .get()
            .checked_sub(from_account)
            .ok_or_else(out_of_range)?;
        for (account, amount) in [(back.account, from_account), (debtor, from_debtor)] {
            if let Ok(amount) = Amount::try_from(amount) {
                lines.push(Line {
                    reverses: back.reverses,
                    ..Line::new(account, back.direction, amount, &back.asset)
                });
            }
        }
        Ok(())
    }

    fn place(&mut self, id: HoldId, new: &NewHold, now: Timestamp) -> Result<Decision, Refusal> {
        if new.expires_at <= now {
            return Err(Refusal::ExpiryPassed);
        }
        let merchant = self.merchant;
        let account = self.account(new.account, Some(&new.asset), None)?;
        account.must_be_open()?;
        let out_of_range = Refusal::BalanceOutOfRange { account: new.account };
        let direction = new
            .direction
            .unwrap_or(account.account_type.normal_balance().opposite());
        let held = account.held_mut(direction);
        *held = held.plus(new.amount).ok_or(out_of_range)?;
        account.within_limits(direction, false)?;
        let hold = Hold {
            id,
            merchant,
            account: new.account,
            direction,
            amount: new.amount,
            asset: new.asset.clone(),
            captured: MinorUnits::ZERO,
            state: HoldState::Open,
            placed_at: now,
            expires_at: new.expires_at,
            reference: new.reference.clone(),
        };
        self.changes.holds.insert(id, hold.clone());
        Ok(Decision::Hold(hold))
    }

    /// Takes an amount out of a hold: the entry that follows uses the room that it kept.
    fn draw(&mut self, id: HoldId, amount: Amount) -> Result<(), Refusal> {
        let hold = self.hold(id, None)?;
        hold.capture(amount)?;
        let (account, direction) = (hold.account, hold.direction);
        self.give_back(account, direction, MinorUnits::new(amount.get()))
    }

    fn release(&mut self, id: HoldId, state: HoldState) -> Result<Hold, Refusal> {
        let hold = self.hold(id, None)?;
        let rest = hold.end(state);
        let ended = hold.clone();
        self.give_back(ended.account, ended.direction, rest)?;
        Ok(ended)
    }

    fn give_back(
        &mut self,
        account: AccountId,
        direction: Direction,
        amount: MinorUnits,
    ) -> Result<(), Refusal> {
        self.account(account, None, None)?.give_back(direction, amount)
    }

    fn set_state(&mut self, id: AccountId, state: AccountState) -> Result<Decision, Refusal> {
        let account = self.account(id, None, None)?;
        if account.state == AccountState::Closed && state != AccountState::Closed {
            return Err(Refusal::AccountClosed { account: id });
        }
        if state == AccountState::Closed {
            let out_of_range = || Refusal::BalanceOutOfRange { account: id };
            let balance = account.balance().ok_or_else(out_of_range)?;
            let held = account
                .held_debits
                .sum(account.held_credits)
                .ok_or_else(out_of_range)?;
            if balance != MinorUnits::ZERO || held != MinorUnits::ZERO {
                return Err(Refusal::AccountNotEmpty {
                    account: id,
                    balance,
                    held,
                });
            }
        }
        account.state = state;
        Ok(Decision::State(id, state))
    }

    /// Another merchant's account is as unknown as one that does not exist.
    fn account(
        &mut self,
        id: AccountId,
        asset: Option<&AssetCode>,
        entry: Option<usize>,
    ) -> Result<&mut Account, Refusal> {
        let account = match self.changes.accounts.entry(id) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                let found = self
                    .book
                    .accounts
                    .get(&id)
                    .filter(|account| account.merchant == self.merchant);
                place.insert(
                    found
                        .cloned()
                        .ok_or(Refusal::UnknownAccount { account: id, entry })?,
                )
            }
        };
        match asset {
            Some(asset) if account.asset != *asset => {
                let (asset, holds) = (asset.clone(), account.asset.clone());
                Err(Refusal::AssetMismatch {
                    account: id,
                    entry,
                    asset,
                    holds,
                })
            }
            _ => Ok(account),
        }
    }

    /// Another merchant's hold is as unknown as one that does not exist.
    fn hold(&mut self, id: HoldId, entry: Option<usize>) -> Result<&mut Hold, Refusal> {
        match self.changes.holds.entry(id) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => {
                let found = self
                    .book
                    .holds
                    .get(&id)
                    .filter(|hold| hold.merchant == self.merchant);
                Ok(place.insert(found.cloned().ok_or(Refusal::UnknownHold { hold: id, entry })?))
            }
        }
    }

    fn points_accounts(&mut self, id: AccountId, asset: &AssetCode) -> Result<PointsAccounts, Refusal> {
        let points = self.book.points.get(&(self.merchant, asset.clone())).copied();
        let account = self.account(id, Some(asset), None)?;
        points
            .filter(|_| account.account_type == AccountType::Customer)
            .ok_or(Refusal::NotAPointsAccount { account: id })
    }
}

fn apply(account: &mut Account, number: i16, line: Line) -> Result<PostedEntry, Refusal> {
    account.must_be_open()?;
    let out_of_range = || Refusal::BalanceOutOfRange {
        account: line.account,
    };
    let side = account.posted_mut(line.direction);
    *side = side.plus(line.amount).ok_or_else(out_of_range)?;
    account.sequence = account.sequence.checked_add(1).ok_or_else(out_of_range)?;
    // What was reserved is there for its hold, whatever a reversal took since.
    account.within_limits(line.direction, line.overdraws || line.hold.is_some())?;
    let balance_after = account.balance().ok_or_else(out_of_range)?;
    account.settle().ok_or_else(out_of_range)?;
    Ok(PostedEntry {
        line: number,
        account: line.account,
        account_type: account.account_type,
        direction: line.direction,
        amount: line.amount,
        asset: line.asset,
        account_sequence: account.sequence,
        balance_after,
        hold: line.hold,
        reverses: line.reverses,
    })
}
