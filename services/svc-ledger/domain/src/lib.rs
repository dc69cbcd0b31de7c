//! ledger-domain
