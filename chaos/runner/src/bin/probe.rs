//! Which addresses take connections from here. See the module.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos::probe::main()
}
