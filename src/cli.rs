//! The command line: arguments, exit codes, and what is printed.
//!
//! Not here: the work. Results go to stdout, logs and errors to stderr; 0 is done, 1 failed while running, 2 bad usage or
//! configuration.

mod score;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::workers::BLOCKING_THREADS;
use crate::app::{self, Purpose, Source, StartError};
use crate::detect::Budget;
use crate::listen::socket::Inherited;
use crate::telemetry;
use crate::units::format_duration;

/// Failed while running.
const FAILED: u8 = 1;
/// Bad usage or configuration.
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    about = "An inline web application firewall whose detector is an autoencoder",
    after_help = "Examples:
  weir check --config config/weir.yaml          validate everything that a start needs
  weir run --config config/weir.yaml            serve until SIGTERM or Ctrl-C; SIGHUP reloads
  weir score --bundle models/base < requests.jsonl
  curl -X POST http://127.0.0.1:9901/-/reload   swap model and configuration while serving

Start with `mode: shadow` in the configuration, read the decision records, and enforce when the
false positives stay within the budget.

Exit codes: 0 done, 1 failed while running, 2 bad usage or configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    #[command(
        after_help = "Signals: SIGHUP reloads configuration, model and certificates; SIGTERM and SIGINT drain and end.
The admin listener (127.0.0.1:9901 by default) has /-/status, /-/reload, /-/thresholds and /metrics.

Examples:
  weir run --config config/weir.yaml
  weir run --config config/weir.yaml --onnxruntime /opt/onnxruntime/lib
  kill -HUP $(pidof weir)
  curl -X PUT http://127.0.0.1:9901/-/thresholds -d '{\"route\":\"*\",\"block\":\"1/5000\"}'"
    )]
    Run(Start),
    /// Validate a configuration with everything it names, and whether it could be run
    #[command(
        after_help = "Prints every error with line and column and exits with 2, or a summary and exits with 0.
Beside the text of the configuration it tries what a start needs: free addresses, certificates and keys, the bundle
and ONNX Runtime, folders for records and captures, names of upstreams.

