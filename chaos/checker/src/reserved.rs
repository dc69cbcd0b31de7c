//! What holds reserve of an account, along its entries.
//!
//! Entries have a place in the account's order, holds have none of their own: a hold is placed, or ended, between two
//! entries. Places are counted on one axis, on which entry `n` stands at `2n` and what comes after it, before the next
//! one, at `2n + 1`. Where the moment is not known that well, what may be reserved and what surely is differ.

use std::collections::BTreeMap;

use crate::{
    command::{Command, Hold, HoldState},
    history::Request,
    index::{Index, Intent},
};

/// A place on the axis.
pub(crate) fn at_entry(sequence: i64) -> i64 {
    sequence.saturating_mul(2)
}

/// The place between that entry and the next.
pub(crate) fn after_entry(sequence: i64) -> i64 {
    at_entry(sequence).saturating_add(1)
}

/// When something took effect: on the axis, and on the clock of the calls.
#[derive(Debug, Clone, Copy)]
struct Effect {
    /// Not before this place.
    possible: i64,
    /// At this place it has.
    certain: i64,
    /// Not before it was asked for.
    start: u64,
    /// Not after it was answered.
    end: Option<u64>,
}

const NEVER: Effect = Effect {
    possible: i64::MAX,
    certain: i64::MAX,
    start: u64::MAX,
    end: None,
};

impl Effect {
    /// Between an entry and the next.
    fn between(sequence: i64, intent: &Intent<'_>) -> Self {
        Self {
            possible: after_entry(sequence),
            certain: after_entry(sequence).saturating_add(1),
            start: intent.start(),
            end: intent.end(),
        }
    }

    /// Somewhere since the intent began, if at all.
    fn since(index: &Index<'_>, account: &str, intent: &Intent<'_>) -> Self {
        let (least, _) = index.window(account, intent.start(), intent.start());
        Self {
            possible: after_entry(least),
            certain: i64::MAX,
            start: intent.start(),
            end: intent.end(),
        }
    }

    fn earlier(self, other: Self) -> Self {
        Self {
            possible: self.possible.min(other.possible),
            certain: self.certain.min(other.certain),
            start: self.start.min(other.start),
            end: match (self.end, other.end) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
        }
    }

    /// Whether it may have taken effect for who stood at `place` until `end`.
    fn may_be(&self, place: i64, end: u64) -> bool {
        self.possible <= place && self.start <= end
    }

    /// Whether it surely had for who stood at `place` from `start` on.
    fn is_sure(&self, place: i64, start: u64) -> bool {
        self.certain <= place || self.possible <= place && self.end.is_some_and(|end| end < start)
    }
}

/// What one hold reserves.
#[derive(Debug)]
struct Reservation<'a> {
    hold: &'a Hold,
    placed: Effect,
    ended: Effect,
    /// What was drawn on it: the entry's sequence, the amount.
    draws: Vec<(i64, i64)>,
}

impl Reservation<'_> {
    fn rest(&self, place: i64) -> i64 {
        let drawn = self.draws.iter().filter(|(at, _)| at_entry(*at) <= place);
        let drawn = drawn.fold(0_i64, |sum, (_, amount)| sum.saturating_add(*amount));
        self.hold.amount.saturating_sub(drawn).max(0)
    }
}

/// What every hold reserves, by account. Only holds for the side that lowers their account: the others keep nothing
/// from being spent.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    index: &'a Index<'a>,
    by_account: BTreeMap<&'a str, Vec<Reservation<'a>>>,
    /// The intents that may end each hold, however much of it is left.
    endings: BTreeMap<&'a str, Vec<&'a Intent<'a>>>,
}

impl<'a> Reserved<'a> {
    pub(crate) fn new(index: &'a Index<'a>) -> Self {
        let mut placings: BTreeMap<&str, &Intent<'_>> = BTreeMap::new();
        let mut endings: BTreeMap<&'a str, Vec<&'a Intent<'a>>> = BTreeMap::new();
        for intent in index.intents() {
            for hold in ended_by(intent.request) {
                endings.entry(hold).or_default().push(intent);
            }
            if let (Request::Command(Command::Place { .. }), Some(held)) = (intent.request, intent.held()) {
                placings.insert(&held.hold.id, intent);
            }
        }
        let mut by_account: BTreeMap<&str, Vec<Reservation<'_>>> = BTreeMap::new();
        for hold in &index.history.holds {
            let account = index.accounts.get(hold.account.as_str());
            if account.is_none_or(|account| account.normal == hold.side) {
                continue;
            }
            let placing = placings.get(hold.id.as_str());
            let placed = placing
                .and_then(|intent| Some(Effect::between(intent.held()?.balance.sequence, intent)))
                .unwrap_or(Effect {
                    possible: 0,
                    certain: i64::MAX,
                    start: 0,
                    end: None,
                });
            let endings = endings.get(hold.id.as_str()).map_or(&[][..], Vec::as_slice);
            by_account.entry(&hold.account).or_default().push(Reservation {
                hold,
                placed,
                ended: ended(index, hold, endings),
                draws: index
                    .steps(&hold.account)
                    .iter()
                    .filter(|step| step.entry.hold.as_ref() == Some(&hold.id))
                    .map(|step| (step.entry.sequence, step.entry.amount))
                    .collect(),
            });
        }
        Self {
            index,
            by_account,
            endings,
        }
    }

    /// The intents that may end a hold, however much of it is left.
    pub(crate) fn endings(&self, hold: &str) -> &[&'a Intent<'a>] {
        self.endings.get(hold).map_or(&[], Vec::as_slice)
    }

