//! What a person sees: spinners with timings on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lp_stack::Progress;

/// Writes a line to standard output; a reader that went away is no error of ours.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The steps of a command. They go to standard error, so that standard output stays for results.
pub(crate) struct Terminal {
    bars: MultiProgress,
    running: Mutex<BTreeMap<String, ProgressBar>>,
    live: bool,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        Self {
            bars: MultiProgress::new(),
            running: Mutex::new(BTreeMap::new()),
            live,
        }
    }

    fn bar(&self, title: &str) -> Option<ProgressBar> {
        self.running.lock().ok()?.get(title).cloned()
    }

    fn end(&self, title: &str, line: &str) {
        let bar = self
            .running
            .lock()
            .ok()
            .and_then(|mut running| running.remove(title));
        match bar {
            Some(bar) => {
                bar.finish_and_clear();
                let _ = self.bars.println(line);
            }
            None => note(line),
        }
    }
}

/// "0.7 s", "2 min 05 s".
pub(crate) fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole < 60 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

impl Progress for Terminal {
    fn begin(&self, title: &str) {
        if !self.live {
            note(&format!("  … {title}"));
            return;
        }
        let style = ProgressStyle::with_template("  {spinner} {prefix:<16} {elapsed:>4} {wide_msg:.dim}");
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        if let Ok(mut running) = self.running.lock() {
            running.insert(title.to_owned(), bar);
        }
    }

    fn detail(&self, title: &str, text: &str) {
        match self.bar(title) {
            Some(bar) => bar.set_message(text.to_owned()),
            None => note(&format!("    {title}: {text}")),
        }
    }

    fn done(&self, title: &str, took: Duration) {
        self.end(title, &format!("  ✓ {title:<16} {}", seconds(took)));
    }

    fn failed(&self, title: &str) {
        self.end(title, &format!("  ✗ {title}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(seconds(Duration::from_millis(740)), "0.7 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
