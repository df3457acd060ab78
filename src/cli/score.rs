//! `weir score`: requests in, scores out, line by line.
//!
//! Not here: how a request is scored. A line that is no request is answered by an error in its place, so that the
//! output stays in step with the input.

use std::io::{self, BufRead, Write};

use serde::Serialize;
use serde_json::json;
use weir_features::profile::NewEndpoints;
use weir_features::{ClientWindows, RequestContext, RequestVector};
use weir_scoring::budget::{Budgets, Score, Scores, Verdict, verdict};
use weir_scoring::engine::{Engine, EngineOptions, EngineScratch, NoExceptions, Subject, Visit};
use weir_scoring::ort::ExecutionProvider;
use weir_scoring::reason::{Reason, SecretKeys};
use weir_scoring::record::{MAX_LINE, RequestRecord};

use super::Exit;
use crate::detect::is_found;
use crate::runtime::{model, new_endpoints};
use crate::units::ClientIp;

/// Clients whose windows are kept; a file names fewer.
const CLIENTS: usize = 100_000;

pub(super) fn score(options: &super::Score) -> Result<(), Exit> {
    let engine_options = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cpu,
    };
    let engine = model::load_from(
        &options.bundle,
        options.onnxruntime.as_deref(),
        None,
        &engine_options,
    )
    .map_err(Exit::failed)?;
    let defaults = engine.manifest().budgets;
    let budgets = Budgets::new(
        options.flag.unwrap_or(defaults.flag),
        options.block.unwrap_or(defaults.block),
    )
    .map_err(Exit::usage)?;
    for warning in budgets.unsupported(engine.manifest().smallest_budget) {
        let _closed_output = writeln!(io::stderr(), "warning: {warning}");
    }
    let mut scorer = Scorer {
        engine,
        budgets,
        explain: options.explain,
        windows: ClientWindows::new(CLIENTS),
        new_endpoints: new_endpoints(),
        scratch: EngineScratch::default(),
        secrets: SecretKeys::default(),
    };
    match scorer.run(io::stdin().lock(), io::stdout().lock()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(Exit::failed),
    }
}

struct Scorer {
    engine: Engine,
    budgets: Budgets,
    explain: bool,
    windows: ClientWindows,
    new_endpoints: NewEndpoints,
    scratch: EngineScratch,
    secrets: SecretKeys,
}

#[derive(Serialize)]
struct Answer {
    score: Score,
    verdict: Verdict,
    detectors: Detectors,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Explained>,
}

#[derive(Serialize)]
struct Detectors {
    field: Score,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Score>,
}

#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Scorer {
    fn run(&mut self, mut input: impl BufRead, output: impl Write) -> io::Result<()> {
        let mut output = io::BufWriter::new(output);
        let mut line = Vec::new();
        while let Some(fits) = read_line(&mut input, &mut line)? {
            let answer = if fits {
                self.answer(&line)
            } else {
                Err(format!("the line is longer than {MAX_LINE} bytes"))
            };
            match answer {
                Ok(answer) => serde_json::to_writer(&mut output, &answer)?,
                Err(error) => serde_json::to_writer(&mut output, &json!({ "error": error }))?,
            }
            output.write_all(b"\n")?;
        }
        output.flush()
    }

    fn answer(&mut self, line: &[u8]) -> Result<Answer, String> {
        let record = RequestRecord::parse(line).map_err(|error| error.to_string())?;
        let request = record.to_request().map_err(|error| error.to_string())?;
        request.with_view(|view| {
            let visitor = Visitor::of(&record);
            let vector = visitor.map(|visitor| visitor.vector(&self.windows, &record, view));
            let subject = Subject {
                vector: vector.as_ref(),
                visit: visitor.map(|visitor| Visit {
                    client: visitor.client.visitor(),
                    time: visitor.time,
                    new_endpoints: &self.new_endpoints,
                }),
                ..Subject::of(view)
            };
            let failed = |error: weir_scoring::engine::ScoreError| error.to_string();
            let assessment = self
                .engine
                .score(0, &subject, &NoExceptions, &mut self.scratch)
                .map_err(failed)?;
            if let (Some(visitor), Some(path), Some(status)) =
                (visitor, assessment.new_path, record.status)
            {
                let client = visitor.client.visitor();
                self.new_endpoints.answered(path, client, is_found(status));
            }
            let Scores {
                combined,
                field,
                request,
                ..
            } = assessment.scores;
            let verdict = verdict(&assessment.scores, &self.budgets);
            let reason = if self.explain || verdict != Verdict::Pass {
                let reason = self
                    .engine
                    .explain(0, &subject, &NoExceptions, &mut self.scratch, &self.secrets)
                    .map_err(failed)?;
                let text = self.explain.then(|| reason.to_text());
                Some(Explained { reason, text })
            } else {
                None
            };
            Ok(Answer {
                score: combined,
                verdict,
                detectors: Detectors { field, request },
                reason,
            })
        })
    }
}

