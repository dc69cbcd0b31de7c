//! What a transaction adds to the figures of its quarter hour.

use std::collections::BTreeMap;

use lp_types::{Amount, AssetCode};

/// The most that a figure of one quarter hour may be. No local day has 200 quarter hours (the longest by today's rules
/// has 104, where a clock goes back by two hours): so no figure of a day leaves the range of 64 bits.
pub const MAX_OF_QUARTER_HOUR: i64 = i64::MAX / 200;

/// An asset, as figures are kept of it. Two exponents of one code are two assets: their amounts are never added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    /// Its code.
    pub code: AssetCode,
    /// Minor units are 10^-exponent of the unit.
    pub exponent: u8,
}

/// What an account is for, as far as figures tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Where points come from.
    Issuance,
    /// Where burnt points go.
    Redemption,
    /// Value of a gift card.
    GiftCard,
    /// Anything else, also what this version has never heard of.
    Other,
}

/// The side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Debit,
    /// Right.
    Credit,
}

/// An entry of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What its account is for.
    pub account: Account,
    /// Its side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
}

/// What one asset did in some time. Amounts are minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Debits of issuance accounts.
    pub points_given: i64,
    /// Credits of redemption accounts.
    pub points_spent: i64,
    /// How many credits of gift cards.
    pub cards_sold: i64,
    /// For how much.
    pub cards_sold_amount: i64,
    /// How many debits of gift cards.
    pub cards_redeemed: i64,
    /// For how much.
    pub cards_redeemed_amount: i64,
}

/// What a transaction adds is more than [`MAX_OF_QUARTER_HOUR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its figures are more than a quarter hour may have")]
pub struct TooMuch;

impl Figures {
    fn add(&mut self, entry: &Entry) -> Result<(), TooMuch> {
        let amount = entry.amount.get();
        match (entry.account, entry.side) {
            (Account::Issuance, Side::Debit) => raise(&mut self.points_given, amount),
            (Account::Redemption, Side::Credit) => raise(&mut self.points_spent, amount),
            (Account::GiftCard, Side::Credit) => {
                raise(&mut self.cards_sold, 1)?;
                raise(&mut self.cards_sold_amount, amount)
            }
            (Account::GiftCard, Side::Debit) => {
                raise(&mut self.cards_redeemed, 1)?;
                raise(&mut self.cards_redeemed_amount, amount)
            }
            (Account::Issuance | Account::Redemption | Account::Other, _) => Ok(()),
        }
    }
}

fn raise(figure: &mut i64, by: i64) -> Result<(), TooMuch> {
    let sum = figure.checked_add(by).filter(|sum| *sum <= MAX_OF_QUARTER_HOUR);
    *figure = sum.ok_or(TooMuch)?;
    Ok(())
}

/// Whether a transaction counts with its record number `leg`, of which the first is 1. Every record of a transaction
/// holds all of it, the first is one of them, and an inbox lets it through once: so each transaction counts once, in
/// whatever order its records come, and however often.
pub fn counts_here(leg: u32) -> bool {
    leg == 1
}

