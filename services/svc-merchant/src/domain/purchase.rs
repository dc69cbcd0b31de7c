//! What a purchase moves: from the programme and the tenders to the entries of one ledger transaction.

use lp_types::Amount;
use serde::{Deserialize, Serialize};

use super::program::{NoPoints, Terms};

/// Tenders of a purchase at most.
pub const MAX_TENDERS: usize = 10;

/// What pays a part of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TenderKind {
    /// Cash, a bank card, anything that the merchant's own till takes.
    External,
    /// A gift card.
    GiftCard,
    /// Points.
    Points,
}

/// A part of a purchase's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tender {
    /// What pays.
    pub kind: TenderKind,
    /// How much of the purchase, minor units of the currency.
    pub amount: Amount,
}

/// 1 to 10 tenders that add up to the amount, one of points at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    amount: Amount,
    tenders: Vec<Tender>,
}

/// Why tenders are no payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// None, or too many.
    #[error("must be 1 to 10 tenders")]
    Count,
    /// They add up to something else.
    #[error("the tenders add up to {sum}, not to {amount}")]
    Unbalanced {
        /// Of the tenders.
        sum: i64,
        /// Of the purchase.
        amount: i64,
    },
    /// A second one of points, counted from 0.
    #[error("only one tender may be of points")]
    SecondOfPoints(usize),
}

impl Payment {
    /// Of `amount`, by `tenders`.
    ///
    /// # Errors
    /// When they are none or too many, do not add up, or are of points twice.
    pub fn new(amount: Amount, tenders: Vec<Tender>) -> Result<Self, PaymentError> {
        if !(1..=MAX_TENDERS).contains(&tenders.len()) {
            return Err(PaymentError::Count);
        }
        let mut of_points = tenders
            .iter()
            .enumerate()
            .filter(|(_, tender)| tender.kind == TenderKind::Points);
        if let Some((second, _)) = of_points.nth(1) {
            return Err(PaymentError::SecondOfPoints(second));
        }
        // Ten amounts of 10^15 are far below the range.
        let sum = sum(&tenders, |_| true);
        if sum != amount.get() {
            let amount = amount.get();
            return Err(PaymentError::Unbalanced { sum, amount });
        }
        Ok(Self { amount, tenders })
    }

    /// What was bought for.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Who pays what.
    pub fn tenders(&self) -> &[Tender] {
        &self.tenders
    }

    /// The place of the tender of points, from 0.
    pub fn tender_of_points(&self) -> Option<usize> {
        self.tenders
            .iter()
            .position(|tender| tender.kind == TenderKind::Points)
    }
}

fn sum(tenders: &[Tender], which: impl Fn(TenderKind) -> bool) -> i64 {
    tenders
        .iter()
        .filter(|tender| which(tender.kind))
        .fold(0, |sum: i64, tender| sum.saturating_add(tender.amount.get()))
}

/// A payment, and the points that it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who pays what.
    pub payment: Payment,
    /// Points that the wallet earns.
    pub earned: Option<Amount>,
    /// Points that the wallet burns.
    pub burnt: Option<Amount>,
}

/// Why a payment cannot be had under a programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Points are to pay, and there is no wallet with a programme.
    NoTerms,
    /// The tender of points, counted from 0, does not go with the programme.
    Burn(usize, NoPoints),
    /// The payment earns more than can be moved.
    Earn(NoPoints),
}

/// What `payment` moves under `terms`; without terms no wallet takes part. Only what is paid from outside earns,
/// rounded once over the purchase.
///
/// # Errors
/// When points are to pay and do not go with the terms, or too many would move.
pub fn evaluate(terms: Option<&Terms>, payment: Payment) -> Result<Plan, Refusal> {
    let Some(terms) = terms else {
        return match payment.tender_of_points() {
            Some(_) => Err(Refusal::NoTerms),
            None => Ok(Plan {
                payment,
                earned: None,
                burnt: None,
            }),
        };
    };
    let mut burnt = None;
    for (index, tender) in payment.tenders.iter().enumerate() {
        if tender.kind == TenderKind::Points {
            let points = terms.burnt_for(tender.amount);
            burnt = Some(points.map_err(|why| Refusal::Burn(index, why))?);
        }
    }
    let external = sum(&payment.tenders, |kind| kind == TenderKind::External);
    let earned = terms.earned_for(external).map_err(Refusal::Earn)?;
    Ok(Plan {
        payment,
        earned,
        burnt,
    })
}

/// An account of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The merchant's EXTERNAL account.
    External,
    /// The merchant's SALES account.
    Sales,
    /// The merchant's LOYALTY_COST account.
    LoyaltyCost,
    /// The gift card of the tender with this number, from 0.
    Card(usize),
    /// The points' ISSUANCE account.
    Issuance,
    /// The points' REDEMPTION account.
    Redemption,
    /// The wallet's account.
    Wallet,
}

