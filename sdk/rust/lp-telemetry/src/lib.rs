//! lp-telemetry
