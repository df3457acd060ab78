//! The field network's errors without ONNX Runtime: a second way to the same numbers, for rows that are mostly zeros.
//!
//! What must not be here: residuals and explanations, the request detector, and the choice between the two ways
//! (`engine`). Nor any network but the one that `weir-train` exports: [`Network::read`] refuses all others.
//!
//! Of the 441 columns of a usual row a dozen are not zero. So the first layer adds the weights of those columns to sums
//! that are known ahead. The last layer is as wide as the row, but its output is wanted only for its distance from the
//! row: where `v` is the row and `M h` the output, both divided by sigma, and `M = Q R`,
//!
//! ```text
//! |v - M h|^2 = |v|^2 - 2 (Q'v).(R h) + |R h|^2
//! ```
//!
//! `Q'v` is again a sum over the few columns, and `R` is a triangle no wider than the last hidden layer. What is large on the right
//! and small on the left is summed in 64 bits. Eight rows share each weight that is loaded.

use std::fmt;

use ndarray::ArrayView2;
use pulp::{Arch, Simd, WithSimd};

use crate::gate::{ERROR_OUTPUT, InspectedModel};
use crate::ort::SessionError;

mod columns;
mod dense;
mod fold;
mod memo;
mod read;

use columns::{Columns, Difference, Wide};
use dense::{BLOCK, Block, Dense};
use memo::{Key, Keys, Memo};
pub use read::Unsupported;
use read::Weights;

/// Zeros are passed over by so many columns at a time.
const STRIDE: usize = 16;

/// A field network, ready to run. Shared by all workers.
pub struct Network {
    arch: Arch,
    scaling: Scaling,
    members: Vec<Member>,
    /// The power of the members' product: one over their number.
    root: f32,
    /// Columns of the widest layer between rows and errors.
    widest: usize,
    keys: Keys,
}

/// How a raw value becomes the network's: `clip((x - shift) * scale, low, high)`.
struct Scaling {
    shift: Vec<f32>,
    scale: Vec<f32>,
    low: f32,
    high: f32,
    /// What zeros become.
    zero: Vec<f32>,
}

/// One of the networks that judge together.
struct Member {
    first: Columns,
    first_slope: f32,
    hidden: Vec<(Dense, f32)>,
    /// The triangle.
    last: Dense,
    /// `Q'v`.
    along: Wide,
    /// `|v|^2`.
    square: Square,
}

/// `|v|^2` as a sum over the columns that are not zero.
struct Square {
    zero: f64,
    /// For each column what its difference, and what its difference squared, counts.
    columns: Vec<(f64, f64)>,
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Network")
            .field("columns", &self.width())
            .field("members", &self.members.len())
            .field("arch", &self.arch)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// The network of a model, if this room can run it and the processor has what makes that worth while.
    ///
    /// # Errors
    /// Why ONNX Runtime has to run it.
    pub fn read(model: &InspectedModel) -> Result<Self, Unsupported> {
        let arch = Arch::new();
        if matches!(arch, Arch::Scalar) {
            return Err(Unsupported("the processor has no wide multiply-and-add"));
        }
        Ok(Self::of(arch, &read::weights(model)?))
    }

    fn of(arch: Arch, weights: &Weights) -> Self {
        let scaling = Scaling::of(weights);
        let members: Vec<Member> = weights
            .members
            .iter()
            .map(|layers| fold::member(layers, &scaling.zero))
            .collect();
        let widest = members.iter().map(Member::widest).max().unwrap_or(0);
        Self {
            arch,
            scaling,
            members,
            root: weights.root,
            widest,
            keys: Keys::new(),
        }
    }

    /// Columns of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.scaling.zero.len()
    }

    /// Appends one error for each row of `rows` to `errors`.
    ///
    /// # Errors
    /// When rows have another width or an error is not finite; `errors` is unchanged then.
    pub fn errors(
        &self,
        rows: ArrayView2<'_, f32>,
        workspace: &mut Workspace,
        errors: &mut Vec<f32>,
    ) -> Result<(), SessionError> {
        if rows.ncols() != self.width() {
            return Err(SessionError::Width {
                found: rows.ncols(),
                expected: self.width(),
            });
        }
        let before = errors.len();
        let rows = rows.as_standard_layout();
        workspace.reserve(self.widest);
        self.arch.dispatch(Pass {
            network: self,
            rows: rows.as_slice().unwrap_or_default(),
            workspace,
            errors,
        });
        let all_finite = errors.iter().skip(before).all(|error| error.is_finite());
        if !all_finite {
            errors.truncate(before);
            return Err(SessionError::NotFinite(ERROR_OUTPUT));
        }
        Ok(())
    }
}

