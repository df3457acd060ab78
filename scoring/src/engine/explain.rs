//! The measurements that a reason needs. Not here: its words.

use ndarray::Array2;
use weir_features::{Field, Fields, RequestVector};

use super::top::Top;
use super::{Engine, ScoreError, Slot, first_rows, single_row};
use crate::budget::Score;
use crate::reason::{self, FieldReason, Measured, NOTABLE, SecretKeys};

impl Engine {
    pub(super) fn explain_fields(
        &self,
        slot: &mut Slot,
        fields: &Fields<'_>,
        top: &Top,
        rows: &mut Array2<f32>,
        secrets: &SecretKeys,
    ) -> Result<Vec<FieldReason>, ScoreError> {
        let found: Vec<Field<'_>> = top
            .iter()
            .filter_map(|best| fields.get(best.field))
            .collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // Each field twice: as it is, and without the part that will be marked.
        let without: Vec<Option<Vec<u8>>> =
            found.iter().map(|field| self.without_mark(field)).collect();
        let count = found.len();
        let cut = found.iter().zip(&without).map(|(field, without)| Field {
            value: without.as_deref().unwrap_or(field.value),
            ..*field
        });
        for (mut row, field) in rows
            .rows_mut()
            .into_iter()
            .zip(found.iter().copied().chain(cut))
        {
            if let Some(row) = row.as_slice_mut() {
                self.extractor.row(&field, row);
            }
        }
        let rows = first_rows(rows, 2 * count);
        let outputs = slot.field.residuals(rows).map_err(ScoreError::field)?;
        let calibration = &self.manifest.calibration;
        let score = |row: usize, field: &Field<'_>| {
            let error = outputs.errors.get(row).copied().unwrap_or(0.0);
            calibration
                .field
                .score(calibration.locations.scaled(field.location, error))
        };
        let reasons = found
            .iter()
            .zip(&without)
            .enumerate()
            .map(|(row, (field, without))| {
                let measured = Measured {
                    field: *field,
                    row: rows.row(row).to_slice().unwrap_or_default(),
                    residuals: outputs.residuals.row(row).to_slice().unwrap_or_default(),
                    score: score(row, field),
                    without_mark: without.as_ref().map(|_| score(count + row, field)),
                };
                reason::explain_field(self.extractor, &self.manifest, secrets, &measured)
            });
        let notable =
            |(rank, reason): &(usize, FieldReason)| *rank == 0 || reason.score.value() >= NOTABLE;
        Ok(reasons
            .enumerate()
            .filter(notable)
            .map(|(_, reason)| reason)
            .collect())
    }

    /// The value without the part that a reason marks.
    fn without_mark(&self, field: &Field<'_>) -> Option<Vec<u8>> {
        let mark = reason::marked_part(field.value, &self.extractor.evidence(field.value))?;
        let mut value = field.value.to_vec();
        value.drain(mark);
        Some(value)
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
