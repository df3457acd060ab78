//! `weir-train`: parses the command line and hands over to the library. No logic here.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_train::cli::main()
}
