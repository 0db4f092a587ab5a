//! argv in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealgate::cli::run(std::env::args_os())
}
