//! See the library.

use std::process::ExitCode;

use svc_analytics::Service;

fn main() -> ExitCode {
    lp_chassis::main::<Service>()
}
