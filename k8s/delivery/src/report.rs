//! What a proof saw, as a table: printed, and kept for the summary.

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;

use crate::{cli::Proof, cluster::now, table::table};

/// The proofs, in the order of the summary, and what each shows.
const PROOFS: [(&str, &str); 4] = [
    (
        "deploy",
        "From an empty cluster to the whole fleet in three environments",
    ),
    (
        "rollout",
        "The fleet rolls forward under load, and survives what happens to pods and nodes",
    ),
    ("push-to-prod", "From `git push` to production"),
    ("network", "Declared calls pass, everything else is cut"),
];

/// The rows of a proof that runs.
pub(crate) struct Report {
    file: PathBuf,
    begun: Instant,
    last: Instant,
    headings: Vec<String>,
    head: String,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Report {
    /// Begins one, with the versions of what it runs on.
    pub(crate) async fn begin(proof: &Proof, name: &str, headings: &[&str]) -> anyhow::Result<Self> {
        let kubernetes = proof.connect().await?.version().await?;
        std::fs::create_dir_all(proof.folder())?;
        let file = proof.folder().join(format!("{name}.md"));
        // An earlier one must not be taken for this one.
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        let date = now().strftime("%Y-%m-%d %H:%M UTC");
        let head = format!("{date}, Kubernetes {kubernetes}");
        println!("{name}: {head}");
        let now = Instant::now();
        Ok(Self {
            file,
            begun: now,
            last: now,
            headings: headings.iter().map(|heading| (*heading).to_owned()).collect(),
            head,
            rows: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// A step that was seen to work, with the seconds since the one before.
    pub(crate) fn row(&mut self, step: &str, seen: String) {
        let seconds = format!("{:.1}", self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
        println!("  ✓ {step} ({seconds} s): {seen}");
        self.rows.push(vec![step.to_owned(), seconds, seen]);
    }

    /// A row of another form.
    pub(crate) fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A sentence below the table.
    pub(crate) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// Seconds since it began.
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Prints and keeps it.
    ///
    /// # Errors
    /// When it has no row: a proof that saw nothing proves nothing.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        let text = self.text()?;
        println!("\n{text}");
        std::fs::write(&self.file, text).with_context(|| format!("{} cannot be written", self.file.display()))
    }

    fn text(&self) -> anyhow::Result<String> {
        anyhow::ensure!(!self.rows.is_empty(), "the proof saw nothing");
        let headings: Vec<_> = self.headings.iter().map(String::as_str).collect();
        let mut text = format!(
            "{}; {:.0} s.\n\n{}",
            self.head,
            self.seconds(),
            table(&headings, &self.rows)
        );
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        Ok(text)
    }
}

/// Writes the tables of all proofs into docs/platform-contracts/proof.md, in place of the last ones.
///
/// # Errors
/// When one has not ended well.
pub(crate) fn summarize(proof: &Proof) -> anyhow::Result<()> {
    const MARK: &str = "<!-- tables:begin -->\n";
    const END: &str = "<!-- tables:end -->\n";
    let page = proof.root.join("docs/platform-contracts/proof.md");
    let old = std::fs::read_to_string(&page).with_context(|| format!("{} cannot be read", page.display()))?;
    let (before, rest) = old
        .split_once(MARK)
        .context("proof.md has no mark for its tables")?;
    let (_, after) = rest
        .split_once(END)
        .context("proof.md has no mark for the end of its tables")?;
    let mut tables = String::new();
    for (name, title) in PROOFS {
        let file = proof.folder().join(format!("{name}.md"));
        let table = std::fs::read_to_string(&file)
            .with_context(|| format!("`cargo xtask cluster {name}` has not ended well"))?;
        tables.push_str(&format!("\n## {title}\n`cargo xtask cluster {name}`, {table}"));
    }
    std::fs::write(&page, format!("{before}{MARK}{tables}\n{END}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_saw_nothing_fails() {
        let now = Instant::now();
        let mut report = Report {
            file: PathBuf::new(),
            begun: now,
            last: now,
            headings: vec!["step".to_owned(), "seconds".to_owned(), "seen".to_owned()],
            head: "today".to_owned(),
            rows: Vec::new(),
            notes: Vec::new(),
        };
        assert!(report.text().is_err());
        report.row("one", "two".to_owned());
        assert!(report.text().unwrap().contains("| one  |"));
    }
}
