//! Fields to their largest errors: what is known is looked up, the rows of all others run through the network.
//!
//! Not here: what becomes of the errors of a request, and the request detector.

use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis, Slice};
use weir_features::profile::{Endpoint, PROFILE_WIDTH};
use weir_features::schema::PROFILE_AT;
use weir_features::{Field, Fields, Location, Marks};

use super::assessment::{Asked, CacheUse, FieldFilter, ScoreError, Timings, Waiting};
use super::top::Top;
use super::{CHUNK_ROWS, Engine, LOOK_UPS, LazySlot};
use crate::sparse::Workspace;

impl Engine {
    /// Scores every field that is not excepted and means something. What has happened since the moment of `timings` counts as
    /// extraction.
    pub(super) fn score_fields(
        &self,
        slot: &mut LazySlot<'_>,
        runs: Runs,
        known: Known<'_>,
        filter: &dyn FieldFilter,
        mut buffers: Buffers<'_>,
        (mut before, timings): (Instant, &mut Timings),
    ) -> Result<Scored, ScoreError> {
        let mut scored = Scored::default();
        let mut pending =
            known.fields.iter().enumerate().filter(|(_, field)| {
                !is_opaque(field) && !filter.excepted(field.location, field.key)
            });
        loop {
            self.fill(known, &mut pending, &mut buffers, &mut scored);
            let filled = Instant::now();
            timings.extract += filled - before;
            if buffers.waiting.is_empty() {
                return Ok(scored);
            }
            self.errors(slot, runs, &mut buffers)?;
            self.take(known, &buffers, &mut scored);
            before = Instant::now();
            timings.score += before - filled;
            if buffers.waiting.len() < CHUNK_ROWS {
                return Ok(scored);
            }
        }
    }

    /// Takes fields until the matrix is full of rows of those that are not known.
    fn fill<'f>(
        &self,
        known: Known<'_>,
        pending: &mut impl Iterator<Item = (usize, Field<'f>)>,
        buffers: &mut Buffers<'_>,
        scored: &mut Scored,
    ) {
        let Buffers {
            rows,
            waiting,
            asked,
            ..
        } = buffers;
        waiting.clear();
        let mut free = rows.rows_mut().into_iter();
        while free.len() > 0 {
            // Each may need a row.
            let next = pending.take(free.len().min(LOOK_UPS));
            self.ask(known, next.map(|(field, _)| field), asked);
            if asked.is_empty() {
                return;
            }
            for &Asked { field, key, found } in asked.iter() {
                if let Some(value) = found {
                    scored.cache.hits += 1;
                    scored.top.offer(field, value);
                } else if let Some(content) = known.fields.get(field)
                    && let Some(mut row) = free.next()
                    && let Some(row) = row.as_slice_mut()
                {
                    let profiled = self.write_row(&content, known.endpoint, row);
                    waiting.push(Waiting {
                        field,
                        profiled,
                        key,
                    });
                }
            }
        }
    }

    /// Asks the cache for the scores of some fields. All keys are made before the first look-up: so the processor waits for
    /// several lines of memory at once.
    fn ask(&self, known: Known<'_>, fields: impl Iterator<Item = usize>, asked: &mut Vec<Asked>) {
        let memory = self.memory.as_ref();
        asked.clear();
        asked.extend(fields.map(|field| Asked {
            field,
            key: memory.map(|memory| memory.key(known.fields, field, known.endpoint)),
            found: None,
        }));
        for asked in asked {
            asked.found = memory
                .zip(asked.key)
                .and_then(|(memory, key)| memory.get(key));
        }
    }

    /// Errors of the rows that wait.
    fn errors(
        &self,
        slot: &mut LazySlot<'_>,
        runs: Runs,
        buffers: &mut Buffers<'_>,
    ) -> Result<(), ScoreError> {
        let Buffers {
            rows,
            errors,
            waiting,
            workspace,
            ..
        } = buffers;
        errors.clear();
        if let (Runs::Shared { deadline }, Some(batches)) = (runs, &self.batches) {
            return batches.score(rows, waiting.len(), errors, deadline);
        }
        let chunk = first_rows(rows, waiting.len());
        let outcome = match &self.sparse {
            Some(network) => {
                workspace.remember(self.memory.is_some());
                network.errors(chunk, workspace, errors)
            }
            None => slot.get().field.errors(chunk, errors),
        };
        outcome.map_err(ScoreError::field)
    }

    /// Takes the errors of the rows that waited.
    fn take(&self, known: Known<'_>, buffers: &Buffers<'_>, scored: &mut Scored) {
        let locations = &self.manifest.calibration.locations;
        for (waiting, &error) in buffers.waiting.iter().zip(buffers.errors.iter()) {
            let Some(field) = known.fields.get(waiting.field) else {
                continue;
            };
            let value = locations.scaled(field.location, waiting.profiled, error);
            scored.top.offer(waiting.field, value);
            if let Some((memory, key)) = self.memory.as_ref().zip(waiting.key) {
                scored.cache.misses += 1;
                scored.cache.evictions += usize::from(memory.insert(key, value));
            }
        }
        scored.rows += buffers.waiting.len();
    }

    /// Writes the row of a field; true when the site's profile has a say in it.
    pub(super) fn write_row(
        &self,
        field: &Field<'_>,
        endpoint: Option<&Endpoint<'_>>,
        row: &mut [f32],
    ) -> bool {
        self.extractor.row(field, row);
        match (
            endpoint,
            row.get_mut(PROFILE_AT..PROFILE_AT + PROFILE_WIDTH),
        ) {
            (Some(endpoint), Some(columns)) => endpoint.write(field, columns),
            _ => false,
        }
    }
}

/// A request as far as it is known: its fields, and the place that it goes to.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) fields: &'a Fields<'a>,
    pub(super) endpoint: Option<&'a Endpoint<'a>>,
}

/// Whose rows a run may have.
#[derive(Clone, Copy)]
pub(super) enum Runs {
    /// One request's.
    Own,
    /// Also other requests', where the engine has batches.
    Shared { deadline: Option<Instant> },
}

/// What the fields of a request scored.
#[derive(Default)]
pub(super) struct Scored {
    pub(super) top: Top,
    pub(super) rows: usize,
    pub(super) cache: CacheUse,
}

pub(super) struct Buffers<'s> {
    pub(super) rows: &'s mut Array2<f32>,
    pub(super) errors: &'s mut Vec<f32>,
    /// What the rows are of, in their order.
    pub(super) waiting: &'s mut Vec<Waiting>,
    /// Those whose scores are looked up together.
    pub(super) asked: &'s mut Vec<Asked>,
    pub(super) workspace: &'s mut Workspace,
}

impl Buffers<'_> {
    pub(super) fn reborrow(&mut self) -> Buffers<'_> {
        Buffers {
            rows: self.rows,
            errors: self.errors,
            waiting: self.waiting,
            asked: self.asked,
            workspace: self.workspace,
        }
    }
}

/// Whether a field is a window of a file's bytes: what they look like as text is chance, and in a long file some of it
/// looks like anything. Scripts in it are fields of their own, without this mark.
fn is_opaque(field: &Field<'_>) -> bool {
    field.location == Location::RawBody && field.marks.contains(Marks::BINARY)
}

pub(super) fn first_rows(rows: &Array2<f32>, count: usize) -> ArrayView2<'_, f32> {
    rows.slice_axis(Axis(0), Slice::from(..count))
}
