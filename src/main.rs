//! argv in, exit code out.

use std::process::ExitCode;

/// glibc's own stays slow once tens of thousands of connections have come and gone (docs/benchmarks.md, "The allocator").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sealgate::cli::run(std::env::args_os())
}
