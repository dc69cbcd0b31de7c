//! A merchant's first day, played in the fleet that the environment names. Ends with 0 when each step was seen to work
//! and the checker found nothing wrong. `cargo xtask up` starts the fleet and this.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos::day::main()
}
