//! Days as a file: RFC 4180, one line for each day and asset.

use std::fmt::Write as _;

use crate::infrastructure::postgres::figures::DayFigures;

/// What it is, for HTTP.
pub(super) const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

const HEADER: &str = "day,transactions,asset_code,exponent,points_given,points_spent,cards_sold,cards_sold_amount,\
                      cards_redeemed,cards_redeemed_amount";

/// The file. Its cells are days, whole numbers and asset codes (`A-Z`, `0-9`, `_`, a letter first): none needs
/// quotes, and none is a formula to a spreadsheet.
pub(super) fn file(days: &[DayFigures]) -> String {
    let mut file = format!("{HEADER}\r\n");
    for day in days {
        for (asset, figures) in &day.assets {
            let cells = [
                i64::from(asset.exponent),
                figures.points_given,
                figures.points_spent,
                figures.cards_sold,
                figures.cards_sold_amount,
                figures.cards_redeemed,
                figures.cards_redeemed_amount,
            ];
            let cells = cells.map(|cell| cell.to_string()).join(",");
            // Writing to a String cannot fail.
            let _ = write!(
                file,
                "{},{},{},{cells}\r\n",
                day.date, day.transactions, asset.code
            );
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use lp_types::AssetCode;

    use super::*;
    use crate::domain::figures::{Asset, Figures};

    fn day(code: &str) -> DayFigures {
        let asset = Asset {
            code: AssetCode::try_from(code.to_owned()).unwrap(),
            exponent: 2,
        };
        let figures = Figures {
            points_given: 1,
            points_spent: 2,
            cards_sold: 3,
            cards_sold_amount: 4,
            cards_redeemed: 5,
            cards_redeemed_amount: i64::MAX,
        };
        DayFigures {
            date: date(2026, 3, 9),
            transactions: 7,
            assets: vec![(asset, figures)],
        }
    }

    #[test]
    fn each_figure_is_in_its_column() {
        let file = file(&[day("EUR")]);
        let mut lines = file.split("\r\n");
        assert_eq!(lines.next(), Some(HEADER));
        assert_eq!(
            lines.next(),
            Some("2026-03-09,7,EUR,2,1,2,3,4,5,9223372036854775807")
        );
        assert_eq!((lines.next(), lines.next()), (Some(""), None));
    }

    #[test]
    fn no_cell_needs_quotes_or_is_a_formula() {
        // An asset code is the only text that anybody chooses. None of what is special to a reader can stand in one,
        // and none can begin as a formula does.
        for special in [
            ',', '"', '\r', '\n', ';', '\t', ' ', '=', '+', '-', '@', '|', '\'', '\0', 'é',
        ] {
            for code in [
                format!("{special}AB"),
                format!("A{special}B"),
                format!("AB{special}"),
            ] {
                assert!(AssetCode::try_from(code.clone()).is_err(), "{code:?}");
            }
        }
        for line in file(&[day("A_1"), day("Z0123456789_ABCD")]).split_terminator("\r\n") {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            for cell in line.split(',') {
                assert!(cell.bytes().all(plain), "{cell}");
                assert!(
                    cell.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()),
                    "{cell}"
                );
            }
        }
    }
}
