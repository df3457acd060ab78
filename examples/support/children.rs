//! The programs that the demo and the measurements start: found beside them, started with their output in a file, and ended whatever happens.
//!
//! Only processes started here are ever ended, by their own handles.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// For a proxy that drains: then it is killed.
const GRACE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a child's output shown when it fails.
const LAST_LINES: usize = 15;

/// A child process that does not outlive this value.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    output: PathBuf,
}

impl Program {
    pub(crate) fn start(name: &'static str, mut command: Command, output: PathBuf) -> Result<Self> {
        let file =
            File::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
        let errors = file.try_clone().context("cannot share an output file")?;
        let child = command
            // A group of its own: Ctrl-C reaches the demo alone, which then ends its children in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self {
            name,
            child,
            output,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask for {}", self.name))
    }

    /// Fails with the program's last words if it has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            Some(status) => bail!(
                "{} ended early ({status}). Its last words:\n{}",
                self.name,
                self.last_words()
            ),
            None => Ok(()),
        }
    }

    /// Waits for the end without blocking the thread.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "{} failed ({status}). Its last words:\n{}",
                    self.name,
                    self.last_words()
                ),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    pub(crate) fn last_words(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines
            .iter()
            .skip(from)
            .map(|line| format!("    {line}\n"))
            .collect()
    }

    /// Asks the program to end, as an operator would, and insists after a while. Returns how it ended, `None` when it had
    /// to be killed.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        // The standard library can only kill; the shell's `kill` asks politely. The id is that of a child not yet waited
        // for, so it cannot have become somebody else's.
        let asked = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.id())])
            .stderr(Stdio::null())
            .status();
        let until = Instant::now() + GRACE;
        while asked.as_ref().is_ok_and(ExitStatus::success) && Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `given`, or the program of that name where cargo puts it: beside this one or one level up (examples/).
pub(crate) fn find(name: &str, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().context("cannot find this program's own path")?;
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!("`{name}` is not built; run `make build`, or name it with --{name} PATH")
    })
}
