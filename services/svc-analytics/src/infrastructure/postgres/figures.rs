//! Rows of `quarter_hours` and `asset_figures`.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use jiff_sqlx::ToSqlx;
use lp_types::{AssetCode, MerchantId};
use sqlx::PgConnection;

use super::corrupt;
use crate::domain::{
    days::{Day, quarter_hour_of},
    figures::{Asset, Figures},
};

/// The constraint that keeps the sums of a day within their range.
pub const IN_RANGE: &str = "asset_figures_in_range";

/// Counts a transaction and adds what it tells.
///
/// # Errors
/// When PostgreSQL fails; with the constraint [`IN_RANGE`] when a figure of its quarter hour would become too much.
pub async fn add(
    connection: &mut PgConnection,
    merchant: MerchantId,
    posted_at: Timestamp,
    assets: &BTreeMap<Asset, Figures>,
) -> lp_pg::Result<()> {
    let begins = quarter_hour_of(posted_at);
    // First, so that two transactions of one quarter hour come after each other and never wait crosswise.
    sqlx::query!(
        "INSERT INTO quarter_hours AS q (merchant_id, begins, transactions, newest_posted_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (merchant_id, begins) DO UPDATE
         SET transactions = q.transactions + 1,
             newest_posted_at = greatest(q.newest_posted_at, EXCLUDED.newest_posted_at)",
        merchant.uuid(),
        begins.to_sqlx() as _,
        posted_at.to_sqlx() as _,
    )
    .execute(&mut *connection)
    .await?;
    let column = |of: fn(&Figures) -> i64| assets.values().map(of).collect::<Vec<_>>();
    let codes: Vec<_> = assets.keys().map(|asset| asset.code.to_string()).collect();
    let exponents: Vec<_> = assets.keys().map(|asset| i16::from(asset.exponent)).collect();
    sqlx::query!(
        "INSERT INTO asset_figures AS f (merchant_id, begins, asset_code, exponent, points_given, points_spent,
                                         cards_sold, cards_sold_amount, cards_redeemed, cards_redeemed_amount)
         SELECT $1, $2, * FROM unnest($3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                                      $9::bigint[], $10::bigint[])
         ON CONFLICT (merchant_id, begins, asset_code, exponent) DO UPDATE
         SET points_given = f.points_given + EXCLUDED.points_given,
             points_spent = f.points_spent + EXCLUDED.points_spent,
             cards_sold = f.cards_sold + EXCLUDED.cards_sold,
             cards_sold_amount = f.cards_sold_amount + EXCLUDED.cards_sold_amount,
             cards_redeemed = f.cards_redeemed + EXCLUDED.cards_redeemed,
             cards_redeemed_amount = f.cards_redeemed_amount + EXCLUDED.cards_redeemed_amount",
        merchant.uuid(),
        begins.to_sqlx() as _,
        &codes,
        &exponents,
        &column(|f| f.points_given),
        &column(|f| f.points_spent),
        &column(|f| f.cards_sold),
        &column(|f| f.cards_sold_amount),
        &column(|f| f.cards_redeemed),
        &column(|f| f.cards_redeemed_amount),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// When the newest counted transaction of a merchant was posted.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn newest(connection: &mut PgConnection, merchant: MerchantId) -> lp_pg::Result<Option<Timestamp>> {
    // The last quarter hour has it.
    let newest = sqlx::query_scalar!(
        "SELECT newest_posted_at FROM quarter_hours WHERE merchant_id = $1 ORDER BY begins DESC LIMIT 1",
        merchant.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(newest.map(jiff_sqlx::Timestamp::to_jiff))
}

/// A day on which something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFigures {
    /// The day.
    pub date: Date,
    /// How many transactions.
    pub transactions: i64,
    /// What each asset did, in order of their codes; at least one.
    pub assets: Vec<(Asset, Figures)>,
}

struct Row {
    number: i64,
    transactions: i64,
    asset_code: String,
    exponent: i16,
    points_given: i64,
    points_spent: i64,
    cards_sold: i64,
    cards_sold_amount: i64,
    cards_redeemed: i64,
    cards_redeemed_amount: i64,
}

impl Row {
    fn asset(self) -> lp_pg::Result<(Asset, Figures)> {
        let asset = Asset {
            code: AssetCode::try_from(self.asset_code).map_err(corrupt)?,
            exponent: self.exponent.try_into().map_err(corrupt)?,
        };
        let figures = Figures {
            points_given: self.points_given,
            points_spent: self.points_spent,
            cards_sold: self.cards_sold,
            cards_sold_amount: self.cards_sold_amount,
            cards_redeemed: self.cards_redeemed,
            cards_redeemed_amount: self.cards_redeemed_amount,
        };
        Ok((asset, figures))
    }
}

/// Those of `days` on which something happened to a merchant, in their order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_days(
    connection: &mut PgConnection,
    merchant: MerchantId,
    days: &[Day],
) -> lp_pg::Result<Vec<DayFigures>> {
    let begins: Vec<_> = days.iter().map(|day| day.begins.to_sqlx()).collect();
    let ends: Vec<_> = days.iter().map(|day| day.ends.to_sqlx()).collect();
    // Sums of bigint are numeric; `asset_figures_in_range` lets them go back.
    let rows = sqlx::query_as!(
        Row,
        r#"WITH days AS (
             SELECT * FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS d (begins, ends, number)
           ), counts AS (
             SELECT d.number, sum(q.transactions)::bigint AS transactions
             FROM days d JOIN quarter_hours q
               ON q.merchant_id = $1 AND q.begins >= d.begins AND q.begins < d.ends
             GROUP BY d.number
           ), figures AS (
             SELECT d.number, f.asset_code, f.exponent,
                    sum(f.points_given)::bigint AS points_given,
                    sum(f.points_spent)::bigint AS points_spent,
                    sum(f.cards_sold)::bigint AS cards_sold,
                    sum(f.cards_sold_amount)::bigint AS cards_sold_amount,
                    sum(f.cards_redeemed)::bigint AS cards_redeemed,
                    sum(f.cards_redeemed_amount)::bigint AS cards_redeemed_amount
             FROM days d JOIN asset_figures f
               ON f.merchant_id = $1 AND f.begins >= d.begins AND f.begins < d.ends
             GROUP BY d.number, f.asset_code, f.exponent
           )
           SELECT number AS "number!", c.transactions AS "transactions!", asset_code AS "asset_code!",
                  exponent AS "exponent!", points_given AS "points_given!", points_spent AS "points_spent!",
                  cards_sold AS "cards_sold!", cards_sold_amount AS "cards_sold_amount!",
                  cards_redeemed AS "cards_redeemed!", cards_redeemed_amount AS "cards_redeemed_amount!"
           FROM counts c JOIN figures f USING (number)
           ORDER BY number, asset_code, exponent"#,
        merchant.uuid(),
        &begins as _,
        &ends as _,
    )
    .fetch_all(connection)
    .await?;
    let mut found: Vec<DayFigures> = Vec::new();
    for row in rows {
        // Numbers of rows begin at 1.
        let day = usize::try_from(row.number)
            .ok()
            .and_then(|number| days.get(number.checked_sub(1)?));
        let date = day.ok_or_else(|| corrupt("a day that was not asked for"))?.date;
        let transactions = row.transactions;
        let asset = row.asset()?;
        match found.last_mut() {
            Some(last) if last.date == date => last.assets.push(asset),
            _ => found.push(DayFigures {
                date,
                transactions,
                assets: vec![asset],
            }),
        }
    }
    Ok(found)
}
