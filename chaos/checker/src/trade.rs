//! What is recorded of cards, purchases, programmes and the day's figures.

use serde::{Deserialize, Serialize};

/// What a merchant's till asks for beside plain transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trade {
    /// `IssueCard`.
    Issue {
        /// Of which product.
        product: String,
    },
    /// `ActivateCard`: the card is sold.
    Sale {
        /// The card.
        card: String,
        /// For how much, minor units.
        amount: i64,
    },
    /// `RedeemCard`.
    Redemption {
        /// The card that is meant, and whether the code and the PIN that were given are its own.
        card: Key,
        /// How much, minor units.
        amount: i64,
    },
    /// `SubmitPurchase`.
    Purchase {
        /// What was bought for, minor units.
        amount: i64,
        /// Who pays what.
        tenders: Vec<Tender>,
        /// The account of the wallet that takes part, if any.
        customer: Option<String>,
        /// The merchant's own name for it; may be empty.
        reference: String,
    },
}

/// A card that somebody wants to open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The card; empty where the code is nobody's.
    pub card: String,
    /// Whether code and PIN are the card's.
    pub opens: bool,
}

/// A part of a purchase's payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tender {
    /// What pays.
    pub kind: TenderKind,
    /// How much of the purchase, minor units of its currency.
    pub amount: i64,
    /// The card, where one pays.
    pub card: Option<Key>,
}

/// What pays a part of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenderKind {
    /// Anything that the merchant's own till takes.
    External,
    /// A gift card.
    GiftCard,
    /// Points, at the programme's burn rate.
    Points,
}

/// What a trade was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// A card was made.
    Issued {
        /// The card.
        card: String,
        /// A digest of its code and PIN: the same for the same secret.
        secret: String,
    },
    /// A card was sold.
    Sold {
        /// The card.
        card: String,
        /// Its account.
        account: String,
        /// What it was sold for.
        face_value: i64,
        /// The sale's transaction.
        transaction: String,
    },
    /// A card was spent.
    Redeemed {
        /// The card.
        card: String,
        /// The transaction.
        transaction: String,
        /// What the card holds after it.
        balance: i64,
    },
    /// A purchase was posted.
    Purchased(Purchase),
}

/// A purchase as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub merchant: String,
    /// Where it stands, as the contract names it without its prefix: `POSTED`.
    pub state: String,
    /// What was bought for.
    pub amount: i64,
    /// Points earned.
    pub earned: i64,
    /// Points burnt.
    pub burnt: i64,
    /// The version of the programme that was applied.
    pub version: i32,
    /// Its transaction; empty unless it was posted.
    pub transaction: String,
}

/// A card that somebody wants to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Which; by `GetCard` where `opens` does not matter, or by `AuthorizeRedemption`.
    pub key: Key,
    /// True for `AuthorizeRedemption`.
    pub authorize: bool,
}

/// A card as it was seen: during traffic, or at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub merchant: String,
    /// Where it stands, as the contract names it without its prefix: `ACTIVE`.
    pub state: String,
    /// Its account; empty before it is activated.
    pub account: String,
    /// What it was sold for; 0 before.
    pub face_value: i64,
    /// What it holds.
    pub balance: i64,
}

/// A merchant's programme; a run has one for each merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    /// Whose.
    pub merchant: String,
    /// Its version.
    pub version: i32,
    /// Points earned for each `earn_per` that is paid from outside, rounded down over the purchase.
    pub earn_points: i64,
    /// Minor units.
    pub earn_per: i64,
    /// Points that pay `burn_value`.
    pub burn_points: i64,
    /// Minor units that `burn_points` pay.
    pub burn_value: i64,
}

/// A day of a merchant, as svc-analytics tells it at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Figures {
    /// Whose.
    pub merchant: String,
    /// In its time zone, `YYYY-MM-DD`.
    pub day: String,
    /// Transactions of that day.
    pub transactions: i64,
    /// By asset, in order of their codes; those that did nothing that is counted may be missing.
    pub assets: Vec<AssetFigures>,
}

/// What an asset did in a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AssetFigures {
    /// The asset.
    pub asset: String,
    /// Debits of ISSUANCE accounts.
    pub points_given: i64,
    /// Credits of REDEMPTION accounts.
    pub points_spent: i64,
    /// How often GIFT_CARD accounts were credited.
    pub cards_sold: i64,
    /// With how much.
    pub cards_sold_amount: i64,
    /// How often GIFT_CARD accounts were debited.
    pub cards_redeemed: i64,
    /// With how much.
    pub cards_redeemed_amount: i64,
}

/// A replica was asked to end (SIGTERM) while nothing else was broken, and another one served on. Times are those
/// of the calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Which.
    pub replica: String,
    /// When it was asked.
    pub start: u64,
    /// When it was back, or all was over.
    pub end: u64,
    /// What it ended with: `exit status: 0`.
    pub status: String,
}

impl Done {
    /// The transaction that stands behind it, where there is one.
    pub(crate) fn transaction(&self) -> Option<&str> {
        match self {
            Self::Issued { .. } => None,
            Self::Sold { transaction, .. } | Self::Redeemed { transaction, .. } => Some(transaction),
            Self::Purchased(purchase) => Some(&purchase.transaction),
        }
    }
}

impl Trade {
    /// The merchant's own name for it; empty where it has none.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Purchase { reference, .. } => reference,
            _ => "",
        }
    }

    /// The cards that are to pay.
    pub(crate) fn opened(&self) -> Vec<&Key> {
        match self {
            Self::Redemption { card, .. } => vec![card],
            Self::Purchase { tenders, .. } => {
                tenders.iter().filter_map(|tender| tender.card.as_ref()).collect()
            }
            Self::Issue { .. } | Self::Sale { .. } => Vec::new(),
        }
    }
}
