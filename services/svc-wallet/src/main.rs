//! See the library.

use std::process::ExitCode;

use svc_wallet::Service;

fn main() -> ExitCode {
    lp_chassis::main::<Service>()
}
