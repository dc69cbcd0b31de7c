//! Load at a fixed rate on the fleet that the environment names, judged by the history checker. See the module.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos::load::main()
}
