//! Takes OTLP and counts it. See the module.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos::collector::main()
}
