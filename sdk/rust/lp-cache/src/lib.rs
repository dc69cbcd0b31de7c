//! lp-cache
