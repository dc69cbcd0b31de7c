//! lp-outbox
