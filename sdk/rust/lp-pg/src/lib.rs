//! lp-pg
