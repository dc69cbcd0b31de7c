//! lp-config
