//! Balances are exact, whoever posts at the same time.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use lp_contracts::ledger::v1::AccountType;
use lp_types::IdSource as _;

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, new_key, points, reason},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_burns_as_many_succeed_as_there_are_funds_for() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let account = client.customer_with(50).await;
    let there = other.client(client.merchant);
    let burns = (0..64).map(|n| {
        let client = if n % 2 == 0 { client.clone() } else { there.clone() };
        let account = account.clone();
        async move { client.burn(&new_key(), &account, 5).await }
    });
    let outcomes = join_all(burns).await;
    let mut left: Vec<_> = outcomes
        .iter()
        .filter_map(|o| o.as_ref().ok())
        .map(|burnt| burnt.balance.clone().unwrap().balance.unwrap().minor_units)
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [0, 5, 10, 15, 20, 25, 30, 35, 40, 45],
        "ten, each with its own balance after"
    );
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!(reason(refused), "INSUFFICIENT_FUNDS");
    }
    assert_eq!(client.units(&account).await, 0);
    assert_eq!(ground.written().await, [11, 22, 67]);
    audit(&ground).await;
}

/// What a caller tries to do.
#[derive(Debug, Clone)]
enum Move {
    Earn(usize, i64),
    Burn(usize, i64),
    Transfer(usize, usize, i64),
}

/// Numbers that are different in each run; a failure prints them.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn index(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }

    fn moves(&mut self, accounts: usize) -> Move {
        let amount = i64::try_from(self.roll(20)).unwrap() + 1;
        let (from, to) = (self.index(accounts), self.index(accounts - 1));
        match self.roll(4) {
            0 => Move::Earn(from, amount),
            1 => Move::Burn(from, amount),
            // To any account but `from`.
            _ => Move::Transfer(from, if to < from { to } else { to + 1 }, amount),
        }
    }
}

async fn make(client: &Client, accounts: &[String], step: &Move) -> Result<(), tonic::Status> {
    let key = new_key();
    match step {
        Move::Earn(to, amount) => client.earn(&key, &accounts[*to], *amount).await.map(drop),
        Move::Burn(from, amount) => client.burn(&key, &accounts[*from], *amount).await.map(drop),
        Move::Transfer(from, to, amount) => {
            let entries = vec![
                debit(&accounts[*from], points(*amount)),
                credit(&accounts[*to], points(*amount)),
            ];
            client.transact(&key, entries).await.map(drop)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_movements_by_two_replicas_add_up() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    client.points("PTS").await;
    let accounts: Vec<_> = join_all((0..5).map(|_| client.customer("PTS"))).await;
    let seed = u64::try_from(lp_types::SystemIds.uuid().as_u128() & 0xffff_ffff).unwrap();
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let callers = (0..24).map(|n| {
        let client = if n % 2 == 0 {
            client.clone()
        } else {
            other.client(client.merchant)
        };
        let accounts = accounts.clone();
        let steps: Vec<_> = (0..40).map(|_| dice.moves(accounts.len())).collect();
        tokio::spawn(async move {
            let mut made = Vec::new();
            for step in steps {
                match make(&client, &accounts, &step).await {
                    Ok(()) => made.push(step),
                    Err(refused) => assert_eq!(reason(&refused), "INSUFFICIENT_FUNDS"),
                }
            }
            made
        })
    });
    let mut expected = vec![0_i64; accounts.len()];
    let mut made = 0;
    for caller in callers.collect::<Vec<_>>() {
        for step in caller.await.unwrap() {
            made += 1;
            match step {
                Move::Earn(to, amount) => expected[to] += amount,
                Move::Burn(from, amount) => expected[from] -= amount,
                Move::Transfer(from, to, amount) => {
                    expected[from] -= amount;
                    expected[to] += amount;
                }
            }
        }
    }
    let mut balances = Vec::new();
    for account in &accounts {
        balances.push(client.units(account).await);
    }
    assert_eq!(balances, expected);
    assert!(made > 100, "most of it was possible: {made}");
    assert_eq!(ground.count("transactions").await, made);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_batch_serves_many_merchants() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let clients: Vec<_> = (0..8).map(|_| instance.merchant()).collect();
    let mut accounts = HashMap::new();
    for client in &clients {
        accounts.insert(client.merchant, client.customer_with(100).await);
    }
    // Each merchant's every second burn aims at the account of another.
    let burns = (0..64_usize).map(|n| {
        let client = clients[n % 8].clone();
        let own = n < 32;
        let target = if own { &client } else { &clients[(n + 1) % 8] };
        let account = accounts[&target.merchant].clone();
        async move { (own, client.burn(&new_key(), &account, 10).await) }
    });
    for (own, outcome) in join_all(burns).await {
        match outcome {
            Ok(_) => assert!(own, "nobody burns another's points"),
            Err(refused) => {
                assert!(!own);
                assert_eq!(reason(&refused), "UNKNOWN_ACCOUNT");
            }
        }
    }
    let mut left = BTreeMap::new();
    for client in &clients {
        left.insert(client.merchant, client.units(&accounts[&client.merchant]).await);
    }
    assert!(left.values().all(|units| *units == 60), "{left:?}");
    audit(&ground).await;
}

#[tokio::test]
async fn a_hot_internal_account_is_locked_after_its_customers() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(1).await;
    let ranks: Vec<(i16, i16)> =
        sqlx::query_as("SELECT DISTINCT type, lock_rank FROM accounts ORDER BY lock_rank, type")
            .fetch_all(&mut ground.owner().await)
            .await
            .unwrap();
    let customers = ranks.iter().filter(|(t, _)| *t == 1).map(|(_, rank)| *rank).max();
    let internal = ranks.iter().filter(|(t, _)| *t != 1).map(|(_, rank)| *rank).min();
    assert!(customers < internal, "{ranks:?}");

    // While a batch waits for the customer's row, it does not hold the internal one.
    let asset = client.account("PTS", AccountType::Issuance).await;
    let hold = ground.hold(&account).await;
    let waiting = tokio::spawn({
        let (client, account, asset) = (client.clone(), account.clone(), asset.clone());
        let entries = vec![debit(&asset, points(1)), credit(&account, points(1))];
        async move { client.transact(&new_key(), entries).await }
    });
    ground.somebody_waits().await;
    ground.hold(&asset).await.release().await;
    hold.release().await;
    waiting.await.unwrap().unwrap();
    audit(&ground).await;
}
