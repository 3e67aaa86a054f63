//! The binary: hands the command line to the library and its exit code to the system.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    openai_relay::command::run()
}
