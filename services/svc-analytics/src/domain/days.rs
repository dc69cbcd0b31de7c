//! Days of a merchant, and the quarter hours that they are made of.
//!
//! Since 1980 every time zone's offset from UTC is a multiple of 15 minutes (Kiritimati's was the last that was not),
//! and since 2024 every clock changes on a quarter hour (Casey's was the last that did not). So a quarter hour of UTC
//! is of one local day, whatever the zone; a test asks all zones. Nothing was posted before 2026.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};

/// The longest range, in days.
pub const MAX_DAYS: usize = 366;

const QUARTER_HOUR_NANOSECONDS: i128 = 15 * 60 * 1_000_000_000;

/// The zone of a merchant that has not told its own.
pub const UNKNOWN_ZONE: &str = "UTC";

/// Those in the binary, and not the machine's, which a container may lack: every replica has the same days.
static RULES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of this IANA name.
pub fn zone(name: &str) -> Option<TimeZone> {
    RULES.get(name).ok()
}

/// When the quarter hour of UTC began that `at` is in.
pub fn quarter_hour_of(at: Timestamp) -> Timestamp {
    let nanoseconds = at.as_nanosecond();
    let began = nanoseconds - nanoseconds.rem_euclid(QUARTER_HOUR_NANOSECONDS);
    Timestamp::from_nanosecond(began).unwrap_or(Timestamp::MIN)
}

/// A text is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a day as YYYY-MM-DD, before the year 9999")]
pub struct NoDay;

/// Reads `YYYY-MM-DD`, and nothing else that a date may look like.
///
/// # Errors
/// When it is none.
pub fn day(text: &str) -> Result<Date, NoDay> {
    let shape = text.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let date = (shape && text.len() == 10)
        .then(|| text.parse::<Date>().ok())
        .flatten();
    // The last year has days without an end.
    date.filter(|date| date.year() < 9999).ok_or(NoDay)
}

/// Days from a first to a last one, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: Date,
    last: Date,
}

/// Why two days are no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRange {
    /// The last comes before the first.
    #[error("comes before the first day")]
    Backwards,
    /// More than [`MAX_DAYS`].
    #[error("makes a range of more than 366 days")]
    TooLong,
}

impl Range {
    /// From `first` to `last`.
    ///
    /// # Errors
    /// When they are no range.
    pub fn new(first: Date, last: Date) -> Result<Self, NoRange> {
        if last < first {
            return Err(NoRange::Backwards);
        }
        match first.series(jiff::Span::new().days(1)).take(MAX_DAYS).last() {
            Some(limit) if last <= limit => Ok(Self { first, last }),
            _ => Err(NoRange::TooLong),
        }
    }
}

/// A day in a time zone, and the time that it takes: 23 or 25 hours where a clock changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub date: Date,
    /// Its first moment.
    pub begins: Timestamp,
    /// The first moment after it.
    pub ends: Timestamp,
}

