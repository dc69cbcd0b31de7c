//! `cargo xtask servers`: keeps the servers up for tests that a developer runs by hand.

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;
use lp_stack::{Addresses, Durability, Stack, StackName, interrupt};

use crate::terminal::{Terminal, note, say};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    // Fresh: what earlier tests left, thousands of topics among it, would fill the broker's memory.
    Stack::wipe(&workspace.target, StackName::Test)?;
    let mut stack = Stack::start(
        &workspace.target,
        StackName::Test,
        Durability::None,
        &Terminal::new(),
    )?;
    let file = stack.folder().join("env.sh");
    let text = exports(stack.addresses());
    // It has the superuser's password.
    let _ = std::fs::remove_file(&file);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("{} could not be written", file.display()))?;
    say(&text);
    note(&format!(
        "In another terminal: `. {}`, then `cargo test -p <package>`. Ctrl-C ends the servers.",
        file.display()
    ));
    loop {
        std::thread::sleep(interrupt::TICK);
        if interrupt::requested() {
            let _ = std::fs::remove_file(&file);
            return Ok(());
        }
        if let Some(error) = stack.dead_server() {
            let _ = std::fs::remove_file(&file);
            return Err(error);
        }
    }
}

/// Lines for a shell.
fn exports(addresses: &Addresses) -> String {
    let mut text = String::from(
        "# Addresses of the servers that `cargo xtask servers` keeps up. When they are gone, start them again with\n\
         #   setsid nohup cargo xtask servers >/dev/null 2>&1 &\n",
    );
    for (name, value) in addresses.test_env() {
        let _ = writeln!(text, "export {name}='{value}'");
    }
    text
}