/// What a transaction of these entries adds, by asset. Every asset that it moved is there, also with nothing to
/// tell: so a day on which something happened has an asset.
///
/// # Errors
/// When it is more than a quarter hour may have.
pub fn of_transaction<'e>(
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<BTreeMap<Asset, Figures>, TooMuch> {
    let mut assets: BTreeMap<Asset, Figures> = BTreeMap::new();
    for entry in entries {
        assets.entry(entry.asset.clone()).or_default().add(entry)?;
    }
    Ok(assets)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::{Timestamp, civil::Date};
    use lp_types::money::MAX_AMOUNT;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::days::{Range, days, quarter_hour_of, zone};

    fn asset(code: &str, exponent: u8) -> Asset {
        let code = AssetCode::try_from(code.to_owned()).unwrap();
        Asset { code, exponent }
    }

    fn entry(account: Account, side: Side, amount: i64, asset: &Asset) -> Entry {
        Entry {
            account,
            side,
            amount: Amount::try_from(amount).unwrap(),
            asset: asset.clone(),
        }
    }

    #[test]
    fn each_entry_counts_where_the_contract_says() {
        use {Account::*, Side::*};
        let eur = asset("EUR", 2);
        let of = |account, side| {
            let figures = of_transaction(&[entry(account, side, 7, &eur)]).unwrap();
            assert_eq!(figures.len(), 1);
            let f = figures[&eur];
            [
                f.points_given,
                f.points_spent,
                f.cards_sold,
                f.cards_sold_amount,
                f.cards_redeemed,
                f.cards_redeemed_amount,
            ]
        };
        assert_eq!(of(Issuance, Debit), [7, 0, 0, 0, 0, 0]);
        assert_eq!(of(Redemption, Credit), [0, 7, 0, 0, 0, 0]);
        assert_eq!(of(GiftCard, Credit), [0, 0, 1, 7, 0, 0]);
        assert_eq!(of(GiftCard, Debit), [0, 0, 0, 0, 1, 7]);
        for (account, side) in [
            (Issuance, Credit),
            (Redemption, Debit),
            (Other, Debit),
            (Other, Credit),
        ] {
            assert_eq!(of(account, side), [0; 6], "{account:?} {side:?}");
        }
    }

    #[test]
    fn what_no_quarter_hour_may_have_is_refused() {
        let points = asset("PTS", 0);
        let many = |count| vec![entry(Account::Issuance, Side::Debit, MAX_AMOUNT, &points); count];
        let most = usize::try_from(MAX_OF_QUARTER_HOUR / MAX_AMOUNT).unwrap();
        assert!(of_transaction(&many(most)).is_ok());
        assert_eq!(of_transaction(&many(most + 1)), Err(TooMuch));
        assert!(MAX_OF_QUARTER_HOUR.checked_mul(200).is_some());
    }

    /// What was posted, as a test makes it.
    #[derive(Debug, Clone)]
    struct Posted {
        at: Timestamp,
        entries: Vec<Entry>,
        legs: usize,
    }

    fn posted() -> impl Strategy<Value = Posted> {
        let accounts = [
            Account::Issuance,
            Account::Redemption,
            Account::GiftCard,
            Account::Other,
        ];
        let assets = [asset("EUR", 2), asset("PTS", 0), asset("PTS", 1), asset("A_B", 0)];
        let sides = [Side::Debit, Side::Credit];
        let of = (
            prop::sample::select(accounts.to_vec()),
            prop::sample::select(sides.to_vec()),
            1..=1_000_000_i64,
            prop::sample::select(assets.to_vec()),
        );
        let entries = of.prop_map(|(account, side, amount, asset)| entry(account, side, amount, &asset));
        // A fortnight with changes of clocks in Paris and Chatham.
        let from: Timestamp = "2026-03-25T00:00Z".parse().unwrap();
        let at = (0..14 * 86_400_i64)
            .prop_map(move |seconds| Timestamp::from_second(from.as_second() + seconds).unwrap());
        (at, prop::collection::vec(entries, 1..6), 1..4_usize).prop_map(|(at, entries, legs)| Posted {
            at,
            entries,
            legs,
        })
    }

    type Days = BTreeMap<Date, (i64, BTreeMap<Asset, Figures>)>;

    fn add_up(sum: &mut BTreeMap<Asset, Figures>, more: &BTreeMap<Asset, Figures>) {
        for (asset, more) in more {
            let sum = sum.entry(asset.clone()).or_default();
            sum.points_given += more.points_given;
            sum.points_spent += more.points_spent;
            sum.cards_sold += more.cards_sold;
            sum.cards_sold_amount += more.cards_sold_amount;
            sum.cards_redeemed += more.cards_redeemed;
            sum.cards_redeemed_amount += more.cards_redeemed_amount;
        }
    }

    /// Entry by entry, on the date of the very moment.
    fn naive(all: &[Posted], zone: &jiff::tz::TimeZone) -> Days {
        let mut days = Days::new();
        for posted in all {
            let (count, assets) = days.entry(zone.to_datetime(posted.at).date()).or_default();
            *count += 1;
            for entry in &posted.entries {
                let figures = assets.entry(entry.asset.clone()).or_default();
                let amount = entry.amount.get();
                if entry.account == Account::Issuance && entry.side == Side::Debit {
                    figures.points_given += amount;
                }
                if entry.account == Account::Redemption && entry.side == Side::Credit {
                    figures.points_spent += amount;
                }
                if entry.account == Account::GiftCard && entry.side == Side::Credit {
                    figures.cards_sold += 1;
                    figures.cards_sold_amount += amount;
                }
                if entry.account == Account::GiftCard && entry.side == Side::Debit {
                    figures.cards_redeemed += 1;
                    figures.cards_redeemed_amount += amount;
                }
            }
        }
        days
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Rows as the tables keep them, fed with every leg in any order, some of them twice; days as a read makes
        /// them.
        #[test]
        fn rows_and_days_are_those_of_a_naive_count(
            all in prop::collection::vec(posted(), 0..40),
            order in any::<prop::sample::Index>(),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            zone_name in prop::sample::select(
                vec!["UTC", "Europe/Paris", "Asia/Kathmandu", "Pacific/Chatham", "America/New_York", "Pacific/Apia"]
            ),
        ) {
            let mut records: Vec<(usize, u32)> = Vec::new();
            for (number, posted) in all.iter().enumerate() {
                records.extend((1..).take(posted.legs).map(|leg| (number, leg)));
            }
            if !records.is_empty() {
                let repeated: Vec<_> = again.iter().map(|index| *index.get(&records)).collect();
                records.extend(repeated);
                let by = order.index(records.len());
                records.rotate_left(by);
                records[by..].reverse();
            }
            let mut inbox = BTreeSet::new();
            let mut rows: BTreeMap<Timestamp, (i64, BTreeMap<Asset, Figures>)> = BTreeMap::new();
            for (number, leg) in records {
                if !inbox.insert((number, leg)) || !counts_here(leg) {
                    continue;
                }
                let posted = &all[number];
                let (count, sum) = rows.entry(quarter_hour_of(posted.at)).or_default();
                *count += 1;
                add_up(sum, &of_transaction(&posted.entries).unwrap());
            }
            let zone = zone(zone_name).unwrap();
            let range = Range::new("2026-03-20".parse().unwrap(), "2026-04-12".parse().unwrap()).unwrap();
            let mut found = Days::new();
            for day in days(range, &zone).unwrap() {
                for (count, assets) in rows.range(day.begins..day.ends).map(|(_, row)| row) {
                    let (sum, of_assets) = found.entry(day.date).or_default();
                    *sum += count;
                    add_up(of_assets, assets);
                }
            }
            prop_assert_eq!(found, naive(&all, &zone));
        }
    }
}
