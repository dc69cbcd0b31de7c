//! The ledger under faults for a few seconds: what `cargo xtask chaos ledger` does at length, without the failpoints, which
//! the programs of the other tests lack. A test program of its own, so that nothing runs beside it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, process::Command};

#[test]
fn a_short_run_of_faults_breaks_no_promise_of_the_ledger() {
    // Test programs lie in `deps`, beside it the workspace's own.
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap();
    let output = Command::new(programs.join("chaos-ledger"))
        .args(["--seconds", "8", "--clients", "24"])
        .args(["--faults", "kill,pause,postgres,cut,disk,clock"])
        .arg("--target")
        // The same each time: what is left there is wiped by the next run.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos"))
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", told.concat());
}