/// Who asked and when, for records that say so.
#[derive(Clone, Copy)]
struct Visitor {
    client: ClientIp,
    time: f64,
}

impl Visitor {
    fn of(record: &RequestRecord) -> Option<Self> {
        Some(Self {
            client: ClientIp::new(record.client.as_ref()?.parse().ok()?),
            time: record.time.as_ref()?.seconds(),
        })
    }

    /// The request vector. Responses feed the windows as they did live.
    fn vector(
        self,
        windows: &ClientWindows,
        record: &RequestRecord,
        view: &weir_features::RequestView<'_>,
    ) -> RequestVector {
        let Self { client, time } = self;
        let context = RequestContext {
            client: client.key(),
            time,
            private_address: client.is_private(),
            country: None,
        };
        let vector = windows.request(view, &context);
        if let Some(status) = record.status {
            windows.response(
                client.key(),
                time,
                status,
                record.response_bytes.unwrap_or(0),
            );
        }
        vector
    }
}

/// Reads a line without its end: `Some(false)` for one that is too long and was skipped, `None` at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut any = false;
    let mut fits = true;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any.then_some(fits));
        }
        any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(buffer);
        if line.len() + part.len() > MAX_LINE {
            fits = false;
        }
        if fits {
            line.extend_from_slice(part);
        }
        let used = end.map_or(buffer.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(fits));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::test_bundle::{self, ATTACK, ORDINARY};

    #[test]
    fn every_line_has_its_answer_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("bundle");
        test_bundle::publish(&bundle);
        let options = EngineOptions {
            workers: 1,
            provider: ExecutionProvider::Cpu,
        };
        let mut scorer = Scorer {
            engine: model::load_from(&bundle, None, None, &options).unwrap(),
            budgets: Budgets::default(),
            explain: false,
            windows: ClientWindows::new(10),
            new_endpoints: new_endpoints(),
            scratch: EngineScratch::default(),
            secrets: SecretKeys::default(),
        };
        let line = |uri: &str| json!({ "method": "GET", "uri": uri, "headers": [] }).to_string();
        let input = format!(
            "{}\nnot json\n\n{}\n{}",
            line(ORDINARY),
            line(ATTACK),
            line("/")
        );
        let mut output = Vec::new();
        scorer.run(input.as_bytes(), &mut output).unwrap();
        let answers: Vec<serde_json::Value> = output
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(answers.len(), 5, "{answers:?}");
        assert_eq!(answers[0]["verdict"], "pass", "{}", answers[0]);
        assert!(answers[1]["error"].is_string() && answers[2]["error"].is_string());
        assert_eq!(answers[3]["verdict"], "block", "{}", answers[3]);
        assert!(answers[3]["reason"]["fields"][0]["location"].is_string());
        assert!(answers[3]["reason"]["text"].is_null() && answers[0]["reason"].is_null());
        assert_eq!(answers[4]["verdict"], "pass");
    }

    #[test]
    fn a_line_over_the_limit_is_one_error_and_the_next_line_is_read() {
        let mut input = vec![b'x'; MAX_LINE + 1];
        input.extend_from_slice(b"\nshort\n");
        let (mut input, mut line) = (input.as_slice(), Vec::new());
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(false));
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(true));
        assert_eq!(line, b"short");
        assert_eq!(read_line(&mut input, &mut line).unwrap(), None);
    }
}
