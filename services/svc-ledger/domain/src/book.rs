//! Deciding against locked accounts.

use std::collections::HashMap;

use jiff::Timestamp;
use lp_types::{AccountId, AssetCode, HoldId, MerchantId, TransactionId};

use crate::{
    Account, Command, Decision, Hold, HoldState, Original, PointsAccounts, Refusal,
    draft::{Changes, Draft},
};

/// The accounts of a batch, locked by the caller, and what was decided about them so far.
#[derive(Debug, Default)]
pub struct Book {
    pub(crate) accounts: HashMap<AccountId, Account>,
    pub(crate) points: HashMap<(MerchantId, AssetCode), PointsAccounts>,
    pub(crate) holds: HashMap<HoldId, Hold>,
    pub(crate) originals: HashMap<TransactionId, Original>,
}

impl Book {
    /// From locked accounts, and the points programmes that they belong to.
    pub fn new(
        accounts: impl IntoIterator<Item = Account>,
        points: impl IntoIterator<Item = (MerchantId, AssetCode, PointsAccounts)>,
    ) -> Self {
        Self {
            accounts: accounts.into_iter().map(|a| (a.id, a)).collect(),
            points: points
                .into_iter()
                .map(|(merchant, asset, accounts)| ((merchant, asset), accounts))
                .collect(),
            ..Self::default()
        }
    }

    /// With holds on these accounts: those that commands name, and those whose time is over.
    #[must_use]
    pub fn with_holds(mut self, holds: impl IntoIterator<Item = Hold>) -> Self {
        self.holds = holds.into_iter().map(|hold| (hold.id, hold)).collect();
        self
    }

    /// With the transactions that are to be reversed.
    #[must_use]
    pub fn with_originals(mut self, originals: impl IntoIterator<Item = Original>) -> Self {
        self.originals = originals
            .into_iter()
            .map(|original| (original.id, original))
            .collect();
        self
    }

    /// An account as it stands now.
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// A hold as it stands now.
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// Ends every hold whose time is over, and names them.
    ///
    /// # Errors
    /// When an account reserves less than its holds do, which placing rules out.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<HoldId>, Refusal> {
        let mut ended = Vec::new();
        for hold in self.holds.values_mut().filter(|hold| hold.is_due(now)) {
            if let Some(account) = self.accounts.get_mut(&hold.account) {
                let rest = hold.end(HoldState::Expired);
                account.give_back(hold.direction, rest)?;
                ended.push(hold.id);
            }
        }
        ended.sort();
        Ok(ended)
    }

    /// Carries out one command of `merchant`, or says why not.
    ///
    /// # Errors
    /// The refusal; nothing has changed.
    pub fn decide(
        &mut self,
        merchant: MerchantId,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let mut draft = self.draft(merchant);
        let decision = draft.carry_out(command, now)?;
        let changes = draft.changes;
        self.accept(changes);
        Ok(decision)
    }

    /// Carries out all commands, in their order, or none of them. The caller may have refused one already.
    ///
    /// # Errors
    /// The first that is refused, from 0, and why; nothing has changed.
    pub fn decide_all<'c>(
        &mut self,
        merchant: MerchantId,
        commands: impl IntoIterator<Item = Result<&'c Command, Refusal>>,
        now: Timestamp,
    ) -> Result<Vec<Decision>, (usize, Refusal)> {
        let mut draft = self.draft(merchant);
        let mut decisions = Vec::new();
        for (index, command) in commands.into_iter().enumerate() {
            let decision = command.and_then(|command| draft.carry_out(command, now));
            decisions.push(decision.map_err(|refusal| (index, refusal))?);
        }
        let changes = draft.changes;
        self.accept(changes);
        Ok(decisions)
    }

    fn draft(&self, merchant: MerchantId) -> Draft<'_> {
        Draft {
            book: self,
            merchant,
            changes: Changes::default(),
        }
    }

    fn accept(&mut self, changes: Changes) {
        self.accounts.extend(changes.accounts);
        self.holds.extend(changes.holds);
        self.originals.extend(changes.originals);
    }
}
