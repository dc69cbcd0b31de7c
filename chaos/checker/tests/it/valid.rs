//! What a correct fleet can show is accepted.

use history_checker::{Command, Look, Outcome, Post, Read, Request, Shortfall, Source, State, Trade, check};
use proptest::prelude::*;

use crate::holding::{capture, place, reverse, set_state, void};
use crate::reference::{CAPPED, CUSTOMERS, Fleet, OTHERS, SHOP, burn, earn, transfer};
use crate::till::{by_card, external, key, points, purchase, redemption, sale};

const CARDS: [&str; 2] = ["crd_1", "crd_2"];

/// How a call goes on the network.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// It takes effect so much after it began, perhaps after it was given up.
    AnswerLost(u64),
    RequestLost,
}

#[derive(Debug, Clone)]
enum Asked {
    Write {
        post: Post,
        key: Key,
    },
    Read {
        account: &'static str,
        from: Source,
        behind: i64,
        token: Option<i64>,
    },
    Trade {
        trade: Trade,
        key: Key,
    },
    Look(Look),
}

/// Whose key a write comes with.
#[derive(Debug, Clone)]
enum Key {
    Own,
    /// The same call once more, as a retry or at the same time.
    And(Again),
}

#[derive(Debug, Clone)]
struct Again {
    start: u64,
    fate: Fate,
    with_other_body: bool,
}

#[derive(Debug, Clone)]
struct Call {
    start: u64,
    takes: u64,
    fate: Fate,
    asked: Asked,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => (0..600_u64).prop_map(Fate::AnswerLost),
        1 => Just(Fate::RequestLost),
    ]
}

fn post() -> impl Strategy<Value = Post> {
    let customer = prop::sample::select(&CUSTOMERS[..]);
    // Without a name it is told apart by its amount alone, and amounts repeat.
    let name = prop_oneof![Just(String::new()), "[a-z]{12}"];
    (0..5_u8, customer, name, 1..80_i64).prop_map(|(which, customer, name, amount)| match which {
        0 | 1 => earn(&name, customer, amount),
        2 => burn(&name, customer, amount),
        3 => transfer(&name, customer, CAPPED, amount),
        _ => transfer(&name, customer, OTHERS[0], amount),
    })
}

fn trade() -> impl Strategy<Value = Trade> {
    let customer = prop::option::of(prop::sample::select(&CUSTOMERS[..]));
    let name = prop_oneof![3 => Just(""), 1 => Just("order")];
    let card = prop::sample::select(&CARDS[..]);
    (0..8_u8, card, customer, name, 1..700_i64).prop_map(|(which, card, customer, name, amount)| {
        let mut trade = match which {
            0 => {
                let product = "prd_1".to_owned();
                return Trade::Issue { product };
            }
            1 | 2 => return sale(card, 1_000),
            3 => redemption(card, amount),
            4 => purchase(vec![external(amount)], customer),
            5 => purchase(vec![points(amount)], customer),
            6 => purchase(vec![by_card(card, amount), external(amount)], customer),
            _ => {
                let tenders = vec![
                    external(amount),
                    by_card(card, amount),
                    points(75 * (amount % 4 + 1)),
                ];
                purchase(tenders, Some(CUSTOMERS[0]))
            }
        };
        match &mut trade {
            Trade::Purchase { reference, .. } => name.clone_into(reference),
            Trade::Redemption { card, .. } => card.opens = amount % 5 != 0,
            _ => {}
        }
        trade
    })
}

