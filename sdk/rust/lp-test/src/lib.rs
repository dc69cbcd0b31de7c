//! lp-test
