//! Which transaction a request asks for, by the words of the contract.

use std::collections::BTreeMap;

use crate::{
    history::{Kind, Line, Post, Request, Role, Side},
    index::Index,
    trade::{Programme, Tender, TenderKind, Trade},
};

/// The transaction that `request` shall post; without lines where it posts none.
pub(crate) fn post(index: &Index<'_>, merchant: &str, request: &Request) -> Post {
    let lines = match request {
        Request::Post(post) => return post.clone(),
        Request::Trade(trade) => sums(&lines(index, merchant, trade)),
        Request::Command(command) => {
            return Post {
                kind: command.kind().unwrap_or(Kind::General),
                reference: command.reference().to_owned(),
                lines: Vec::new(),
                releases: Vec::new(),
            };
        }
        Request::Read(_) | Request::Look(_) => Vec::new(),
    };
    Post {
        kind: Kind::General,
        reference: String::new(),
        lines,
        releases: Vec::new(),
    }
}

/// Lines added up by account and side, in their order.
pub(crate) fn sums(lines: &[Line]) -> Vec<Line> {
    let mut sums: BTreeMap<(&str, Side), i64> = BTreeMap::new();
    for line in lines {
        let sum = sums.entry((&line.account, line.side)).or_default();
        *sum = sum.saturating_add(line.amount);
    }
    let line = |((account, side), amount): ((&str, Side), i64)| Line {
        account: account.to_owned(),
        side,
        amount,
        hold: None,
    };
    sums.into_iter().map(line).collect()
}

/// Points that a purchase earns: rounded down, once, on what is paid from outside; nothing without a wallet.
pub(crate) fn earned(programme: &Programme, tenders: &[Tender], customer: Option<&String>) -> i64 {
    let paid = paid(tenders, TenderKind::External);
    let points = i128::from(paid)
        .saturating_mul(programme.earn_points.into())
        .checked_div(programme.earn_per.into());
    customer
        .and(points)
        .and_then(|points| i64::try_from(points).ok())
        .unwrap_or(0)
}

/// Points that its tenders burn; `None` where a tender is no multiple of what `burn_points` pay.
pub(crate) fn burnt(programme: &Programme, tenders: &[Tender]) -> Option<i64> {
    let paying = tenders.iter().filter(|tender| tender.kind == TenderKind::Points);
    let points = paying.map(|tender| {
        let whole = tender.amount.checked_rem(programme.burn_value) == Some(0);
        let times = tender
            .amount
            .checked_div(programme.burn_value)
            .filter(|_| whole)?;
        times.checked_mul(programme.burn_points)
    });
    points.sum()
}

/// What tenders of a kind pay.
pub(crate) fn paid(tenders: &[Tender], kind: TenderKind) -> i64 {
    let of_kind = tenders.iter().filter(|tender| tender.kind == kind);
    of_kind.fold(0, |sum, tender| sum.saturating_add(tender.amount))
}

/// The programme of a merchant.
pub(crate) fn programme<'a>(index: &Index<'a>, merchant: &str) -> Option<&'a Programme> {
    index
        .history
        .programmes
        .iter()
        .find(|one| one.merchant == merchant)
}

fn lines(index: &Index<'_>, merchant: &str, trade: &Trade) -> Vec<Line> {
    let line = |account: &str, side, amount| Line {
        account: account.to_owned(),
        side,
        amount,
        hold: None,
    };
    let own = |role| index.account_for(merchant, role);
    let mut lines = match trade {
        Trade::Issue { .. } => Vec::new(),
        Trade::Sale { card, amount } => vec![
            line(own(Role::External), Side::Debit, *amount),
            line(index.card_account(card), Side::Credit, *amount),
        ],
        Trade::Redemption { card, amount } => vec![
            line(index.card_account(&card.card), Side::Debit, *amount),
            line(own(Role::Sales), Side::Credit, *amount),
        ],
        Trade::Purchase {
            amount,
            tenders,
            customer,
            ..
        } => {
            let mut lines = vec![line(own(Role::Sales), Side::Credit, *amount)];
            lines.extend(tenders.iter().map(|tender| {
                let account = match (tender.kind, &tender.card) {
                    (TenderKind::GiftCard, Some(key)) => index.card_account(&key.card),
                    (TenderKind::GiftCard, None) => "",
                    (TenderKind::External, _) => own(Role::External),
                    (TenderKind::Points, _) => own(Role::LoyaltyCost),
                };
                line(account, Side::Debit, tender.amount)
            }));
            if let (Some(programme), Some(customer)) = (programme(index, merchant), customer) {
                let earned = earned(programme, tenders, Some(customer));
                let burnt = burnt(programme, tenders).unwrap_or(0);
                lines.extend([
                    line(customer, Side::Debit, burnt),
                    line(own(Role::Redemption), Side::Credit, burnt),
                    line(own(Role::Issuance), Side::Debit, earned),
                    line(customer, Side::Credit, earned),
                ]);
            }
            lines
        }
    };
    lines.retain(|line| line.amount != 0);
    lines
}