impl Place {
    /// Whether points stand there, and not currency.
    pub fn holds_points(self) -> bool {
        matches!(self, Self::Issuance | Self::Redemption | Self::Wallet)
    }
}

/// The side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Debit,
    /// Right.
    Credit,
}

/// An entry of the purchase's one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The account.
    pub place: Place,
    /// The side.
    pub side: Side,
    /// How much, minor units of what stands there.
    pub amount: Amount,
}

impl Plan {
    /// The entries, always the same in the same order: the ledger compares requests under one key, and holds limits
    /// after each entry. So points are burnt before they are earned: what a purchase earns does not pay for it.
    pub fn legs(&self) -> Vec<Leg> {
        let mut legs = Vec::new();
        let mut leg = |place, side, amount| legs.push(Leg { place, side, amount });
        let tenders = &self.payment.tenders;
        for (index, tender) in tenders.iter().enumerate() {
            if tender.kind == TenderKind::GiftCard {
                leg(Place::Card(index), Side::Debit, tender.amount);
            }
        }
        // What no tender pays is zero, and no amount.
        for (kind, place) in [
            (TenderKind::External, Place::External),
            (TenderKind::Points, Place::LoyaltyCost),
        ] {
            if let Ok(amount) = Amount::try_from(sum(tenders, |k| k == kind)) {
                leg(place, Side::Debit, amount);
            }
        }
        leg(Place::Sales, Side::Credit, self.payment.amount);
        if let Some(burnt) = self.burnt {
            leg(Place::Wallet, Side::Debit, burnt);
            leg(Place::Redemption, Side::Credit, burnt);
        }
        if let Some(earned) = self.earned {
            leg(Place::Issuance, Side::Debit, earned);
            leg(Place::Wallet, Side::Credit, earned);
        }
        legs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::program::tests::{any_terms, numbers},
        *,
    };

    fn tender(kind: TenderKind, amount: i64) -> Tender {
        Tender {
            kind,
            amount: amount.try_into().unwrap(),
        }
    }

    fn payment(tenders: &[(TenderKind, i64)]) -> Payment {
        let amount: i64 = tenders.iter().map(|(_, amount)| amount).sum();
        let tenders = tenders.iter().map(|(kind, amount)| tender(*kind, *amount));
        Payment::new(amount.try_into().unwrap(), tenders.collect()).unwrap()
    }

    fn shown(plan: &Plan) -> Vec<(Place, Side, i64)> {
        let legs = plan.legs().into_iter();
        legs.map(|leg| (leg.place, leg.side, leg.amount.get())).collect()
    }

    use Side::{Credit, Debit};
    use TenderKind::{External, GiftCard, Points};

    /// One point a euro; a hundred points pay one euro.
    fn terms() -> Terms {
        Terms::new(numbers(1, 100, 100, 100)).unwrap()
    }

    #[test]
    fn fifty_euros_by_card_points_and_cash() {
        let payment = payment(&[(GiftCard, 2_000), (Points, 500), (External, 2_500)]);
        let plan = evaluate(Some(&terms()), payment).unwrap();
        assert_eq!(
            shown(&plan),
            [
                (Place::Card(0), Debit, 2_000),
                (Place::External, Debit, 2_500),
                (Place::LoyaltyCost, Debit, 500),
                (Place::Sales, Credit, 5_000),
                (Place::Wallet, Debit, 500),
                (Place::Redemption, Credit, 500),
                (Place::Issuance, Debit, 25),
                (Place::Wallet, Credit, 25),
            ]
        );
    }

    #[test]
    fn legs_of_zero_are_left_out() {
        let plan = evaluate(Some(&terms()), payment(&[(External, 99)])).unwrap();
        assert_eq!(
            shown(&plan),
            [(Place::External, Debit, 99), (Place::Sales, Credit, 99)]
        );
        let plan = evaluate(None, payment(&[(GiftCard, 1), (GiftCard, 2)])).unwrap();
        assert_eq!(
            shown(&plan),
            [
                (Place::Card(0), Debit, 1),
                (Place::Card(1), Debit, 2),
                (Place::Sales, Credit, 3)
            ]
        );
    }

    #[test]
    fn points_are_rounded_once_over_the_purchase() {
        let plan = evaluate(Some(&terms()), payment(&[(External, 50), (External, 50)])).unwrap();
        assert_eq!(plan.earned.map(Amount::get), Some(1));
    }

