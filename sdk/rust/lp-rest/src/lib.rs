//! lp-rest
