//! Random transactions, against figures that are added up by hand.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use lp_contracts::{
    analytics::v1::{AssetFigures, DailyFigures},
    ledger::v1::TransactionPosted,
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use crate::{
    records::{
        Credit, Customer, Debit, External, GiftCard, Issuance, Redemption, Sales, entry, onboarded, posted,
        records,
    },
    support::{Ground, new_merchant},
};

const ZONES: [Option<&str>; 6] = [
    None,
    Some("Europe/Paris"),
    Some("Asia/Kathmandu"),
    Some("Pacific/Chatham"),
    Some("America/New_York"),
    Some("Pacific/Kiritimati"),
];

/// Whose, when, and what entries.
type Made = (usize, i64, Vec<(usize, bool, i64, usize)>);

fn made() -> impl Strategy<Value = Made> {
    // A fortnight with changes of clocks in Paris and Chatham.
    let start = "2026-03-25T00:00:00Z"
        .parse::<Timestamp>()
        .unwrap()
        .as_microsecond();
    let at = start..start + 14 * 86_400_000_000;
    let entry = (
        0..8_usize,
        any::<bool>(),
        1..=1_000_000_000_000_000_i64,
        0..4_usize,
    );
    (0..ZONES.len(), at, prop::collection::vec(entry, 1..8))
}

/// By code and exponent.
type Assets = BTreeMap<(String, i32), AssetFigures>;

fn naive(all: &[&TransactionPosted], zone: &TimeZone) -> Vec<DailyFigures> {
    let mut days: BTreeMap<String, (i64, Assets)> = BTreeMap::new();
    for posted in all {
        let at = lp_contracts::time::from_wire(posted.posted_at.as_ref().unwrap()).unwrap();
        let day = zone.to_datetime(at).date().to_string();
        let (count, assets) = days.entry(day).or_default();
        *count += 1;
        for entry in &posted.entries {
            let key = (entry.asset_code.clone(), entry.asset_exponent);
            let figures = assets.entry(key).or_default();
            let units = entry.minor_units;
            match (entry.account_type(), entry.direction()) {
                (Issuance, Debit) => figures.points_given += units,
                (Redemption, Credit) => figures.points_spent += units,
                (GiftCard, Credit) => {
                    figures.cards_sold += 1;
                    figures.cards_sold_amount += units;
                }
                (GiftCard, Debit) => {
                    figures.cards_redeemed += 1;
                    figures.cards_redeemed_amount += units;
                }
                _ => {}
            }
        }
    }
    let assets = |assets: Assets| {
        let named = assets
            .into_iter()
            .map(|((asset_code, exponent), figures)| AssetFigures {
                asset_code,
                exponent,
                ..figures
            });
        named.collect()
    };
    let days = days.into_iter().map(|(day, (transactions, of))| DailyFigures {
        day,
        transactions,
        assets: assets(of),
    });
    days.collect()
}

#[tokio::test]
async fn random_transactions_count_as_they_do_by_hand() {
    // The same in every run.
    let mut runner = TestRunner::deterministic();
    let accounts = [
        Issuance, Redemption, GiftCard, External, Sales, Customer, Customer, Customer,
    ];
    let assets = [("EUR", 2), ("PTS", 0), ("PTS", 1), ("P_2", 0)];
    let made = prop::collection::vec(made(), 400)
        .new_tree(&mut runner)
        .unwrap()
        .current();
    let merchants = ZONES.map(|_| new_merchant());
    let mut transactions = Vec::new();
    let mut all = Vec::new();
    for (owner, at, entries) in made {
        let entries = entries.into_iter().map(|(account, debit, units, asset)| {
            entry(
                accounts[account],
                if debit { Debit } else { Credit },
                units,
                assets[asset],
            )
        });
        let at = Timestamp::from_microsecond(at).unwrap().to_string();
        let posted = posted(merchants[owner], &at, entries.collect());
        all.extend(records(merchants[owner], &posted));
        transactions.push((owner, posted));
    }
    let legs = all.len();
    assert!(legs > 500, "{legs}");
    // Many come again, and nothing in the order of its posting. Merchants' time zones come among them.
    let again = prop::collection::vec(0..legs, 200)
        .new_tree(&mut runner)
        .unwrap()
        .current();
    all.extend(
        again
            .into_iter()
            .map(|record| all[record].clone())
            .collect::<Vec<_>>(),
    );
    let mut all = Just(all).prop_shuffle().new_tree(&mut runner).unwrap().current();
    let second = all.split_off(all.len() / 2);

    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    ground.tell(all).await;
    let told = merchants.iter().zip(ZONES);
    ground
        .tell(
            told.filter_map(|(merchant, zone)| Some(onboarded(*merchant, zone?)))
                .collect(),
        )
        .await;
    ground.told(second).await;

    assert_eq!(ground.count("inbox").await, i64::try_from(legs).unwrap() + 5);
    for (owner, (merchant, zone)) in merchants.into_iter().zip(ZONES).enumerate() {
        let ours = transactions
            .iter()
            .filter(|(of, _)| *of == owner)
            .map(|(_, posted)| posted);
        let ours: Vec<_> = ours.collect();
        let name = zone.unwrap_or("UTC");
        let wanted = naive(&ours, &TimeZone::get(name).unwrap());
        let found = instance.client(merchant).year().await;
        assert_eq!((found.days, found.time_zone.as_str()), (wanted, name));
        let newest = ours.iter().filter_map(|posted| posted.posted_at);
        let newest = newest.max_by_key(|at| (at.seconds, at.nanos));
        assert_eq!(found.as_of, newest);
    }
}
