//! Layers that multiply everything with everything, for eight rows at a time. Not here: layers that see mostly zeros (`columns`).

use pulp::Simd;

use super::columns::Aligned;

/// Rows that share each weight that is loaded.
pub(super) const BLOCK: usize = 8;
/// Rows that share them where there are fewer, or too few registers for the sums of more.
const HALF: usize = 4;
/// Registers that hold the sums of a block.
const REGISTERS: usize = 32;
/// Outputs that belong together in memory.
const TILE: usize = 32;
/// Vectors of each row whose sums are under way at a time. With four rows, eight sums: as many as can begin before the
/// first is done.
const GROUP: usize = 2;
/// Inputs that are gone through together, so that bounds are checked once for all of them.
const RUN: usize = 16;

/// A value of each row's for each input or output.
pub(super) type Block = [Vec<f32>; BLOCK];

/// A layer without what makes it non-linear.
pub(super) struct Dense {
    tiles: Vec<Tile>,
}

struct Tile {
    bias: [f32; TILE],
    /// The first run of inputs that any of these outputs depends on.
    first: usize,
    /// For each input from there on; of those that fill the last run up, none.
    weights: Vec<Aligned<[[f32; TILE]; RUN]>>,
}

impl Dense {
    /// A layer of so many inputs and as many outputs as `bias` has, whose weights are `weight(input, output)`.
    #[expect(clippy::cast_possible_truncation, reason = "rounds")]
    pub(super) fn new(inputs: usize, bias: &[f64], weight: impl Fn(usize, usize) -> f64) -> Self {
        let outputs = bias.len();
        let tile = |from: usize| {
            let fill = |value: &dyn Fn(usize) -> f64| {
                let mut tile = [0.0; TILE];
                for (to, output) in tile.iter_mut().zip(from..outputs) {
                    *to = value(output) as f32;
                }
                tile
            };
            let input = |input| match input < inputs {
                true => fill(&|output| weight(input, output)),
                false => [0.0; TILE],
            };
            let runs = (0..inputs).step_by(RUN);
            let runs: Vec<[_; RUN]> = runs
                .map(|from| std::array::from_fn(|at| input(from + at)))
                .collect();
            let first = runs.iter().position(|run| *run != [[0.0; TILE]; RUN]);
            let first = first.unwrap_or(runs.len());
            Tile {
                bias: fill(&|output| bias.get(output).copied().unwrap_or(0.0)),
                first,
                weights: runs.into_iter().skip(first).map(Aligned).collect(),
            }
        };
        Self {
            tiles: (0..outputs).step_by(TILE).map(tile).collect(),
        }
    }

    /// Outputs of a row, those that fill the last tile up included.
    pub(super) fn outputs(&self) -> usize {
        self.tiles.len() * TILE
    }

    /// The outputs of the first `rows` rows of a block, after a `LeakyRelu` of this slope (1 is none).
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        simd: S,
        inputs: &Block,
        outputs: &mut Block,
        rows: usize,
        slope: f32,
    ) {
        if S::REGISTER_COUNT >= REGISTERS && rows > HALF {
            self.apply_to(simd, inputs, outputs, slope);
            return;
        }
        let inputs = inputs.as_chunks::<HALF>().0;
        let outputs = outputs.as_chunks_mut::<HALF>().0;
        let halves = inputs.iter().zip(outputs);
        for (inputs, outputs) in halves.take(rows.div_ceil(HALF)) {
            self.apply_to(simd, inputs, outputs, slope);
        }
    }

    #[inline(always)]
    fn apply_to<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        inputs: &[Vec<f32>; ROWS],
        outputs: &mut [Vec<f32>; ROWS],
        slope: f32,
    ) {
        for (at, tile) in self.tiles.iter().enumerate() {
            let inputs = inputs.each_ref().map(|row| {
                let runs = row.as_chunks::<RUN>().0;
                runs.get(tile.first..).unwrap_or_default()
            });
            let mut outputs = outputs.each_mut().map(|row| {
                let tile = row.as_chunks_mut::<TILE>().0.get_mut(at);
                tile.map_or(&mut [] as &mut [f32], |tile| tile.as_mut_slice())
            });
            for group in 0..TILE / (GROUP * S::F32_LANES) {
                let sums = tile.sums(simd, group, inputs);
                for (output, mut sums) in outputs.iter_mut().zip(sums) {
                    leaky(simd, &mut sums, slope);
                    let groups = S::as_mut_simd_f32s(output).0.as_chunks_mut::<GROUP>().0;
                    if let Some(output) = groups.get_mut(group) {
                        *output = sums;
                    }
                }
            }
        }
    }
}

impl Tile {
    #[inline(always)]
    fn sums<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        group: usize,
        inputs: [&[[f32; RUN]]; ROWS],
    ) -> [[S::f32s; GROUP]; ROWS] {
        let mut sums = [vectors(simd, &self.bias, group); ROWS];
        for (at, Aligned(weights)) in self.weights.iter().enumerate() {
            let inputs = inputs.map(|row| row.get(at).unwrap_or(&[0.0; RUN]));
            for (at, weights) in weights.iter().enumerate() {
                let weights = vectors(simd, weights, group);
                for (sums, row) in sums.iter_mut().zip(inputs) {
                    let input = simd.splat_f32s(row.get(at).copied().unwrap_or(0.0));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = simd.mul_add_f32s(weight, input, *sum);
                    }
                }
            }
        }
        sums
    }
}

#[inline(always)]
fn vectors<S: Simd>(simd: S, tile: &[f32; TILE], group: usize) -> [S::f32s; GROUP] {
    let groups = S::as_simd_f32s(tile).0.as_chunks::<GROUP>().0;
    match groups.get(group) {
        Some(vectors) => *vectors,
        None => [simd.splat_f32s(0.0); GROUP],
    }
}

/// `LeakyRelu`, for slopes between 0 and 1. A loop and no closure: what takes one is compiled without the processor's
/// widest instructions, and calls a function for each of them.
#[inline(always)]
pub(super) fn leaky<S: Simd>(simd: S, values: &mut [S::f32s], slope: f32) {
    let slope = simd.splat_f32s(slope);
    for value in values {
        // In this order: of a number and what is none, x86 takes the second.
        *value = simd.max_f32s(simd.mul_f32s(*value, slope), *value);
    }
}