    #[test]
    fn what_does_not_go_with_the_programme_is_refused() {
        let points = |amount| payment(&[(External, 1), (Points, amount)]);
        assert_eq!(
            evaluate(Some(&terms()), points(150)),
            Err(Refusal::Burn(1, NoPoints::NotAMultiple))
        );
        assert_eq!(evaluate(None, points(100)), Err(Refusal::NoTerms));
        let dear = Terms::new(numbers(0, 1, 1_000_000_000, 1)).unwrap();
        assert_eq!(
            evaluate(Some(&dear), points(10_000_000)),
            Err(Refusal::Burn(1, NoPoints::TooMany))
        );
        let lavish = Terms::new(numbers(999, 1, 1_000, 1)).unwrap();
        assert_eq!(
            evaluate(Some(&lavish), payment(&[(External, 10_000_000_000_000)])),
            Err(Refusal::Earn(NoPoints::TooMany))
        );
    }

    #[test]
    fn tenders_that_are_no_payment() {
        let new = |amount: i64, tenders| Payment::new(amount.try_into().unwrap(), tenders).unwrap_err();
        let one = tender(External, 1);
        assert_eq!(new(1, Vec::new()), PaymentError::Count);
        assert_eq!(new(11, vec![one; 11]), PaymentError::Count);
        assert_eq!(new(2, vec![one]), PaymentError::Unbalanced { sum: 1, amount: 2 });
        let points = tender(Points, 1);
        assert_eq!(new(3, vec![points, one, points]), PaymentError::SecondOfPoints(2));
        let most = tender(External, 1_000_000_000_000_000);
        let sum = 10_000_000_000_000_000;
        assert_eq!(
            new(1, vec![most; 10]),
            PaymentError::Unbalanced { sum, amount: 1 }
        );
    }

    /// A payment that goes with `terms`, or does not.
    fn any_payment(terms: Terms) -> impl Strategy<Value = Payment> {
        let small = prop_oneof![1..=1_000_i64, 1..=100_000_000_000_000_i64];
        let others = prop::collection::vec((prop::sample::select(vec![External, GiftCard]), small), 0..9);
        let value = terms.numbers().burn_value;
        let points = prop::option::of((1..=1_000_i64, 0..=1_i64));
        (others, points, any::<prop::sample::Index>()).prop_filter_map(
            "no tender",
            move |(mut others, points, at)| {
                if let Some((times, off)) = points {
                    let at = at.index(others.len() + 1);
                    others.insert(at, (Points, times * value + off));
                }
                let sum: i64 = others.iter().map(|(_, amount)| amount).sum();
                (1..=1_000_000_000_000_000)
                    .contains(&sum)
                    .then(|| payment(&others))
            },
        )
    }

    fn any_purchase() -> impl Strategy<Value = (Terms, Payment)> {
        any_terms().prop_flat_map(|terms| (Just(terms), any_payment(terms)))
    }

    proptest! {
        #[test]
        fn nothing_comes_from_nowhere((terms, payment) in any_purchase()) {
            let Ok(plan) = evaluate(Some(&terms), payment.clone()) else { return Ok(()) };
            for points in [false, true] {
                let of = |side| -> i128 {
                    let legs = plan.legs().into_iter();
                    legs.filter(|leg| leg.side == side && leg.place.holds_points() == points)
                        .map(|leg| i128::from(leg.amount.get()))
                        .sum()
                };
                prop_assert_eq!(of(Debit), of(Credit));
            }
            let sold: i64 = plan.legs().iter().filter(|l| l.place == Place::Sales).map(|l| l.amount.get()).sum();
            prop_assert_eq!(sold, payment.amount().get());
            prop_assert!((2..=500).contains(&plan.legs().len()));
        }

        /// The same once more, as plainly as can be said.
        #[test]
        fn a_plan_is_what_the_model_says((terms, payment) in any_purchase()) {
            let n = terms.numbers();
            let (mut outside, mut by_points) = (0_i128, None);
            for (index, tender) in payment.tenders().iter().enumerate() {
                match tender.kind {
                    External => outside += i128::from(tender.amount.get()),
                    Points => by_points = Some((index, i128::from(tender.amount.get()))),
                    GiftCard => {}
                }
            }
            let earned = outside * i128::from(n.earn_points) / i128::from(n.earn_per);
            let most = 1_000_000_000_000_000;
            let model = match by_points {
                Some((at, value)) if value % i128::from(n.burn_value) != 0 => {
                    Err(Refusal::Burn(at, NoPoints::NotAMultiple))
                }
                Some((at, value)) if value / i128::from(n.burn_value) * i128::from(n.burn_points) > most => {
                    Err(Refusal::Burn(at, NoPoints::TooMany))
                }
                _ if earned > most => Err(Refusal::Earn(NoPoints::TooMany)),
                Some((_, value)) => Ok((earned, value / i128::from(n.burn_value) * i128::from(n.burn_points))),
                None => Ok((earned, 0)),
            };
            let found = evaluate(Some(&terms), payment).map(|plan| {
                let points = |amount: Option<Amount>| i128::from(amount.map_or(0, Amount::get));
                (points(plan.earned), points(plan.burnt))
            });
            prop_assert_eq!(found, model);
        }
    }
}