/// The days of `range` in `zone`, oldest first. One that a zone has left out has no time.
///
/// # Errors
/// When a day is not of this world's calendar, which [`day`] rules out.
pub fn days(range: Range, zone: &TimeZone) -> Result<Vec<Day>, jiff::Error> {
    let begins = |date: Date| date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    let mut days = Vec::new();
    let mut date = range.first;
    let mut begun = begins(date)?;
    while date <= range.last {
        let next = date.tomorrow()?;
        let ends = begins(next)?;
        days.push(Day {
            date,
            begins: begun,
            ends,
        });
        (date, begun) = (next, ends);
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn names() -> Vec<String> {
        RULES.available().map(|name| name.as_str().to_owned()).collect()
    }

    fn range(first: Date, last: Date) -> Range {
        Range::new(first, last).unwrap()
    }

    fn hours(name: &str, date: Date) -> i64 {
        let days = days(range(date, date), &zone(name).unwrap()).unwrap();
        assert_eq!(days[0].date, date);
        days[0].ends.duration_since(days[0].begins).as_hours()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_rules_of_time_zones_are_in_the_binary() {
        assert!(names().len() > 400, "{}", names().len());
        for known in ["UTC", "Europe/Paris", "Asia/Kathmandu", "Pacific/Chatham"] {
            assert!(zone(known).is_some(), "{known}");
        }
        for unknown in [
            "",
            "Europe",
            "Europe/Lutetia",
            "+05:45",
            "CET-1CEST",
            "../../etc/passwd",
            "right/UTC",
        ] {
            assert!(zone(unknown).is_none(), "{unknown}");
        }
    }

    /// The claim that the quarter hours rest on, asked of every zone.
    #[test]
    fn offsets_and_changes_of_every_zone_are_whole_quarter_hours() {
        let (start, changes, end) = (
            at("1980-01-01T00:00Z"),
            at("2024-01-01T00:00Z"),
            at("2045-01-01T00:00Z"),
        );
        for name in names() {
            let zone = zone(&name).unwrap();
            assert_eq!(zone.to_offset(start).seconds() % 900, 0, "{name}");
            for change in zone
                .following(start)
                .take_while(|change| change.timestamp() < end)
            {
                assert_eq!(
                    change.offset().seconds() % 900,
                    0,
                    "{name} {}",
                    change.timestamp()
                );
                if change.timestamp() >= changes {
                    assert_eq!(
                        change.timestamp().as_second() % 900,
                        0,
                        "{name} {}",
                        change.timestamp()
                    );
                }
            }
        }
    }

    /// Around every change of every clock: a day begins with its first moment, which begins a quarter hour, and
    /// what comes before is of a day before.
    #[test]
    fn days_are_right_where_clocks_change() {
        for name in names() {
            let zone = zone(&name).unwrap();
            let changes = zone.following(at("2024-01-01T00:00Z"));
            for change in changes.take_while(|change| change.timestamp() < at("2040-01-01T00:00Z")) {
                let around = zone.to_datetime(change.timestamp()).date();
                let (first, last) = (around.yesterday().unwrap(), around.tomorrow().unwrap());
                for day in days(range(first, last), &zone).unwrap() {
                    let Day { date, begins, ends } = &day;
                    let date_at = |at: Timestamp| zone.to_datetime(at).date();
                    let moment = jiff::SignedDuration::from_nanos(1);
                    assert_eq!(
                        (date_at(*begins), date_at(*ends - moment)),
                        (*date, *date),
                        "{name} {day:?}"
                    );
                    assert!(date_at(*begins - moment) < *date, "{name} {day:?}");
                    assert_eq!(quarter_hour_of(*begins), *begins, "{name} {day:?}");
                    // What MAX_OF_QUARTER_HOUR rests on.
                    assert!(ends.duration_since(*begins).as_hours() <= 26, "{name} {day:?}");
                }
            }
        }
    }

    #[test]
    fn a_day_is_as_long_as_its_clock_says() {
        assert_eq!(hours("Europe/Paris", date(2026, 3, 28)), 24);
        assert_eq!(hours("Europe/Paris", date(2026, 3, 29)), 23);
        assert_eq!(hours("Europe/Paris", date(2026, 10, 25)), 25);
        assert_eq!(hours("Pacific/Apia", date(2011, 12, 30)), 0);
        // Havana's clock goes from midnight to one, and back from one to midnight.
        assert_eq!(hours("America/Havana", date(2026, 3, 8)), 23);
        assert_eq!(hours("America/Havana", date(2026, 11, 1)), 25);
        assert_eq!(hours("Antarctica/Troll", date(2026, 10, 25)), 26);
    }

    #[test]
    fn offsets_of_quarter_hours_are_heeded() {
        let begins = |name, date| days(range(date, date), &zone(name).unwrap()).unwrap()[0].begins;
        assert_eq!(
            begins("Asia/Kathmandu", date(2026, 5, 1)),
            at("2026-04-30T18:15Z")
        );
        assert_eq!(
            begins("Pacific/Chatham", date(2026, 1, 1)),
            at("2025-12-31T10:15Z")
        );
        assert_eq!(
            begins("Pacific/Chatham", date(2026, 7, 1)),
            at("2026-06-30T11:15Z")
        );
        assert_eq!(begins("UTC", date(2026, 5, 1)), at("2026-05-01T00:00Z"));
    }

    #[test]
    fn a_quarter_hour_begins_on_the_clock() {
        for (moment, begins) in [
            ("2026-05-01T10:15:00Z", "2026-05-01T10:15:00Z"),
            ("2026-05-01T10:29:59.999999Z", "2026-05-01T10:15:00Z"),
            ("2026-05-01T10:30:00Z", "2026-05-01T10:30:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:45:00Z"),
        ] {
            assert_eq!(quarter_hour_of(at(moment)), at(begins), "{moment}");
        }
    }

    #[test]
    fn a_day_has_one_form() {
        assert_eq!(day("2024-02-29"), Ok(date(2024, 2, 29)));
        assert_eq!(day("0001-01-01"), Ok(date(1, 1, 1)));
        for bad in [
            "",
            "2026",
            "2026-1-1",
            "26-01-01",
            "20260101",
            "2026-01-01 ",
            " 2026-01-01",
            "2026-01-01T00:00",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-32",
            "+002026-01-01",
            "-02026-01-01",
            "2026/01/01",
            "01-01-2026",
            "2026-01-0a",
            "2026-01-٠١",
            "９９９９-01-01",
            "9999-01-01",
            "2026-W01-1",
        ] {
            assert_eq!(day(bad), Err(NoDay), "{bad}");
        }
    }

    #[test]
    fn a_range_has_366_days_at_most() {
        let first = date(2026, 1, 1);
        assert!(Range::new(first, first).is_ok());
        assert!(Range::new(date(2024, 1, 1), date(2024, 12, 31)).is_ok());
        assert!(Range::new(first, date(2027, 1, 1)).is_ok());
        assert_eq!(Range::new(first, date(2027, 1, 2)), Err(NoRange::TooLong));
        assert_eq!(Range::new(first, date(2025, 12, 31)), Err(NoRange::Backwards));
        assert_eq!(
            Range::new(date(1, 1, 1), date(9998, 12, 31)),
            Err(NoRange::TooLong)
        );
        let zone = zone("Pacific/Kiritimati").unwrap();
        assert_eq!(
            days(range(date(2024, 1, 1), date(2024, 12, 31)), &zone)
                .unwrap()
                .len(),
            MAX_DAYS
        );
        for (first, last) in [
            (date(0, 1, 1), date(0, 12, 31)),
            (date(9998, 1, 1), date(9998, 12, 31)),
        ] {
            assert!(days(range(first, last), &zone).is_ok());
        }
    }

    proptest! {
        #[test]
        fn a_quarter_hour_is_of_its_moments_day(
            second in at("2024-01-01T00:00Z").as_second()..at("2040-01-01T00:00Z").as_second(),
            microsecond in 0..1_000_000_i32,
            name in prop::sample::select(names()),
        ) {
            let (moment, zone) = (Timestamp::new(second, microsecond * 1_000).unwrap(), zone(&name).unwrap());
            let date = zone.to_datetime(moment).date();
            let days = days(range(date.yesterday().unwrap(), date.tomorrow().unwrap()), &zone).unwrap();
            let quarter_hour = quarter_hour_of(moment);
            let of: Vec<_> = days
                .iter()
                .filter(|day| day.begins <= quarter_hour && quarter_hour < day.ends)
                .map(|day| day.date)
                .collect();
            prop_assert_eq!(of, [date]);
        }
    }
}
