//! Every topic's schema is a message of this package.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use lp_contracts::{descriptors, topics};

#[test]
fn every_topic_has_a_known_schema_and_an_owner() {
    let all = topics::all().expect("topics.yaml");
    for topic in &all {
        assert!(
            descriptors().get_message_by_name(&topic.schema).is_some(),
            "{}",
            topic.schema
        );
        assert!(topic.owner.starts_with("svc-"), "{}", topic.owner);
        assert!(topic.partitions > 0 && topic.retention_days > 0, "{}", topic.name);
    }
    for name in [
        topics::LEDGER_TRANSACTIONS,
        topics::MERCHANT_ONBOARDED,
        topics::WALLET_BALANCE_UPDATED,
    ] {
        assert!(all.iter().any(|t| t.name == name), "{name}");
    }
}
