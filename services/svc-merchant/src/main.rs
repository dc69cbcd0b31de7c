//! See the library.

use std::process::ExitCode;

use svc_merchant::Service;

fn main() -> ExitCode {
    lp_chassis::main::<Service>()
}