impl Scaling {
    fn of(weights: &Weights) -> Self {
        let mut scaling = Self {
            shift: weights.shift.clone(),
            scale: weights.scale.clone(),
            low: weights.low,
            high: weights.high,
            zero: Vec::new(),
        };
        scaling.zero = (0..scaling.shift.len())
            .map(|column| scaling.value(column, 0.0))
            .collect();
        scaling
    }

    #[inline(always)]
    fn value(&self, column: usize, raw: f32) -> f32 {
        let shift = self.shift.get(column).copied().unwrap_or(0.0);
        let scale = self.scale.get(column).copied().unwrap_or(0.0);
        // Not `clamp`, which panics where the bounds are the wrong way round.
        ((raw - shift) * scale).max(self.low).min(self.high)
    }

    /// Where a row differs from the row of zeros, and by how much.
    #[inline(always)]
    fn differences(&self, row: &[f32], differences: &mut Vec<Difference>) {
        differences.clear();
        let (strides, rest) = row.as_chunks::<STRIDE>();
        let rest = (strides.len() * STRIDE, rest);
        let strides = strides.iter().enumerate();
        let strides = strides.map(|(index, stride)| (index * STRIDE, stride.as_slice()));
        for (at, values) in strides.chain([rest]) {
            let bits = values.iter().fold(0, |bits, value| bits | value.to_bits());
            if bits == 0 {
                continue;
            }
            for (column, &raw) in (at..).zip(values) {
                if raw.to_bits() != 0 {
                    let zero = self.zero.get(column).copied().unwrap_or(0.0);
                    let value = self.value(column, raw);
                    // A value that is no number must not pass for one, and `max` and `min` would let it.
                    let value = if raw.is_nan() { raw } else { value };
                    let by = f64::from(value) - f64::from(zero);
                    differences.push(Difference {
                        column: u32::try_from(column).unwrap_or(u32::MAX),
                        value,
                        by,
                    });
                }
            }
        }
    }
}

impl Member {
    fn widest(&self) -> usize {
        let hidden = self.hidden.iter().map(|(layer, _)| layer.outputs());
        let wide = [
            self.first.outputs(),
            self.last.outputs(),
            self.along.outputs(),
        ];
        hidden.chain(wide).max().unwrap_or(0)
    }

    /// The errors of a block of rows, of which `differences` says where they are not zero.
    #[inline(always)]
    fn errors<S: Simd>(
        &self,
        simd: S,
        differences: &[Vec<Difference>],
        buffers: &mut Buffers,
    ) -> [f64; BLOCK] {
        let Buffers { now, next, along } = buffers;
        let rows = differences.len();
        for (row, differences) in now.iter_mut().zip(differences) {
            self.first.sums(simd, differences, self.first_slope, row);
        }
        for (layer, slope) in &self.hidden {
            layer.apply(simd, now, next, rows, *slope);
            std::mem::swap(now, next);
        }
        self.last.apply(simd, now, next, rows, 1.0);
        let mut errors = [0.0; BLOCK];
        for ((error, differences), output) in errors.iter_mut().zip(differences).zip(next.iter()) {
            self.along.sums(simd, differences, along);
            let square = self.square.of(differences);
            *error = square + fold::cross(along, output, self.last.outputs());
        }
        errors
    }
}

impl Square {
    #[inline(always)]
    fn of(&self, differences: &[Difference]) -> f64 {
        differences.iter().fold(self.zero, |sum, difference| {
            let (once, twice) = self
                .columns
                .get(difference.column())
                .copied()
                .unwrap_or_default();
            sum + difference.by * (once + twice * difference.by)
        })
    }
}

