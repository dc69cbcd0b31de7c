//! What a long step tells the person who waits for it.

use std::time::{Duration, Instant};

/// Receives the steps of a start. Called from several threads; a step is named by its title.
pub trait Progress: Sync {
    /// A step begins.
    fn begin(&self, title: &str);
    /// What the step does at this moment, for example that it fetches something.
    fn detail(&self, title: &str, text: &str);
    /// The step ended well.
    fn done(&self, title: &str, took: Duration);
    /// The step failed; the error itself comes back from the call.
    fn failed(&self, title: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _title: &str) {}
    fn detail(&self, _title: &str, _text: &str) {}
    fn done(&self, _title: &str, _took: Duration) {}
    fn failed(&self, _title: &str) {}
}

/// Runs `work` as one step of `progress`.
///
/// # Errors
/// Those of `work`.
pub fn step<T>(
    progress: &dyn Progress,
    title: &str,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    progress.begin(title);
    let result = work();
    match &result {
        Ok(_) => progress.done(title, begun.elapsed()),
        Err(_) => progress.failed(title),
    }
    result
}
