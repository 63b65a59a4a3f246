//! The `weirgate` binary: hands arguments and environment to the commands, and their outcome to the shell.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weirgate::cli::main(std::env::args_os(), std::env::vars())
}