Examples:
  weir check --config config/weir.yaml
  weir check --reload --config config/weir.yaml && kill -HUP $(pidof weir)"
    )]
    Check(Check),
    /// Score requests from standard input, one JSON object a line
    #[command(after_help = "Each input line is a request:
  {\"method\",\"uri\",\"headers\":[[name,value],...],\"body\"|\"body_base64\"}
Each output line belongs to the input line of the same number:
  {\"score\",\"verdict\",\"detectors\",\"reason\"} or {\"error\"}
A reason has \"fields\", the most unusual first, and with --explain \"text\", the same in words:
  {\"location\",\"key\",\"score\",\"value\",\"rarity\",\"because\",\"usual\",\"usual_here\",\"would_pass\"}
A score of 3 means that one normal request in a thousand scores this high.

Examples:
  weir score --bundle models/base < requests.jsonl
  weir score --bundle models/base --block 1/5000 --explain < requests.jsonl | jq -r .reason.text
  echo '{\"method\":\"GET\",\"uri\":\"/?q=1%27%20or%201=1--\",\"headers\":[]}' | weir score --bundle models/base --explain")]
    Score(Score),
    /// Print the versions of Weir and of the ONNX Runtime library it finds
    Version(Version),
}

#[derive(Debug, Args)]
struct Start {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// ONNX Runtime's shared library, or its folder
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    start: Start,
    /// For a weir that runs with this configuration: its addresses may be in use
    #[arg(long)]
    reload: bool,
}

#[derive(Debug, Args)]
struct Score {
    /// Directory of the bundle
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Flag budget, such as 1/200, 0.005 or score:2.3; the bundle's by default
    #[arg(long, value_name = "BUDGET")]
    flag: Option<Budget>,
    /// Block budget; the bundle's by default
    #[arg(long, value_name = "BUDGET")]
    block: Option<Budget>,
    /// Explain every request, in words as well (reason.text); otherwise only flagged and blocked ones
    #[arg(long)]
    explain: bool,
    /// ONNX Runtime's shared library, or its folder
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Version {
    /// ONNX Runtime's shared library, or its folder
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

/// Parses the arguments, does what they say, and answers the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout.
            let _closed_output = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let outcome = match cli.command {
        Command::Run(start) => run(start),
        Command::Check(start) => check(start),
        Command::Score(options) => score::score(&options),
        Command::Version(options) => version(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { code, message }) => {
            let mut stderr = std::io::stderr().lock();
            for line in message.lines() {
                let _closed_output = writeln!(stderr, "error: {line}");
            }
            ExitCode::from(code)
        }
    }
}

/// How a command ends that does not end well.
#[derive(Debug)]
struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self {
            code: FAILED,
            message: error.to_string(),
        }
    }

    fn usage(error: impl std::fmt::Display) -> Self {
        Self {
            code: USAGE,
            message: error.to_string(),
        }
    }
}

impl Exit {
    fn start(error: &StartError, file: &Path) -> Self {
        let message = error.located(file);
        match error {
            StartError::Config(_) => Self::usage(message),
            StartError::Build(build) if !build.only_model() => Self::usage(message),
            _ => Self::failed(message),
        }
    }
}

fn run(start: Start) -> Result<(), Exit> {
    // First of all, while there is one thread: it changes the environment.
    let inherited = Inherited::from_environment().map_err(Exit::usage)?;
    let config = app::load(&start.config).map_err(|error| Exit::start(&error, &start.config))?;
    let _log = telemetry::init_tracing(&config.log).map_err(Exit::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Otherwise workers have runtimes of their own, and this one serves the admin listener.
        .worker_threads(if config.per_worker() {
            1
        } else {
            config.workers
        })
        .thread_name("weir-worker")
        // Heavy inspections take `workers` at most; the rest are reloads and name lookups.
        .max_blocking_threads(config.workers + BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(Exit::failed)?;
    let file = start.config.clone();
    let source = Source {
        file: start.config,
        onnxruntime: start.onnxruntime,
    };
    runtime
        .block_on(app::run(config, source, inherited))
        .map_err(|error| Exit::start(&error, &file))?;
    // Inspections that missed their deadline may still be running; they are not waited for.
    runtime.shutdown_background();
    Ok(())
}

fn check(Check { start, reload }: Check) -> Result<(), Exit> {
    let source = Source {
        file: start.config,
        onnxruntime: start.onnxruntime,
    };
    let purpose = if reload {
        Purpose::Reload
    } else {
        Purpose::Start
    };
    // A configuration that cannot start is a bad configuration, whatever the part at fault.
    let snapshot = app::check(&source, purpose).map_err(Exit::usage)?;
    let config = &snapshot.config;
    let mut out = std::io::stdout().lock();
    let bundle = snapshot
        .bundle_id()
        .map_or("none", |id| id.get(..12).unwrap_or(id));
    let mut report = format!(
        "{}: ok\nbundle {bundle}, {} workers\n",
        source.file.display(),
        config.workers
    );
    if let Some(engine) = &snapshot.engine {
        let provider = engine.provider();
        report.push_str(&format!("networks run on {}\n", provider.actual));
        if let Some(why) = &provider.why {
            report.push_str(&format!(
                "warning: model.execution_provider: {} cannot start, {} takes its place: {why}\n",
                provider.requested, provider.actual
            ));
        }
    }
    for route in snapshot.routes.iter() {
        let policy = &route.policy;
        report.push_str(&format!(
            "route {}: host {}, path {}, {}, fail {}, flag {}, block {}, deadline {}\n",
            policy.id,
            policy.host,
            policy.path,
            policy.mode.name(),
            policy.fail.name(),
            route.budgets.flag,
            route.budgets.block,
            format_duration(policy.inspect.deadline),
        ));
        for warning in snapshot.unsupported(&route.budgets) {
            report.push_str(&format!("warning: route {}: {warning}\n", policy.id));
        }
    }
    out.write_all(report.as_bytes()).map_err(Exit::failed)
}

fn version(options: &Version) -> Result<(), Exit> {
    use weir_scoring::ort::Runtime;
    let library = match Runtime::load(options.onnxruntime.as_deref(), None) {
        Ok(runtime) => runtime.path().display().to_string(),
        Err(error) => format!("not usable: {error}"),
    };
    let text = format!(
        "weir {}\nbuilt for {}-{}\nfeature schema {}\nonnxruntime {library}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        weir_features::schema::fingerprint(),
    );
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(Exit::failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn budgets_are_parsed_as_in_the_configuration() {
        let cli = Cli::try_parse_from([
            "weir", "score", "--bundle", "b", "--flag", "1/100", "--block", "score:4",
        ])
        .unwrap();
        assert!(matches!(
            cli.command,
            Command::Score(Score {
                flag: Some(_),
                block: Some(_),
                ..
            })
        ));
        assert!(
            Cli::try_parse_from(["weir", "score", "--bundle", "b", "--flag", "often"]).is_err()
        );
    }
}
