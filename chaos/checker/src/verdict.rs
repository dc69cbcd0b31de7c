//! What is wrong with a history.

use std::fmt;

use serde::Serialize;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident = $name:literal;)+) => {
        /// A promise of the fleet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $rule,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            /// Its name, as reports and the README have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)+
                }
            }
        }
    };
}

rules! {
    /// The balances of an asset, signed by side, sum to zero.
    Conservation = "conservation";
    /// The entries of a transaction balance per asset.
    Balanced = "balanced";
    /// The entries of an account are numbered 1, 2, 3 … without gap or double.
    Gapless = "gapless";
    /// Each balance after an entry is the one before it and the entry's amount.
    Chain = "chain";
    /// Lists and balances that show the same thing agree.
    Views = "views";
    /// No account leaves its limits.
    Limits = "limits";
    /// A key has at most one transaction, and a transaction one key.
    OneEffect = "one-effect";
    /// The same key and request get the same answer.
    SameAnswer = "same-answer";
    /// A key with another request is refused, and only then.
    KeyReuse = "key-reuse";
    /// An acknowledged write is in the ledger.
    LostWrite = "lost-write";
    /// It stands there as it was acknowledged.
    ChangedWrite = "changed-write";
    /// Nothing is in the ledger that nobody asked for.
    UnaskedWrite = "unasked-write";
    /// A refused write left nothing.
    RefusedWrite = "refused-write";
    /// What was posted is the whole of what was asked, and nothing else.
    PartialWrite = "partial-write";
    /// A refusal had a reason at some moment between question and answer.
    Refusal = "refusal";
    /// What ended before another began has the lower sequence.
    RealTimeOrder = "real-time-order";
    /// A read of the ledger shows what was known before it began.
    StaleRead = "stale-read";
    /// No read shows what had not begun when it ended.
    FutureRead = "future-read";
    /// A read's balance is the one that the account had at the read's sequence.
    ReadValue = "read-value";
    /// A read with a consistency token is never older than the token.
    TokenRead = "token-read";
    /// In the end the wallets show what the ledger shows.
    WalletEqualsLedger = "wallet-equals-ledger";
    /// Each transaction that gave or burnt a customer's points caused one notification, which was sent; nothing else
    /// did.
    OneNotification = "one-notification";
    /// Each notification became one e-mail in effect.
    OneMail = "one-mail";
    /// No merchant sees or moves what is another's.
    Isolation = "isolation";
    /// What a purchase, a sale or a redemption posts are the entries that the contract says, in the currency.
    Tenders = "tenders";
    /// The points that a purchase earns and burns are those of the programme, in the answer and in the ledger.
    Points = "points";
    /// A purchase stays as it was acknowledged.
    PurchaseView = "purchase-view";
    /// In the end a card shows what its ledger account holds, which was never below zero nor above its face value.
    CardEqualsLedger = "card-equals-ledger";
    /// A card is sold once, for its face value, and is active from then on; one card, one code.
    CardSoldOnce = "card-sold-once";
    /// A balance of a card that was read is one that its account held between question and answer.
    CardRead = "card-read";
    /// A card opens to its own code and PIN only.
    CardSecret = "card-secret";
    /// What all cards of a merchant hold is what was sold less what was redeemed.
    Liability = "liability";
    /// In the end the day's figures are what the ledger's transactions make.
    DailyFigures = "daily-figures";
    /// A replica that is asked to end ends with 0, and no client that tries again after UNAVAILABLE notices.
    Drain = "drain";
    /// What was captured of a hold is what its entries say, of its own account, and never more than it reserved.
    HoldCaptures = "hold-captures";
    /// What a hold reserves is spent by nobody else.
    HoldRoom = "hold-room";
    /// A hold ends once, and nothing is drawn on it afterwards.
    HoldEnd = "hold-end";
    /// A hold expires when its time is over: not before, and nothing is drawn on it much later.
    HoldTime = "hold-time";
    /// What is told to be available is the balance less what holds reserved at that moment.
    Available = "available";
    /// Reversals undo what was asked, and never more of a line than it moved.
    ReversalTotal = "reversal-total";
    /// What a reversal gives back goes to where it came from; nothing reverses a reversal.
    ReversalOrigin = "reversal-origin";
    /// Nothing moves on an account that is frozen or closed, and nothing is reserved there.
    AccountState = "account-state";
    /// Nothing is answered INTERNAL.
    Fault = "fault";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How, in one sentence.
    pub text: String,
    /// The operations that show it, by their numbers.
    pub operations: Vec<u64>,
    /// The accounts that it happened to.
    pub accounts: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)?;
        if !self.operations.is_empty() {
            let numbers: Vec<_> = self.operations.iter().map(ToString::to_string).collect();
            write!(f, "; operations {}", numbers.join(", "))?;
        }
        if !self.accounts.is_empty() {
            write!(f, "; accounts {}", self.accounts.join(", "))?;
        }
        Ok(())
    }
}

/// Takes violations down.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Violation>);

impl Report {
    pub(crate) fn add(
        &mut self,
        rule: Rule,
        text: String,
        operations: impl IntoIterator<Item = u64>,
        accounts: impl IntoIterator<Item = impl Into<String>>,
    ) {
        let mut operations: Vec<_> = operations.into_iter().collect();
        operations.sort_unstable();
        operations.dedup();
        let mut accounts: Vec<String> = accounts.into_iter().map(Into::into).collect();
        accounts.sort();
        accounts.dedup();
        self.0.push(Violation {
            rule,
            text,
            operations,
            accounts,
        });
    }

    /// In the order of the rules.
    pub(crate) fn finish(mut self) -> Vec<Violation> {
        self.0.sort_by_key(|violation| violation.rule);
        self.0
    }
}
