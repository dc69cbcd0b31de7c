//! What the tests of this crate share: settings, and a subscriber that writes to memory.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use lp_config::LogFormat;

use crate::{Settings, Telemetry, init::build_subscriber};

pub(crate) fn settings() -> Settings {
    Settings {
        service: "svc-test",
        version: "1.2.3".to_owned(),
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: None,
    }
}

/// Telemetry that is in force on this thread for as long as it lives.
pub(crate) struct Started {
    pub(crate) telemetry: Telemetry,
    written: Written,
    _in_force: DefaultGuard,
}

pub(crate) fn start(settings: &Settings) -> Started {
    let written = Written::default();
    let writer = written.clone();
    let (subscriber, telemetry) = build_subscriber(settings, move || writer.clone()).unwrap();
    Started {
        telemetry,
        written,
        _in_force: tracing::subscriber::set_default(subscriber),
    }
}

impl Started {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
