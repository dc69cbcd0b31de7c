//! The ledger under faults for a few seconds: what `cargo xtask chaos ledger` does at length, without the failpoints, which
//! the programs of the other tests lack. A test program of its own, so that nothing runs beside it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// One after the other: both are about what happens at the same time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_short_run_of_faults_breaks_no_promise_of_the_ledger() {
    run(&[
        "--clients",
        "24",
        "--faults",
        "kill,pause,postgres,cut,disk,clock",
    ]);
}

/// Every balance, hold and number is what a naive ledger comes to that does the same one after the other.
#[test]
fn what_64_callers_leave_is_one_history() {
    run(&["--clients", "64", "--faults", "none"]);
}

fn run(arguments: &[&str]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Test programs lie in `deps`, beside it the workspace's own.
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap();
    let output = Command::new(programs.join("chaos-ledger"))
        .args(["--seconds", "8"])
        .args(arguments)
        .arg("--target")
        // The same each time: what is left there is wiped by the next run.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos"))
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", told.concat());
}
