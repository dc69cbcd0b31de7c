//! See the library.

use std::process::ExitCode;

use svc_notification::Service;

fn main() -> ExitCode {
    lp_chassis::main::<Service>()
}
