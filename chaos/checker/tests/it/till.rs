//! What the reference fleet does with cards and purchases, and what it would show of a day.

use std::collections::BTreeMap;

use history_checker::{
    AssetFigures, Card, Done, Figures, History, Key, Kind, Line, Look, Outcome, Post, Programme, Purchase,
    Request, Role, Side, Tender, TenderKind, Trade,
};

use crate::reference::{Fleet, SHOP, account};

/// 3 points for each 2.00 from outside; 50 points pay 0.75.
pub(crate) fn programme(merchant: &str) -> Programme {
    Programme {
        merchant: merchant.to_owned(),
        version: 1,
        earn_points: 3,
        earn_per: 200,
        burn_points: 50,
        burn_value: 75,
    }
}

pub(crate) fn key(card: &str, opens: bool) -> Key {
    Key {
        card: card.to_owned(),
        opens,
    }
}

pub(crate) fn external(amount: i64) -> Tender {
    tender(TenderKind::External, amount, None)
}

pub(crate) fn points(amount: i64) -> Tender {
    tender(TenderKind::Points, amount, None)
}

pub(crate) fn by_card(card: &str, amount: i64) -> Tender {
    tender(TenderKind::GiftCard, amount, Some(key(card, true)))
}

fn tender(kind: TenderKind, amount: i64, card: Option<Key>) -> Tender {
    Tender { kind, amount, card }
}

pub(crate) fn sale(card: &str, amount: i64) -> Trade {
    let card = card.to_owned();
    Trade::Sale { card, amount }
}

pub(crate) fn redemption(card: &str, amount: i64) -> Trade {
    let card = key(card, true);
    Trade::Redemption { card, amount }
}

/// Of what the tenders pay.
pub(crate) fn purchase(tenders: Vec<Tender>, customer: Option<&str>) -> Trade {
    Trade::Purchase {
        amount: tenders.iter().map(|tender| tender.amount).sum(),
        tenders,
        customer: customer.map(str::to_owned),
        reference: String::new(),
    }
}

impl Fleet {
    /// A card that somebody made before the history began.
    pub(crate) fn stock(&mut self, card: &str) {
        self.history.cards.push(Card {
            id: card.to_owned(),
            merchant: SHOP.to_owned(),
            state: "ISSUED".to_owned(),
            account: String::new(),
            face_value: 0,
            balance: 0,
        });
    }

    /// What a fleet does with a trade of [`SHOP`], at one moment.
    pub(crate) fn apply_trade(&mut self, key: &str, trade: &Trade) -> Outcome {
        let rpc = match trade {
            Trade::Issue { .. } => "issue",
            Trade::Sale { .. } => "sale",
            Trade::Redemption { .. } => "redemption",
            Trade::Purchase { .. } => "purchase",
        };
        let id = (SHOP.to_owned(), rpc, key.to_owned());
        if let Some((first, answer)) = self.trades.get(&id) {
            let reused = || Outcome::Refused("IDEMPOTENCY_KEY_REUSED".to_owned());
            return if first == trade { answer.clone() } else { reused() };
        }
        let refused = |reason: &str| Outcome::Refused(reason.to_owned());
        let answer = self.trade_once(trade).map_or_else(refused, Outcome::Done);
        self.trades.insert(id, (trade.clone(), answer.clone()));
        answer
    }

