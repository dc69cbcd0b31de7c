//! Forgeries of what was seen of the ledger: reads, wallets, notifications, e-mails, other merchants' things.

use history_checker::{Balance, History, Kind, Outcome, Post, Request, Source};

use crate::{
    forged::{ADA, balance, base, lose_answer},
    reference::{OTHER, OTHERS, SHOP, earn, transfer},
};

/// The base and one read of Ada's balance, changed.
fn misread(from: Source, token: Option<i64>, change: impl Fn(&mut Balance)) -> History {
    let mut fleet = base();
    fleet.read(ADA, from, token);
    let Outcome::Balance(seen) = &mut fleet.history.operations[3].outcome else {
        panic!("a read")
    };
    change(seen);
    fleet.finish()
}

pub(crate) fn a_stale_read_of_the_ledger() -> History {
    misread(Source::Ledger, None, |seen| {
        (seen.sequence, seen.balance) = (2, 30);
    })
}

pub(crate) fn a_read_older_than_another_before_it() -> History {
    let mut fleet = base();
    // Nobody was told of the transfer but by the first read.
    lose_answer(&mut fleet.history, 2);
    fleet.read(ADA, Source::Wallet, None);
    fleet.read(ADA, Source::Ledger, None);
    let Outcome::Balance(seen) = &mut fleet.history.operations[4].outcome else {
        panic!("a read")
    };
    (seen.sequence, seen.balance) = (2, 30);
    fleet.finish()
}

pub(crate) fn a_read_of_the_future() -> History {
    let mut history = misread(Source::Wallet, None, |_| ());
    let before_the_last = history.operations[1].end + 1;
    (history.operations[3].start, history.operations[3].end) = (before_the_last, before_the_last + 1);
    history
}

pub(crate) fn a_balance_that_never_was() -> History {
    misread(Source::Wallet, None, |seen| seen.balance += 1)
}

pub(crate) fn a_read_behind_its_token() -> History {
    misread(Source::Wallet, Some(3), |seen| {
        (seen.sequence, seen.balance) = (2, 30);
    })
}

pub(crate) fn a_wallet_that_is_behind() -> History {
    let mut history = base().finish();
    let wallet = balance(&mut history.wallet_balances, ADA);
    (wallet.sequence, wallet.balance) = (2, 30);
    history
}

pub(crate) fn two_notifications_of_one_earn() -> History {
    let mut history = base().finish();
    let (mut second, mut mail) = (history.notifications[0].clone(), history.mails[0].clone());
    second.id.push('2');
    mail.message_id.push('2');
    history.notifications.push(second);
    history.mails.push(mail);
    history
}

pub(crate) fn a_notification_that_was_not_sent() -> History {
    let mut history = base().finish();
    history.notifications[0].status = "FAILED".to_owned();
    let transaction = history.notifications[0].transaction.clone();
    history.mails.retain(|mail| mail.transaction != transaction);
    history
}

pub(crate) fn a_message_to_who_declines_them() -> History {
    let mut history = base().finish();
    let told = history.notifications[0].account.clone();
    let told = history.accounts.iter_mut().find(|one| one.id == told);
    told.unwrap().declines_messages = true;
    history
}

pub(crate) fn two_different_mails_of_one_notification() -> History {
    let mut history = base().finish();
    let mut mail = history.mails[0].clone();
    mail.message_id.push('2');
    history.mails.push(mail);
    history
}

pub(crate) fn a_mail_to_somebody_else() -> History {
    let mut history = base().finish();
    history.mails[0].to = "mallory@example.com".to_owned();
    history
}

pub(crate) fn a_transfer_between_another_merchant_s_accounts() -> History {
    let mut fleet = base();
    let post = transfer("four", OTHERS[0], OTHERS[1], 1);
    let give = Post {
        kind: Kind::General,
        ..transfer("gift", "acc_other-issuance", OTHERS[0], 5)
    };
    for (merchant, key, post) in [(OTHER, "k0", &give), (OTHER, "k4", &post)] {
        let outcome = fleet.apply(merchant, key, post);
        fleet.record(
            fleet.next_span(),
            merchant,
            key,
            Request::Post(post.clone()),
            outcome,
        );
    }
    // The other one's transfer was the shop's.
    fleet.history.transactions.last_mut().unwrap().merchant = SHOP.to_owned();
    let call = fleet.history.operations.last_mut().unwrap();
    call.merchant = SHOP.to_owned();
    let Outcome::Posted { transaction, .. } = &mut call.outcome else {
        panic!("a write")
    };
    transaction.merchant = SHOP.to_owned();
    fleet.finish()
}

pub(crate) fn another_merchant_s_balance() -> History {
    let mut fleet = base();
    fleet.read(OTHERS[0], Source::Ledger, None);
    fleet.finish()
}

pub(crate) fn a_fault() -> History {
    let mut fleet = base();
    let outcome = Outcome::Unknown("INTERNAL".to_owned());
    fleet.record(
        fleet.next_span(),
        SHOP,
        "k4",
        Request::Post(earn("four", ADA, 9)),
        outcome,
    );
    fleet.finish()
}
