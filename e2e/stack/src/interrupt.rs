//! Ctrl-C, SIGTERM and SIGHUP as a flag that every wait of this crate looks at.
//!
//! The flag is one for the process, since signals are: a library user that never calls [`install`] keeps the
//! default behaviour of the signals and [`requested`] is always false.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How long a wait sleeps between two looks at what it waits for.
pub const TICK: Duration = Duration::from_millis(30);

/// The error of everything that ended because the person asked for it.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped, as asked")
    }
}

impl std::error::Error for Interrupted {}

/// From now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the process.
///
/// # Errors
/// When the operating system refuses a handler.
pub fn install() -> anyhow::Result<()> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .with_context(|| format!("the handler for signal {signal} could not be installed"))?;
    }
    Ok(())
}

/// Whether one of the signals came.
#[must_use]
pub fn requested() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The flag as an error, for use with `?`.
///
/// # Errors
/// [`Interrupted`] once a signal came.
pub fn check() -> Result<(), Interrupted> {
    if requested() { Err(Interrupted) } else { Ok(()) }
}
