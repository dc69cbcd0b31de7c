//! Between the contract's messages and the service's types.

use lp_contracts::{analytics::v1, time::to_wire};
use lp_error::{Error, FieldViolation, Result};

use super::errors;
use crate::{
    application::daily_figures::DailyFigures,
    domain::{
        days::{Range, day},
        figures::{Asset, Figures},
    },
    infrastructure::postgres::figures::DayFigures,
};

/// The range of two days. When both are wrong, both are named.
pub(super) fn range(from_day: &str, to_day: &str) -> Result<Range> {
    match (day(from_day), day(to_day)) {
        (Ok(first), Ok(last)) => Range::new(first, last).map_err(errors::invalid_range),
        (first, last) => {
            let wrong = [("fromDay", first.err()), ("toDay", last.err())];
            let wrong = wrong.into_iter().filter_map(|(field, why)| {
                why.map(|why| FieldViolation {
                    field: field.to_owned(),
                    description: why.to_string(),
                })
            });
            Err(Error::invalid_fields(wrong.collect()))
        }
    }
}

pub(super) fn answer(figures: DailyFigures) -> v1::ListDailyFiguresResponse {
    v1::ListDailyFiguresResponse {
        days: figures.days.into_iter().map(wire_day).collect(),
        time_zone: figures.time_zone,
        as_of: figures.as_of.map(to_wire),
    }
}

fn wire_day(day: DayFigures) -> v1::DailyFigures {
    v1::DailyFigures {
        day: day.date.to_string(),
        transactions: day.transactions,
        assets: day.assets.into_iter().map(wire_asset).collect(),
    }
}

fn wire_asset((asset, figures): (Asset, Figures)) -> v1::AssetFigures {
    v1::AssetFigures {
        asset_code: asset.code.into(),
        exponent: asset.exponent.into(),
        points_given: figures.points_given,
        points_spent: figures.points_spent,
        cards_sold: figures.cards_sold,
        cards_sold_amount: figures.cards_sold_amount,
        cards_redeemed: figures.cards_redeemed,
        cards_redeemed_amount: figures.cards_redeemed_amount,
    }
}
