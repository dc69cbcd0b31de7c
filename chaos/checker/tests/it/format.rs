//! A history is read as it was written.

use history_checker::{History, Source};

use crate::reference::{CUSTOMERS, Fleet, burn, earn};

#[test]
fn a_history_is_read_as_it_was_written() {
    let mut fleet = Fleet::new();
    fleet.post("k1", &earn("a", CUSTOMERS[0], 5));
    fleet.post("k2", &burn("", CUSTOMERS[0], 50));
    fleet.read(CUSTOMERS[0], Source::Wallet, Some(1));
    let history = fleet.finish();
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
