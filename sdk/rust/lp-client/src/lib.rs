//! lp-client
