//! The `weir` program. Everything is in the library; here is only its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_waf::cli::main()
}
