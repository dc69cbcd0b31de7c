//! A history, ordered for the rules: intents, accounts, and the span of time in which each transaction took effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{Command, Held, State},
    history::{Account, Entry, History, Kind, Operation, Outcome, Post, Request, Role, Transaction},
    trade::{Card, Trade},
    wanted,
};

/// The refusal of a key that was used with another request.
pub(crate) const KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";

/// An rpc that writes: keys of different ones have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rpc {
    Post(Kind),
    Issue,
    Sale,
    Redemption,
    Purchase,
    Place,
    Void,
    SetState(State),
}

impl Rpc {
    /// The one that a request goes to; `None` for a read.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        Some(match request {
            Request::Post(post) => Self::Post(post.kind),
            Request::Trade(Trade::Issue { .. }) => Self::Issue,
            Request::Trade(Trade::Sale { .. }) => Self::Sale,
            Request::Trade(Trade::Redemption { .. }) => Self::Redemption,
            Request::Trade(Trade::Purchase { .. }) => Self::Purchase,
            Request::Command(Command::Capture { .. }) => Self::Post(Kind::Capture),
            Request::Command(Command::Reverse { .. }) => Self::Post(Kind::Reversal),
            Request::Command(Command::Place { .. }) => Self::Place,
            Request::Command(Command::Void { .. }) => Self::Void,
            Request::Command(Command::SetState { state, .. }) => Self::SetState(*state),
            Request::Read(_) | Request::Look(_) => return None,
        })
    }
}

/// The refusal of a request that cannot be right whatever stands: nothing is recorded under its key.
const MALFORMED: &str = "TENDERS_UNBALANCED";

/// All calls with one key and one request: a write that somebody meant to make once.
#[derive(Debug)]
pub(crate) struct Intent<'a> {
    pub(crate) merchant: &'a str,
    pub(crate) key: &'a str,
    pub(crate) rpc: Rpc,
    pub(crate) request: &'a Request,
    /// The transaction that the contract promises for it; without lines where it promises none, or its lines depend
    /// on what stands.
    pub(crate) post: Post,
    pub(crate) calls: Vec<&'a Operation>,
}

impl<'a> Intent<'a> {
    /// The transactions that it was answered with; more than one is a fault.
    pub(crate) fn posted(&self) -> BTreeSet<&'a str> {
        self.calls
            .iter()
            .filter_map(|call| call.outcome.transaction())
            .collect()
    }

    /// What it placed or ended, as its answer had it.
    pub(crate) fn held(&self) -> Option<&'a Held> {
        self.calls.iter().find_map(|call| match &call.outcome {
            Outcome::Held(held) => Some(held),
            _ => None,
        })
    }

    /// Whether it was answered with a yes.
    pub(crate) fn is_done(&self) -> bool {
        self.calls.iter().any(|call| call.outcome.is_acknowledged())
    }

    /// The reasons it was refused with, the reuse of its key aside.
    pub(crate) fn refusals(&self) -> BTreeSet<&'a str> {
        let reasons = self.calls.iter().filter_map(|call| match &call.outcome {
            Outcome::Refused(reason) if reason != KEY_REUSED => Some(reason.as_str()),
            _ => None,
        });
        reasons.collect()
    }

    /// Whether it got a lasting answer of its own.
    pub(crate) fn is_answered(&self) -> bool {
        self.calls.iter().any(|call| call.outcome.is_acknowledged()) || !self.refusals().is_empty()
    }

    /// Whether it got an answer that its key is kept for.
    pub(crate) fn takes_key(&self) -> bool {
        self.calls.iter().any(|call| call.outcome.is_acknowledged())
            || self.refusals().iter().any(|reason| *reason != MALFORMED)
    }

    /// Whether a call of it went unanswered.
    pub(crate) fn has_unknown(&self) -> bool {
        self.calls
            .iter()
            .any(|call| matches!(call.outcome, Outcome::Unknown(_)))
    }

    /// Its calls that were told that the key belongs to another request.
    pub(crate) fn reused(&self) -> Vec<u64> {
        let reused =
            |call: &&&Operation| matches!(&call.outcome, Outcome::Refused(reason) if reason == KEY_REUSED);
        self.calls.iter().filter(reused).map(|call| call.id).collect()
    }

    /// The numbers of its calls.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.calls.iter().map(|call| call.id).collect()
    }

    /// When its first call began.
    pub(crate) fn start(&self) -> u64 {
        self.calls.iter().map(|call| call.start).min().unwrap_or(0)
    }

    /// When its first lasting answer came.
    pub(crate) fn end(&self) -> Option<u64> {
        let answered = self.calls.iter().filter(|call| match &call.outcome {
            Outcome::Refused(reason) => reason != KEY_REUSED,
            outcome => outcome.is_acknowledged(),
        });
        answered.map(|call| call.end).min()
    }
}