    fn trade_once(&mut self, trade: &Trade) -> Result<Done, &'static str> {
        match trade {
            Trade::Issue { .. } => {
                let card = format!("crd_{}", self.history.cards.len() + 1);
                self.stock(&card);
                let secret = format!("secret of {card}");
                Ok(Done::Issued { card, secret })
            }
            Trade::Sale { card, amount } => self.sell(card, *amount),
            Trade::Redemption { card, amount } => {
                let account = self.open(card)?;
                let lines = vec![
                    line("acc_shop-sales", Side::Credit, *amount),
                    line(&account, Side::Debit, *amount),
                ];
                let transaction = self.move_value(lines).map_err(|_| "INSUFFICIENT_FUNDS")?;
                let (card, balance) = (card.card.clone(), self.balance(&account).balance);
                Ok(Done::Redeemed {
                    card,
                    transaction,
                    balance,
                })
            }
            Trade::Purchase {
                amount,
                tenders,
                customer,
                reference,
            } => {
                if self.is_taken(reference) {
                    return Err("REFERENCE_TAKEN");
                }
                self.purchase(*amount, tenders, customer.as_deref())
                    .map(Done::Purchased)
            }
        }
    }

    fn sell(&mut self, card: &str, amount: i64) -> Result<Done, &'static str> {
        let at = self.history.cards.iter().position(|one| one.id == card).unwrap();
        if self.history.cards[at].state == "ACTIVE" {
            return Err("WRONG_STATE");
        }
        let own = format!("acc_{card}");
        self.history.accounts.push(account(&own, SHOP, Role::GiftCard));
        let lines = vec![
            line("acc_shop-till", Side::Debit, amount),
            line(&own, Side::Credit, amount),
        ];
        let transaction = self.move_value(lines)?;
        let sold = &mut self.history.cards[at];
        (sold.state, sold.account, sold.face_value) = ("ACTIVE".to_owned(), own.clone(), amount);
        Ok(Done::Sold {
            card: card.to_owned(),
            account: own,
            face_value: amount,
            transaction,
        })
    }

    fn is_taken(&self, name: &str) -> bool {
        let named = |trade: &Trade| matches!(trade, Trade::Purchase { reference, .. } if reference == name);
        let mut done = self
            .trades
            .values()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Done(_)));
        !name.is_empty() && done.any(|(trade, _)| named(trade))
    }

    fn open(&self, key: &Key) -> Result<String, &'static str> {
        let card = self.history.cards.iter().find(|one| one.id == key.card);
        let card = card.filter(|card| key.opens && card.state == "ACTIVE");
        card.map(|card| card.account.clone()).ok_or("CARD_REFUSED")
    }

    fn purchase(
        &mut self,
        amount: i64,
        tenders: &[Tender],
        customer: Option<&str>,
    ) -> Result<Purchase, &'static str> {
        if tenders.iter().map(|tender| tender.amount).sum::<i64>() != amount {
            return Err("TENDERS_UNBALANCED");
        }
        let (mut lines, mut paid, mut burnt) = (Vec::new(), 0, 0);
        for tender in tenders {
            let from = match tender.kind {
                TenderKind::External => {
                    paid += tender.amount;
                    "acc_shop-till".to_owned()
                }
                TenderKind::GiftCard => self.open(tender.card.as_ref().unwrap())?,
                TenderKind::Points if tender.amount % 75 != 0 => return Err("POINTS_NOT_A_MULTIPLE"),
                TenderKind::Points => {
                    burnt += tender.amount / 75 * 50;
                    "acc_shop-cost".to_owned()
                }
            };
            lines.push(line(&from, Side::Debit, tender.amount));
        }
        lines.push(line("acc_shop-sales", Side::Credit, amount));
        let earned = if customer.is_some() { paid * 3 / 200 } else { 0 };
        if let (Some(customer), 1..) = (customer, burnt) {
            lines.push(line("acc_shop-redemption", Side::Credit, burnt));
            lines.push(line(customer, Side::Debit, burnt));
        }
        if let (Some(customer), 1..) = (customer, earned) {
            lines.push(line("acc_shop-issuance", Side::Debit, earned));
            lines.push(line(customer, Side::Credit, earned));
        }
        let transaction = self.move_value(lines).map_err(|_| "TENDER_REFUSED")?;
        let purchase = Purchase {
            id: format!("pur_{}", self.history.purchases.len() + 1),
            merchant: SHOP.to_owned(),
            state: "POSTED".to_owned(),
            amount,
            earned,
            burnt,
            version: 1,
            transaction,
        };
        self.history.purchases.push(purchase.clone());
        Ok(purchase)
    }

    /// Posts what a service asks the ledger for, under a name of its own.
    pub(crate) fn move_value(&mut self, lines: Vec<Line>) -> Result<String, &'static str> {
        let post = Post {
            kind: Kind::General,
            reference: format!("step-{}", self.history.transactions.len()),
            lines,
            releases: Vec::new(),
        };
        let Outcome::Posted { transaction, .. } = self.decide(SHOP, &post) else {
            return Err("refused");
        };
        let id = transaction.id.clone();
        self.history.entries.extend(transaction.entries.iter().cloned());
        self.history.transactions.push(transaction);
        Ok(id)
    }

    /// A trade of [`SHOP`] that is answered before the next call begins.
    pub(crate) fn trade(&mut self, key: &str, trade: &Trade) -> Outcome {
        let outcome = self.apply_trade(key, trade);
        self.record_trade(key, trade, outcome.clone());
        outcome
    }

    pub(crate) fn record_trade(&mut self, key: &str, trade: &Trade, outcome: Outcome) {
        let request = Request::Trade(trade.clone());
        self.record(self.next_span(), SHOP, key, request, outcome);
    }

    /// What a look at a card shows now.
    pub(crate) fn see(&self, look: &Look) -> Outcome {
        let found = self
            .history
            .cards
            .iter()
            .find(|one| one.id == look.key.card)
            .unwrap();
        if look.authorize && self.open(&look.key).is_err() {
            return Outcome::Refused("CARD_REFUSED".to_owned());
        }
        Outcome::Card(Card {
            balance: self.balance(&found.account).balance,
            ..found.clone()
        })
    }

    /// A look of `merchant` at a card likewise.
    pub(crate) fn look(&mut self, merchant: &str, key: Key, authorize: bool) {
        let look = Look { key, authorize };
        let seen = self.see(&look);
        self.record(self.next_span(), merchant, "", Request::Look(look), seen);
    }
}

pub(crate) fn line(account: &str, side: Side, amount: i64) -> Line {
    let account = account.to_owned();
    Line {
        account,
        side,
        amount,
        hold: None,
    }
}

/// What a service that counts every transaction once would say.
pub(crate) fn figures(history: &History) -> Vec<Figures> {
    let mut days: BTreeMap<(String, String), (i64, BTreeMap<String, AssetFigures>)> = BTreeMap::new();
    for transaction in &history.transactions {
        let day = (transaction.merchant.clone(), transaction.day.clone());
        let (count, assets) = days.entry(day).or_default();
        *count += 1;
        for entry in &transaction.entries {
            let account = history
                .accounts
                .iter()
                .find(|one| one.id == entry.account)
                .unwrap();
            let of = assets.entry(account.asset.clone()).or_default();
            of.asset.clone_from(&account.asset);
            match (account.role, entry.side) {
                (Role::Issuance, Side::Debit) => of.points_given += entry.amount,
                (Role::Redemption, Side::Credit) => of.points_spent += entry.amount,
                (Role::GiftCard, Side::Credit) => {
                    of.cards_sold += 1;
                    of.cards_sold_amount += entry.amount;
                }
                (Role::GiftCard, Side::Debit) => {
                    of.cards_redeemed += 1;
                    of.cards_redeemed_amount += entry.amount;
                }
                _ => {}
            }
        }
    }
    let day =
        |((merchant, day), (transactions, assets)): ((String, String), (i64, BTreeMap<_, _>))| Figures {
            merchant,
            day,
            transactions,
            assets: assets.into_values().collect(),
        };
    days.into_iter().map(day).collect()
}
