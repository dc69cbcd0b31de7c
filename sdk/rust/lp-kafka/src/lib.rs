//! lp-kafka
