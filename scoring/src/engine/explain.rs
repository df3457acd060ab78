//! The measurements that a reason needs. Not here: its words, and the arithmetic of influence.

use ndarray::Array2;
use weir_features::profile::Endpoint;
use weir_features::{FIELD_WIDTH, Field, Marks, RequestVector};

use super::fields::{Buffers, Known, first_rows};
use super::top::Top;
use super::{Engine, ScoreError, Slot, single_row};
use crate::budget::Score;
use crate::reason::attribution::Ablation;
use crate::reason::{self, Context, Explanation, FieldReason, NOTABLE, SecretKeys, Site};

impl Engine {
    /// Explains the most unusual fields in two runs: one that measures what each part of their rows is worth, one that
    /// scores their values without the part that is marked.
    pub(super) fn explain_fields(
        &self,
        slot: &mut Slot,
        known: Known<'_>,
        top: &Top,
        buffers: Buffers<'_>,
        secrets: &SecretKeys,
    ) -> Result<Vec<FieldReason>, ScoreError> {
        let Buffers { rows, errors, .. } = buffers;
        let context = Context {
            extractor: self.extractor,
            manifest: &self.manifest,
            baseline: &self.baseline,
            secrets,
        };
        let tail = &self.manifest.calibration.field;
        let found: Vec<(Field<'_>, Score)> = top
            .iter()
            .filter_map(|best| Some((known.fields.get(best.field)?, tail.score(best.value))))
            .enumerate()
            .filter(|(rank, (_, score))| *rank == 0 || score.value() >= NOTABLE)
            .map(|(_, found)| found)
            .collect();
        let found = once_each(found);
        if let Some((field, score)) = found.first()
            && score.value() < NOTABLE
        {
            return Ok(vec![reason::ordinary(field, *score, &context)]);
        }
        let originals: Vec<Vec<f32>> = found
            .iter()
            .map(|(field, _)| self.row(field, known.endpoint).0)
            .collect();
        let ablations: Vec<Ablation<'_>> = originals
            .iter()
            .map(|row| Ablation::of(row, &self.baseline))
            .collect();
        let variants = ablations.iter().flat_map(Ablation::rows);
        run(slot, rows, errors, variants)?;
        let mut measured = errors.as_slice();
        let mut explanations = Vec::with_capacity(found.len());
        let site = |field: &Field<'_>| Site::of(known.endpoint?, field, known.fields, secrets);
        for ((found, row), ablation) in found.into_iter().zip(&originals).zip(&ablations) {
            let (own, others) = measured
                .split_at_checked(ablation.len())
                .unwrap_or_default();
            measured = others;
            let influences = ablation.influences(own);
            let site = site(&found.0);
            explanations.push(Explanation::new(found, row, &influences, site, &context));
        }
        self.tell(slot, rows, errors, explanations, known.endpoint, &context)
    }

    fn tell(
        &self,
        slot: &mut Slot,
        rows: &mut Array2<f32>,
        errors: &mut Vec<f32>,
        explanations: Vec<Explanation<'_>>,
        endpoint: Option<&Endpoint<'_>>,
        context: &Context<'_>,
    ) -> Result<Vec<FieldReason>, ScoreError> {
        let without: Vec<Option<Vec<u8>>> =
            explanations.iter().map(Explanation::without_mark).collect();
        let (cut, profiled): (Vec<Vec<f32>>, Vec<bool>) = explanations
            .iter()
            .zip(&without)
            .filter_map(|(explanation, value)| {
                let value = value.as_deref()?;
                let field = Field {
                    value,
                    ..explanation.field()
                };
                Some(self.row(&field, endpoint))
            })
            .unzip();
        run(slot, rows, errors, cut.into_iter())?;
        let mut errors = errors.iter().zip(profiled);
        let calibration = &self.manifest.calibration;
        let reasons = explanations
            .into_iter()
            .zip(&without)
            .map(|(explanation, without)| {
                let error = without.as_ref().and_then(|_| errors.next());
                let location = explanation.field().location;
                let scaled = error.map(|(error, profiled)| {
                    calibration.locations.scaled(location, profiled, *error)
                });
                let without = scaled.map(|value| calibration.field.score(value));
                explanation.reason(without, context)
            });
        Ok(reasons.collect())
    }

    fn row(&self, field: &Field<'_>, endpoint: Option<&Endpoint<'_>>) -> (Vec<f32>, bool) {
        let mut row = vec![0.0; FIELD_WIDTH];
        let profiled = self.write_row(field, endpoint, &mut row);
        (row, profiled)
    }

    pub(super) fn explain_request(
        &self,
        slot: &mut Slot,
        vector: Option<&RequestVector>,
    ) -> Result<Option<reason::RequestReason>, ScoreError> {
        let (Some(session), Some(vector), Some(tail)) = (
            &mut slot.request,
            self.vector(vector),
            &self.manifest.calibration.request,
        ) else {
            return Ok(None);
        };
        let outputs = session
            .residuals(single_row(&vector))
            .map_err(ScoreError::request)?;
        let score = outputs
            .errors
            .first()
            .map_or(Score::ZERO, |error| tail.score(*error));
        if score.value() < NOTABLE {
            return Ok(None);
        }
        let residuals = outputs.residuals.as_slice().unwrap_or_default();
        Ok(Some(reason::explain_request(score, &vector, residuals)))
    }
}

/// Of the windows of one long value the most unusual one is enough.
fn once_each(mut found: Vec<(Field<'_>, Score)>) -> Vec<(Field<'_>, Score)> {
    let mut seen = Vec::new();
    found.retain(|(field, _)| {
        let place = (field.location, field.key);
        let is_window = field.marks.contains(Marks::WINDOW);
        let again = is_window && seen.contains(&place);
        seen.push(place);
        !again
    });
    found
}

/// The errors of `variants`, which are at most a matrix full.
fn run(
    slot: &mut Slot,
    rows: &mut Array2<f32>,
    errors: &mut Vec<f32>,
    variants: impl Iterator<Item = Vec<f32>>,
) -> Result<(), ScoreError> {
    let mut count = 0;
    for (mut row, variant) in rows.rows_mut().into_iter().zip(variants) {
        row.iter_mut()
            .zip(variant)
            .for_each(|(to, from)| *to = from);
        count += 1;
    }
    errors.clear();
    slot.field
        .errors(first_rows(rows, count), errors)
        .map_err(ScoreError::field)
}