/// The reusable memory of a run; one for each worker.
#[derive(Debug, Default)]
pub struct Workspace {
    memo: Memo,
    /// What goes into the key of a row.
    bytes: Vec<u8>,
    /// Of rows that the memo does not know, and of those that it is asked for next.
    differences: [Vec<Difference>; 2 * BLOCK],
    /// Their keys, and where their errors go.
    waiting: [(Key, usize); 2 * BLOCK],
    buffers: Buffers,
}

/// Outputs of layers.
#[derive(Debug, Default)]
struct Buffers {
    now: Block,
    next: Block,
    along: Vec<f64>,
}

impl Workspace {
    /// Whether errors of rows are kept for the next that is the same (1 MiB).
    pub fn remember(&mut self, rows: bool) {
        self.memo.turn(rows);
    }

    fn reserve(&mut self, widest: usize) {
        let Buffers { now, next, along } = &mut self.buffers;
        for row in now.iter_mut().chain(next) {
            if row.len() < widest {
                row.resize(widest, 0.0);
            }
        }
        if along.len() < widest {
            along.resize(widest, 0.0);
        }
    }
}

/// A run over some rows, in the processor's widest instructions.
struct Pass<'a> {
    network: &'a Network,
    rows: &'a [f32],
    workspace: &'a mut Workspace,
    errors: &'a mut Vec<f32>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.network.width().max(1);
        let mut waiting = 0;
        for rows in self.rows.chunks(width * BLOCK) {
            waiting = self.take(rows.chunks_exact(width), waiting);
            if waiting >= BLOCK {
                self.run(simd, BLOCK);
                self.workspace.differences.rotate_left(BLOCK);
                self.workspace.waiting.rotate_left(BLOCK);
                waiting -= BLOCK;
            }
        }
        self.run(simd, waiting);
    }
}

impl Pass<'_> {
    /// Takes what the memo knows of at most [`BLOCK`] rows, and puts the others behind those that wait; returns how many wait
    /// then. All keys are made before the first look-up: so the processor waits for several lines of memory at once.
    #[inline(always)]
    fn take<'r>(&mut self, rows: impl Iterator<Item = &'r [f32]>, before: usize) -> usize {
        let Workspace {
            memo,
            bytes,
            differences,
            waiting,
            ..
        } = self.workspace;
        let mut taken = before;
        let slots = differences.iter_mut().zip(waiting.iter_mut()).skip(before);
        for (row, (differences, waiting)) in rows.zip(slots) {
            self.network.scaling.differences(row, differences);
            let key = match memo.is_on() {
                true => self.network.keys.of(differences, bytes),
                false => Key::default(),
            };
            *waiting = (key, self.errors.len());
            self.errors.push(f32::NAN);
            taken += 1;
        }
        if !memo.is_on() {
            return taken;
        }
        let mut waits = before;
        for slot in before..taken {
            let known = waiting.get(slot).and_then(|(key, at)| {
                let error = self.errors.get_mut(*at)?;
                *error = memo.get(*key)?;
                Some(())
            });
            if known.is_none() {
                differences.swap(waits, slot);
                waiting.swap(waits, slot);
                waits += 1;
            }
        }
        waits
    }

    /// Errors of the rows that wait in the block.
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S, block: usize) {
        let Workspace {
            memo,
            differences,
            waiting,
            buffers,
            ..
        } = self.workspace;
        let differences = differences.get(..block).unwrap_or_default();
        if differences.is_empty() {
            return;
        }
        let mut products = [1.0_f32; BLOCK];
        for member in &self.network.members {
            let errors = member.errors(simd, differences, buffers);
            for (product, error) in products.iter_mut().zip(errors) {
                *product *= to_f32(error);
            }
        }
        for ((key, at), product) in waiting.iter().take(block).zip(products) {
            let found = product.powf(self.network.root);
            if found.is_finite() {
                memo.insert(*key, found);
            }
            if let Some(error) = self.errors.get_mut(*at) {
                *error = found;
            }
        }
    }
}

/// An error as ONNX Runtime has it. What rounding leaves of zero may lie below it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "rounds")]
fn to_f32(error: f64) -> f32 {
    if error < 0.0 { 0.0 } else { error as f32 }
}

#[cfg(test)]
mod tests;