/// An entry of an account, and the span of time in which it took effect.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) span: Span,
    pub(crate) calls: Vec<u64>,
}

/// What a transaction may be the effect of.
#[derive(Debug)]
struct Cause<'a> {
    span: Span,
    calls: Vec<u64>,
    requests: Vec<&'a Request>,
}

/// What a request asks for, as far as the transaction that it causes shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// These entries.
    Lines(Post),
    /// What this hold reserves.
    Capture { hold: String, reference: String },
    /// What undoes this transaction.
    Reversal { of: String, reference: String },
}

impl Content {
    /// The merchant's own name for it; may be empty.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Lines(post) => &post.reference,
            Self::Capture { reference, .. } | Self::Reversal { reference, .. } => reference,
        }
    }
}

/// Took effect after `start` and before `end`, as far as anybody saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

/// A history, ordered.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    pub(crate) history: &'a History,
    pub(crate) accounts: BTreeMap<&'a str, &'a Account>,
    /// What the cards are at the end.
    pub(crate) cards: BTreeMap<&'a str, &'a Card>,
    /// The account of each merchant for each purpose, where it has one.
    roles: BTreeMap<(&'a str, Role), &'a str>,
    /// All intents of one merchant, rpc and key.
    pub(crate) keys: BTreeMap<(&'a str, Rpc, &'a str), Vec<Intent<'a>>>,
    pub(crate) transactions: BTreeMap<&'a str, &'a Transaction>,
    /// The entries of each account, by sequence.
    pub(crate) steps: BTreeMap<&'a str, Vec<Step<'a>>>,
    causes: BTreeMap<&'a str, Vec<&'a Request>>,
    /// What was known of each account when: time, sequence; both rise.
    known: BTreeMap<&'a str, Vec<(u64, i64)>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(history: &'a History) -> Self {
        let mut index = Self {
            history,
            accounts: history
                .accounts
                .iter()
                .map(|one| (one.id.as_str(), one))
                .collect(),
            cards: history.cards.iter().map(|one| (one.id.as_str(), one)).collect(),
            roles: history
                .accounts
                .iter()
                .map(|one| ((one.merchant.as_str(), one.role), one.id.as_str()))
                .collect(),
            keys: BTreeMap::new(),
            transactions: history
                .transactions
                .iter()
                .map(|one| (one.id.as_str(), one))
                .collect(),
            steps: BTreeMap::new(),
            causes: BTreeMap::new(),
            known: BTreeMap::new(),
        };
        index.keys = index.all_keys();
        let spans = index.spans();
        index.causes = spans
            .iter()
            .map(|(transaction, cause)| (*transaction, cause.requests.clone()))
            .collect();
        index.steps = index.all_steps(&spans);
        index.known = index.all_known();
        index
    }

    pub(crate) fn intents(&self) -> impl Iterator<Item = &Intent<'a>> {
        self.keys.values().flatten()
    }

    /// The merchant's account for a purpose that it has one account for; empty where it has none.
    pub(crate) fn account_for(&self, merchant: &str, role: Role) -> &'a str {
        self.roles.get(&(merchant, role)).copied().unwrap_or_default()
    }

    /// The account of a card; empty where it has none.
    pub(crate) fn card_account(&self, card: &str) -> &'a str {
        self.cards.get(card).map_or("", |card| &card.account)
    }

    pub(crate) fn role(&self, account: &str) -> Option<Role> {
        self.accounts.get(account).map(|account| account.role)
    }

    /// The intents that may have posted a transaction, by what they asked for.
    pub(crate) fn by_content(&self) -> BTreeMap<(&'a str, Content), Vec<&Intent<'a>>> {
        let mut by_content: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for intent in self.intents() {
            let content = match intent.request {
                Request::Command(Command::Capture { hold, reference, .. }) => Content::Capture {
                    hold: hold.clone(),
                    reference: reference.clone(),
                },
                Request::Command(Command::Reverse {
                    transaction,
                    reference,
                    ..
                }) => Content::Reversal {
                    of: transaction.clone(),
                    reference: reference.clone(),
                },
                _ if intent.post.lines.is_empty() => continue,
                _ => Content::Lines(self.matched(intent.post.clone())),
            };
            by_content
                .entry((intent.merchant, content))
                .or_default()
                .push(intent);
        }
        by_content
    }

    /// What the request that caused a transaction must have asked for.
    pub(crate) fn content(&self, transaction: &Transaction) -> Content {
        let reference = transaction.reference.clone();
        let hold = transaction.entries.first().and_then(|entry| entry.hold.clone());
        match (transaction.kind, hold, transaction.reverses.clone()) {
            (Kind::Capture, Some(hold), _) => Content::Capture { hold, reference },
            (Kind::Reversal, _, Some(of)) => Content::Reversal { of, reference },
            _ => Content::Lines(self.matched(transaction.content())),
        }
    }

    /// What two transactions have in common that the same request may have caused. Which holds end with it does not
    /// show in it; of a trade, the contract says neither the reference nor the order of the entries.
    fn matched(&self, mut post: Post) -> Post {
        post.releases.clear();
        let trades = post.lines.iter().any(|line| {
            let role = self.role(&line.account);
            role.is_some_and(|role| {
                matches!(
                    role,
                    Role::External | Role::GiftCard | Role::Sales | Role::LoyaltyCost
                )
            })
        });
        // Without programmes there is nobody but the clients themselves who asks the ledger.
        if !trades || self.history.programmes.is_empty() {
            return post;
        }
        Post {
            kind: post.kind,
            reference: String::new(),
            lines: wanted::sums(&post.lines),
            releases: Vec::new(),
        }
    }

    /// The requests that a transaction may be the effect of: the one that was answered with it, or else those that were
    /// not answered.
    pub(crate) fn causes(&self, transaction: &str) -> &[&'a Request] {
        self.causes.get(transaction).map_or(&[], Vec::as_slice)
    }

    /// Whether an intent may have taken effect although nobody was told.
    pub(crate) fn is_open(&self, intent: &Intent<'_>) -> bool {
        let siblings = self.keys.get(&(intent.merchant, intent.rpc, intent.key));
        // The key of an answered sibling is taken.
        intent.has_unknown() && !siblings.into_iter().flatten().any(Intent::takes_key)
    }

    /// The sequences that the account may have stood at between two moments.
    pub(crate) fn window(&self, account: &str, start: u64, end: u64) -> (i64, i64) {
        let known = self.known.get(account).map_or(&[][..], Vec::as_slice);
        let before = known.partition_point(|(at, _)| *at < start);
        let least = before
            .checked_sub(1)
            .and_then(|last| known.get(last))
            .map_or(0, |(_, sequence)| *sequence);
        (least, self.begun(account, end))
    }

    /// The highest sequence that the account may have reached at a moment.
    pub(crate) fn begun(&self, account: &str, at: u64) -> i64 {
        let steps = self.steps(account);
        let begun = steps.iter().take_while(|step| step.span.start <= at).last();
        begun.map_or(0, |step| step.entry.sequence)
    }

    pub(crate) fn steps(&self, account: &str) -> &[Step<'a>] {
        self.steps.get(account).map_or(&[], Vec::as_slice)
    }

    /// What the account held after its entry number `sequence`; `None` where there is no such entry.
    pub(crate) fn balance_at(&self, account: &str, sequence: i64) -> Option<i64> {
        if sequence == 0 {
            return Some(0);
        }
        let steps = self.steps(account);
        let at = steps
            .binary_search_by_key(&sequence, |step| step.entry.sequence)
            .ok()?;
        steps.get(at).map(|step| step.entry.balance_after)
    }

    fn all_steps(&self, spans: &BTreeMap<&'a str, Cause<'a>>) -> BTreeMap<&'a str, Vec<Step<'a>>> {
        let mut steps: BTreeMap<&str, Vec<Step<'a>>> = BTreeMap::new();
        for entry in &self.history.entries {
            // Of what nobody asked for, the time is unknown too.
            let (span, calls) = spans.get(entry.transaction.as_str()).map_or_else(
                || (Span { start: 0, end: None }, Vec::new()),
                |cause| (cause.span, cause.calls.clone()),
            );
            steps
                .entry(&entry.account)
                .or_default()
                .push(Step { entry, span, calls });
        }
        for of_account in steps.values_mut() {
            of_account.sort_by_key(|step| step.entry.sequence);
        }
        steps
    }

    fn spans(&self) -> BTreeMap<&'a str, Cause<'a>> {
        let mut spans: BTreeMap<&str, Cause<'a>> = BTreeMap::new();
        for intent in self.intents() {
            for call in &intent.calls {
                let Some(transaction) = call.outcome.transaction() else {
                    continue;
                };
                let cause = spans.entry(transaction).or_insert_with(|| Cause {
                    span: Span {
                        start: intent.start(),
                        end: None,
                    },
                    calls: intent.ids(),
                    requests: vec![intent.request],
                });
                cause.span.end = Some(cause.span.end.map_or(call.end, |end| end.min(call.end)));
            }
        }
        let by_content = self.by_content();
        for transaction in &self.history.transactions {
            let content = self.content(transaction);
            let candidates = by_content.get(&(transaction.merchant.as_str(), content));
            let open: Vec<_> = candidates
                .into_iter()
                .flatten()
                .filter(|intent| self.is_open(intent))
                .collect();
            // Any of them may be the one.
            if let Some(start) = open.iter().map(|intent| intent.start()).min() {
                spans.entry(transaction.id.as_str()).or_insert_with(|| Cause {
                    span: Span { start, end: None },
                    calls: open.iter().flat_map(|intent| intent.ids()).collect(),
                    requests: open.iter().map(|intent| intent.request).collect(),
                });
            }
        }
        spans
    }

    fn all_known(&self) -> BTreeMap<&'a str, Vec<(u64, i64)>> {
        let mut known: BTreeMap<&str, Vec<(u64, i64)>> = BTreeMap::new();
        for (account, steps) in &self.steps {
            let ended = steps
                .iter()
                .filter_map(|step| Some((step.span.end?, step.entry.sequence)));
            known.entry(account).or_default().extend(ended);
        }
        // What one client has read, all others must be able to read after it.
        for call in &self.history.operations {
            let seen = match &call.outcome {
                Outcome::Balance(seen) => Some(seen),
                Outcome::Held(held) => Some(&held.balance),
                _ => None,
            };
            if let Some(seen) = seen {
                known
                    .entry(&seen.account)
                    .or_default()
                    .push((call.end, seen.sequence));
            }
        }
        for of_account in known.values_mut() {
            of_account.sort_unstable();
            let mut highest = 0;
            for (_, sequence) in of_account {
                highest = highest.max(*sequence);
                *sequence = highest;
            }
        }
        known
    }

    fn all_keys(&self) -> BTreeMap<(&'a str, Rpc, &'a str), Vec<Intent<'a>>> {
        let mut keys: BTreeMap<_, Vec<Intent<'a>>> = BTreeMap::new();
        for call in &self.history.operations {
            let Some(rpc) = Rpc::of(&call.request) else {
                continue;
            };
            let intents = keys
                .entry((call.merchant.as_str(), rpc, call.key.as_str()))
                .or_default();
            match intents.iter_mut().find(|intent| *intent.request == call.request) {
                Some(intent) => intent.calls.push(call),
                None => intents.push(Intent {
                    merchant: &call.merchant,
                    key: &call.key,
                    rpc,
                    request: &call.request,
                    post: wanted::post(self, &call.merchant, &call.request),
                    calls: vec![call],
                }),
            }
        }
        keys
    }
}
