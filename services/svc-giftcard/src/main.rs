//! See the library.

use std::process::ExitCode;

use svc_giftcard::Service;

fn main() -> ExitCode {
    lp_chassis::main::<Service>()
}
