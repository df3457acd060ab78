//! Layers that multiply everything with everything, for four rows at a time. Not here: layers that see mostly zeros (`columns`).

use pulp::Simd;

/// Rows that share each weight that is loaded.
pub(super) const BLOCK: usize = 4;
/// Outputs that belong together in memory.
const TILE: usize = 32;
/// Vectors of each row whose sums are under way at a time. With four rows, eight sums: as many as can begin before the
/// first is done, and no more than there are registers.
const GROUP: usize = 2;

/// A value of each row's for each input or output.
pub(super) type Block = [Vec<f32>; BLOCK];

/// A layer without what makes it non-linear.
pub(super) struct Dense {
    tiles: Vec<Tile>,
}

struct Tile {
    bias: [f32; TILE],
    /// The first input that any of these outputs depends on.
    first: usize,
    /// For each input from there on.
    weights: Vec<[f32; TILE]>,
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
            let all: Vec<[f32; TILE]> = (0..inputs)
                .map(|input| fill(&|output| weight(input, output)))
                .collect();
            let first = all.iter().position(|weights| *weights != [0.0; TILE]);
            let first = first.unwrap_or(inputs);
            Tile {
                bias: fill(&|output| bias.get(output).copied().unwrap_or(0.0)),
                first,
                weights: all.into_iter().skip(first).collect(),
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

    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, simd: S, inputs: &Block, outputs: &mut Block) {
        for (at, tile) in self.tiles.iter().enumerate() {
            let inputs = inputs
                .each_ref()
                .map(|row| row.get(tile.first..).unwrap_or_default());
            let mut outputs = outputs.each_mut().map(|row| {
                let tile = row.as_chunks_mut::<TILE>().0.get_mut(at);
                tile.map_or(&mut [] as &mut [f32], |tile| tile.as_mut_slice())
            });
            for group in 0..TILE / (GROUP * S::F32_LANES) {
                let sums = tile.sums(simd, group, inputs);
                for (output, sums) in outputs.iter_mut().zip(sums) {
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
    fn sums<S: Simd>(
        &self,
        simd: S,
        group: usize,
        [one, two, three, four]: [&[f32]; BLOCK],
    ) -> [[S::f32s; GROUP]; BLOCK] {
        let bias = vectors(simd, &self.bias, group);
        let [mut first, mut second, mut third, mut fourth] = [bias; BLOCK];
        let inputs = one.iter().zip(two).zip(three).zip(four);
        for (weights, (((one, two), three), four)) in self.weights.iter().zip(inputs) {
            let weights = vectors(simd, weights, group);
            add(simd, &mut first, weights, *one);
            add(simd, &mut second, weights, *two);
            add(simd, &mut third, weights, *three);
            add(simd, &mut fourth, weights, *four);
        }
        [first, second, third, fourth]
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

#[inline(always)]
fn add<S: Simd>(simd: S, sums: &mut [S::f32s; GROUP], weights: [S::f32s; GROUP], input: f32) {
    let input = simd.splat_f32s(input);
    let ([one, two], [first, second]) = (sums, weights);
    *one = simd.mul_add_f32s(first, input, *one);
    *two = simd.mul_add_f32s(second, input, *two);
}

/// `LeakyRelu` of the first values of each row, for slopes between 0 and 1.
#[inline(always)]
pub(super) fn leak(block: &mut Block, count: usize, slope: f32) {
    for value in block.iter_mut().flat_map(|row| row.iter_mut().take(count)) {
        *value = value.max(*value * slope);
    }
}