fn look() -> impl Strategy<Value = Look> {
    let card = prop::sample::select(&CARDS[..]);
    (card, any::<bool>(), any::<bool>()).prop_map(|(card, opens, authorize)| {
        let key = key(card, opens || !authorize);
        Look { key, authorize }
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let again = prop_oneof![
        3 => Just(Key::Own),
        1 => (0..1_000_u64, fate(), any::<bool>())
            .prop_map(|(start, fate, with_other_body)| Key::And(Again { start, fate, with_other_body })),
    ];
    let traded = (trade(), again.clone()).prop_map(|(trade, key)| Asked::Trade { trade, key });
    let from = prop_oneof![Just(Source::Ledger), Just(Source::Wallet)];
    let read = (
        prop::sample::select(vec![CUSTOMERS[0], CUSTOMERS[1], CAPPED]),
        from,
        0..4_i64,
        prop::option::of(0..9_i64),
    );
    prop_oneof![
        3 => (post(), again).prop_map(|(post, key)| Asked::Write { post, key }),
        2 => read.prop_map(|(account, from, behind, token)| Asked::Read { account, from, behind, token }),
        3 => traded,
        1 => look().prop_map(Asked::Look),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (0..1_000_u64, 1..200_u64, fate(), asked());
    prop::collection::vec(
        call.prop_map(|(start, takes, fate, asked)| Call {
            start,
            takes,
            fate,
            asked,
        }),
        0..60,
    )
}

/// A call and when it takes effect.
struct Event {
    at: Option<u64>,
    span: (u64, u64),
    key: String,
    asked: Asked,
    answered: bool,
}

fn event(start: u64, takes: u64, fate: Fate, key: String, asked: Asked) -> Event {
    let at = match fate {
        Fate::Answered => Some(start + takes / 2),
        Fate::AnswerLost(after) => Some(start + after),
        Fate::RequestLost => None,
    };
    Event {
        at,
        span: (start, start + takes),
        key,
        asked,
        answered: matches!(fate, Fate::Answered),
    }
}

fn play(calls: Vec<Call>) -> history_checker::History {
    let mut events = Vec::new();
    for (number, call) in calls.into_iter().enumerate() {
        let key = format!("key-{number}");
        if let Asked::Write {
            post,
            key: Key::And(again),
        } = &call.asked
        {
            let amount = i64::from(again.with_other_body) * 100;
            let mut post = post.clone();
            post.lines.iter_mut().for_each(|line| line.amount += amount);
            let asked = Asked::Write { post, key: Key::Own };
            events.push(event(again.start, call.takes, again.fate, key.clone(), asked));
        }
        if let Asked::Trade {
            trade,
            key: Key::And(again),
        } = &call.asked
        {
            let mut trade = trade.clone();
            if let (Trade::Sale { amount, .. } | Trade::Redemption { amount, .. }, true) =
                (&mut trade, again.with_other_body)
            {
                *amount += 100;
            }
            let asked = Asked::Trade { trade, key: Key::Own };
            events.push(event(again.start, call.takes, again.fate, key.clone(), asked));
        }
        events.push(event(call.start, call.takes, call.fate, key, call.asked));
    }
    events.sort_by_key(|event| event.at);
    let mut fleet = Fleet::new();
    CARDS.iter().for_each(|card| fleet.stock(card));
    for event in events {
        let (request, outcome) = match event.asked {
            Asked::Write { post, .. } => {
                let outcome = event.at.map(|_| fleet.apply(SHOP, &event.key, &post));
                (Request::Post(post), outcome)
            }
            Asked::Trade { trade, .. } => {
                let outcome = event.at.map(|_| fleet.apply_trade(&event.key, &trade));
                (Request::Trade(trade), outcome)
            }
            Asked::Look(look) => {
                let seen = fleet.see(&look);
                (Request::Look(look), Some(seen))
            }
            Asked::Read {
                account,
                from,
                behind,
                token,
            } => {
                let now = fleet.balance(account);
                let token = token.filter(|token| *token <= now.sequence);
                let stale = if from == Source::Wallet {
                    now.sequence - behind
                } else {
                    now.sequence
                };
                let seen = fleet.balance_at(account, stale.max(token.unwrap_or(0)));
                let token = token.filter(|_| from == Source::Wallet);
                (
                    Request::Read(Read {
                        account: account.to_owned(),
                        from,
                        token,
                    }),
                    Some(Outcome::Balance(seen)),
                )
            }
        };
        let unknown = || Outcome::Unknown("UNAVAILABLE".to_owned());
        let outcome = outcome.filter(|_| event.answered).unwrap_or_else(unknown);
        let key = if matches!(request, Request::Read(_) | Request::Look(_)) {
            String::new()
        } else {
            event.key
        };
        fleet.record(event.span, SHOP, &key, request, outcome);
    }
    fleet.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn histories_of_a_correct_fleet_are_accepted(calls in calls()) {
        let history = play(calls);
        let violations = check(&history);
        prop_assert!(violations.is_empty(), "{violations:#?}\n{history:#?}");
    }
}

#[test]
fn an_empty_history_is_accepted() {
    assert_eq!(check(&Fleet::new().finish()), []);
}

/// What clients ask of two customers' accounts, of the holds and transactions that there may be by then.
fn command() -> impl Strategy<Value = Command> {
    let account = prop::sample::select(&CUSTOMERS[..]);
    (0..10_u8, account, 1..8_u8, 1..60_i64, any::<bool>()).prop_map(
        |(which, account, other, amount, half)| {
            let (hold, transaction) = (format!("hld_{other}"), format!("txn_{other}"));
            let part = half.then_some(amount);
            match which {
                0..3 => place(account, amount, 150 + u64::from(other) * 150),
                3..5 => capture(&hold, part, amount % 5 == 0),
                5 => void(&hold),
                6 => reverse(&transaction, part, Shortfall::Refuse),
                7 => reverse(&transaction, part, Shortfall::Overdraw),
                8 => set_state(account, State::Frozen),
                _ => set_state(
                    account,
                    if half && amount < 4 {
                        State::Closed
                    } else {
                        State::Open
                    },
                ),
            }
        },
    )
}

/// When it starts, how long it takes, how it goes, and what it is: a command, a post or a read.
type Reserving = (u64, u64, Fate, Option<Result<Command, Post>>);

/// So much of each kind that they collide.
fn reserving() -> impl Strategy<Value = Vec<Reserving>> {
    let one_sided = post().prop_filter("one amount on all lines", |post| post.lines.len() == 2);
    let asked = prop_oneof![
        3 => one_sided.prop_map(|post| Some(Err(post))),
        4 => command().prop_map(|command| Some(Ok(command))),
        2 => Just(None),
    ];
    prop::collection::vec((0..1_500_u64, 1..200_u64, fate(), asked), 0..60)
}

fn play_reserving(calls: Vec<Reserving>) -> history_checker::History {
    let calls = calls.into_iter().enumerate();
    let mut events: Vec<_> = calls
        .map(|(number, (start, takes, fate, asked))| {
            let at = match fate {
                Fate::Answered => Some(start + takes / 2),
                Fate::AnswerLost(after) => Some(start + after),
                Fate::RequestLost => None,
            };
            (
                at,
                number,
                (start, start + takes),
                asked,
                matches!(fate, Fate::Answered),
            )
        })
        .collect();
    events.sort_by_key(|(at, number, ..)| (*at, *number));
    let mut fleet = Fleet::new();
    let mut last = 0;
    for (at, number, span, asked, answered) in events {
        fleet.now = at.unwrap_or(fleet.now);
        fleet.expire();
        last = last.max(span.1).max(fleet.now);
        let key = if asked.is_some() {
            format!("key-{number}")
        } else {
            String::new()
        };
        let (request, outcome) = match asked {
            Some(Ok(command)) => {
                let outcome = at.map(|_| fleet.apply_command(&key, &command));
                (Request::Command(command), outcome)
            }
            Some(Err(post)) => {
                let outcome = at.map(|_| fleet.apply(SHOP, &key, &post));
                (Request::Post(post), outcome)
            }
            None => {
                let account = CUSTOMERS[number % 2].to_owned();
                let seen = at.map(|_| Outcome::Balance(fleet.balance(&account)));
                let read = Read {
                    account,
                    from: Source::Ledger,
                    token: None,
                };
                (Request::Read(read), seen)
            }
        };
        let unknown = || Outcome::Unknown("UNAVAILABLE".to_owned());
        let outcome = outcome.filter(|_| answered).unwrap_or_else(unknown);
        fleet.record(span, SHOP, &key, request, outcome);
    }
    fleet.now = last;
    fleet.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn histories_with_holds_and_reversals_are_accepted(calls in reserving()) {
        let history = play_reserving(calls);
        let violations = check(&history);
        prop_assert!(violations.is_empty(), "{violations:#?}\n{history:#?}");
    }
}