    fn of(&self, account: &str) -> &[Reservation<'a>] {
        self.by_account.get(account).map_or(&[], Vec::as_slice)
    }

    /// What was surely reserved when this entry was posted, after it.
    pub(crate) fn least_at(&self, account: &str, sequence: i64) -> i64 {
        let place = at_entry(sequence);
        let sure = self
            .of(account)
            .iter()
            .filter(|one| one.placed.certain <= place && one.ended.possible > place);
        sure.fold(0, |sum, one| sum.saturating_add(one.rest(place)))
    }

    /// What may have been reserved at most after that entry, for who looked between two moments.
    pub(crate) fn most_after(&self, account: &str, sequence: i64, span: (u64, u64)) -> i64 {
        let (sure, perhaps) = self.after(account, sequence, span, None);
        perhaps.iter().fold(sure, |sum, one| sum.saturating_add(*one))
    }

    /// Whether this much may have been reserved after that entry, for who looked between two moments; `own` is a hold
    /// that is known to stand then, or to stand no longer.
    pub(crate) fn may_be(
        &self,
        account: &str,
        sequence: i64,
        span: (u64, u64),
        own: Option<(&str, bool)>,
        reserved: i64,
    ) -> bool {
        /// Sums of so many unsure holds are all tried; of more, only their range.
        const TRIED: usize = 16;
        let (sure, perhaps) = self.after(account, sequence, span, own);
        if perhaps.len() > TRIED {
            let most = perhaps.iter().fold(sure, |sum, one| sum.saturating_add(*one));
            return (sure..=most).contains(&reserved);
        }
        let mut sums = vec![sure];
        for one in perhaps {
            let with: Vec<_> = sums.iter().map(|sum| sum.saturating_add(one)).collect();
            sums.extend(with);
            sums.sort_unstable();
            sums.dedup();
        }
        sums.contains(&reserved)
    }

    /// What surely was reserved, and what each hold reserved of which that is not sure.
    fn after(
        &self,
        account: &str,
        sequence: i64,
        (start, end): (u64, u64),
        own: Option<(&str, bool)>,
    ) -> (i64, Vec<i64>) {
        let place = after_entry(sequence);
        let clock = self.index.history.clock;
        let (mut sure, mut perhaps) = (0_i64, Vec::new());
        for one in self.of(account) {
            if let Some((_, stands)) = own.filter(|(id, _)| *id == one.hold.id) {
                sure = sure.saturating_add(if stands { one.rest(place) } else { 0 });
                continue;
            }
            let expires = one.hold.expires_at;
            let ended = one.ended.is_sure(place, start) || clock.is_over(expires, start);
            if ended || !one.placed.may_be(place, end) {
                continue;
            }
            let rest = one.rest(place);
            let may_have_ended = one.ended.may_be(place, end) || clock.may_be_over(expires, end);
            if one.placed.is_sure(place, start) && !may_have_ended {
                sure = sure.saturating_add(rest);
            } else if rest > 0 {
                perhaps.push(rest);
            }
        }
        (sure, perhaps)
    }
}

/// The holds that a request may end, however much of them is left.
pub(crate) fn ended_by(request: &Request) -> Vec<&str> {
    match request {
        Request::Command(Command::Void { hold } | Command::Capture { hold, last: true, .. }) => vec![hold],
        Request::Post(post) => post.releases.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// When a hold ended with something left.
fn ended(index: &Index<'_>, hold: &Hold, endings: &[&Intent<'_>]) -> Effect {
    match hold.state {
        HoldState::Open | HoldState::Captured => NEVER,
        HoldState::Expired => expired(index, hold),
        HoldState::Voided => {
            let ends = endings.iter().filter_map(|intent| {
                if let Some(held) = intent.held() {
                    return Some(Effect::between(held.balance.sequence, intent));
                }
                if let Some(transaction) = intent.posted().first() {
                    return Some(match last_step(index, &hold.account, transaction) {
                        // What is left is given back after the last entry.
                        Some(sequence) => Effect {
                            certain: after_entry(sequence),
                            ..Effect::between(sequence, intent)
                        },
                        None => Effect::since(index, &hold.account, intent),
                    });
                }
                index
                    .is_open(intent)
                    .then(|| Effect::since(index, &hold.account, intent))
            });
            ends.fold(NEVER, Effect::earlier)
        }
    }
}

/// The last entry that a transaction has on an account.
pub(crate) fn last_step(index: &Index<'_>, account: &str, transaction: &str) -> Option<i64> {
    let mut steps = index.steps(account).iter();
    let last = steps.rfind(|step| step.entry.transaction == transaction)?;
    Some(last.entry.sequence)
}

/// An expiry is nobody's call: it is placed by the clock alone.
fn expired(index: &Index<'_>, hold: &Hold) -> Effect {
    let clock = index.history.clock;
    let steps = index.steps(&hold.account);
    let before = steps.iter().take_while(|step| {
        let end = step.span.end;
        end.is_some_and(|end| !clock.may_be_over(hold.expires_at, end))
    });
    let before = before.last().map_or(0, |step| step.entry.sequence);
    let after = steps
        .iter()
        .find(|step| clock.is_over(hold.expires_at, step.span.start));
    Effect {
        possible: after_entry(before),
        certain: after.map_or(i64::MAX, |step| at_entry(step.entry.sequence)),
        start: 0,
        end: None,
    }
}
