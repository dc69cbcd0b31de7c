//! A history is read as it was written.

use history_checker::{Drain, History, Source};

use crate::reference::{CUSTOMERS, Fleet, SHOP, burn, earn};
use crate::till::{external, key, purchase, redemption, sale};

#[test]
fn a_history_is_read_as_it_was_written() {
    let mut fleet = Fleet::new();
    fleet.post("k1", &earn("a", CUSTOMERS[0], 5));
    fleet.post("k2", &burn("", CUSTOMERS[0], 50));
    fleet.read(CUSTOMERS[0], Source::Wallet, Some(1));
    fleet.stock("crd_1");
    fleet.trade("k3", &sale("crd_1", 500));
    fleet.trade("k4", &redemption("crd_1", 5));
    fleet.trade("k5", &purchase(vec![external(400)], Some(CUSTOMERS[0])));
    fleet.look(SHOP, key("crd_1", true), true);
    let mut history = fleet.finish();
    history.drains.push(Drain {
        replica: "ledger-0".to_owned(),
        start: 1,
        end: 2,
        status: "exit status: 0".to_owned(),
    });
    let mut text = Vec::new();
    history.write(&mut text).unwrap();
    assert_eq!(History::read(text.as_slice()).unwrap(), history);
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let error = History::read(
        &b"{\"record\":\"mail\",\"to\":\"\",\"message_id\":\"\",\"transaction\":\"\"}\n{}\n"[..],
    );
    assert!(error.unwrap_err().to_string().starts_with("line 2 "));
}
