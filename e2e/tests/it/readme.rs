//! The README's lines, run as they stand against a fleet, print what the README says.

use std::{fmt::Write as _, process::Command};

use lp_stack::{
    cache::Cache,
    fleet::{FLEET, Plan},
    tools,
};

use crate::fleet;

struct Example {
    typed: String,
    printed: String,
}

fn examples(readme: &str) -> Vec<Example> {
    let part = readme
        .split_once("<!-- try:begin -->")
        .unwrap()
        .1
        .split_once("<!-- try:end -->")
        .unwrap()
        .0;
    let mut examples = Vec::new();
    for block in part.split("```sh\n").skip(1) {
        let (typed, rest) = block.split_once("\n```\n").unwrap();
        // Without a block of text it prints nothing.
        let printed = rest.strip_prefix("```text\n").unwrap_or("\n```");
        let printed = printed.split_once("\n```").unwrap().0;
        examples.push(Example {
            typed: typed.to_owned(),
            printed: printed.to_owned(),
        });
    }
    examples
}

/// Whether `text` is what `pattern` says, where `…` stands for anything within a line.
fn agrees(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<_>, Vec<_>) = (text.trim_end().lines().collect(), pattern.lines().collect());
    text.len() == pattern.len()
        && text.iter().zip(pattern).all(|(line, pattern)| {
            let mut rest = *line;
            let mut parts = pattern.split('…');
            let first = parts.next().unwrap();
            let Some(after) = rest.strip_prefix(first) else {
                return false;
            };
            rest = after;
            for part in parts {
                match rest.find(part) {
                    Some(at) if !part.is_empty() => rest = &rest[at + part.len()..],
                    Some(_) => rest = "",
                    None => return false,
                }
            }
            rest.is_empty()
        })
}

#[test]
fn an_ellipsis_stands_for_anything_within_a_line() {
    assert!(agrees("wal_12 acc_3", "wal_… acc_…"));
    assert!(agrees("a\nb", "a\nb"));
    for (text, pattern) in [
        ("wal_12", "acc_…"),
        ("a\nb", "a"),
        ("abc", "ab"),
        ("", "a"),
        ("x y z", "x … w"),
    ] {
        assert!(!agrees(text, pattern), "{text} / {pattern}");
    }
}

#[test]
fn the_readme_s_lines_print_what_it_says() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let own = fleet::start(&[]);
    for (readme, least) in [("README.md", 6), ("services/svc-ledger/README.md", 4)] {
        let examples = examples(&std::fs::read_to_string(format!("{root}{readme}")).unwrap());
        assert!(examples.len() >= least, "{readme}");
        run(&examples, &own.plan, readme);
    }
}

/// Runs the examples as one reader types them, and compares what they print.
fn run(examples: &[Example], plan: &Plan, readme: &str) {
    // One shell, as a reader has one: what an example sets the next one uses.
    let mut script = String::from("set -e\n");
    for example in examples {
        let _ = writeln!(script, "{}\necho '--- end of example'", example.typed);
    }
    let mut ports = vec![(Plan::default().issuer_port, plan.issuer_port)];
    for (default, one) in FLEET.iter().zip(&plan.services) {
        ports.extend([
            (default.grpc_port, one.grpc_port),
            (default.http_port, one.http_port),
        ]);
    }
    for (from, to) in ports {
        script = script.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let grpcurl = tools::grpcurl(&Cache::open().unwrap(), &|_| ()).unwrap();
    let path = format!(
        "{}:{}",
        grpcurl.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .env("PATH", path)
        .current_dir(&folder)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<_> = printed.split("--- end of example\n").collect();
    for (example, printed) in examples.iter().zip(&printed) {
        assert!(
            agrees(printed, &example.printed),
            "{readme}: typed:\n{}\nprinted:\n{printed}\nthe README says:\n{}\nerrors: {}",
            example.typed,
            example.printed,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
