//! svc-notification
