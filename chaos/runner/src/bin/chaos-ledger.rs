//! See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos::ledger::main()
}
