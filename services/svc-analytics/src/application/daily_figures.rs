//! Makes days of quarter hours, in the merchant's time zone.

use jiff::Timestamp;
use lp_error::{Error, Result};
use lp_pg::Database;
use lp_types::MerchantId;

use crate::{
    domain::days::{Range, days},
    infrastructure::postgres::{
        figures::{self, DayFigures},
        merchants, snapshot,
    },
};

/// The days of a merchant, and how far the events had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyFigures {
    /// Each day on which something happened, oldest first.
    pub days: Vec<DayFigures>,
    /// The IANA time zone that decided the days.
    pub time_zone: String,
    /// When the newest counted transaction was posted, of whatever day; none where there is none.
    pub as_of: Option<Timestamp>,
}

/// The figures of `range`.
///
/// # Errors
/// When the database is away.
pub async fn daily_figures(database: &Database, merchant: MerchantId, range: Range) -> Result<DailyFigures> {
    // One snapshot, so that nothing newer than `as_of` is counted.
    let mut work = snapshot(database).await?;
    let (time_zone, zone) = merchants::time_zone(&mut work, merchant).await?;
    let days = days(range, &zone).map_err(Error::internal)?;
    Ok(DailyFigures {
        as_of: figures::newest(&mut work, merchant).await?,
        days: figures::of_days(&mut work, merchant, &days).await?,
        time_zone,
    })
}
