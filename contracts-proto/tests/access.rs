//! Every rpc says who may call it.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use lp_contracts::{access::access_of, descriptors};

#[test]
fn every_rpc_has_an_access_option_with_scopes_or_is_public() {
    let mut seen = 0;
    for method in descriptors()
        .services()
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        let access =
            access_of(&method).unwrap_or_else(|| panic!("{} has no access option", method.full_name()));
        assert_ne!(access.public, !access.scopes.is_empty(), "{}", method.full_name());
        seen += 1;
    }
    assert!(seen >= 36, "only {seen} rpcs found");
}

#[test]
fn every_rpc_that_is_not_a_read_takes_an_idempotency_key() {
    for method in descriptors()
        .services()
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        // What comes in a stream has a key in each of its messages.
        if method.is_client_streaming() {
            let key = method.input().get_field_by_name("idempotency_key");
            assert!(key.is_some(), "{}", method.full_name());
            continue;
        }
        let read = [
            "Get",
            "List",
            "Export",
            "Authorize",
            "Lookup",
            "BatchGet",
            "Check",
        ]
        .iter()
        .any(|verb| method.name().starts_with(verb));
        let access =
            access_of(&method).unwrap_or_else(|| panic!("{} has no access option", method.full_name()));
        assert_eq!(access.idempotent_write, !read, "{}", method.full_name());
    }
}
