//! lp-chassis
