//! Learning rates over time.
//!
//! Must not be here: anything that looks at weights or data.

/// Epochs without an improvement after which the rate is halved.
const PLATEAU: usize = 5;

/// An improvement is at least this share of the best validation error.
const IMPROVEMENT: f32 = 1e-3;

/// A cosine from the initial rate to zero.
pub(super) struct Cosine {
    initial: f64,
    step: usize,
    steps: usize,
}

impl Cosine {
    pub(super) fn new(initial: f64, steps: usize) -> Self {
        Self {
            initial,
            step: 0,
            steps: steps.max(1),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "steps stay far below 2^52")]
    pub(super) fn next_rate(&mut self) -> f64 {
        let share = (self.step as f64 / self.steps as f64).min(1.0);
        self.step += 1;
        self.initial * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

/// Halves the rate on a plateau and says when patience is over.
pub(super) struct Plateau {
    pub(super) rate: f64,
    pub(super) best: f32,
    waited: usize,
    patience: usize,
}

impl Plateau {
    pub(super) fn new(rate: f64, patience: usize) -> Self {
        Self {
            rate,
            best: f32::INFINITY,
            waited: 0,
            patience,
        }
    }

    pub(super) fn improved(&mut self, error: f32) -> bool {
        if error < self.best * (1.0 - IMPROVEMENT) || self.best.is_infinite() {
            self.best = error;
            self.waited = 0;
            return true;
        }
        self.waited += 1;
        if self.waited.is_multiple_of(PLATEAU) {
            self.rate *= 0.5;
        }
        false
    }

    pub(super) fn over(&self) -> bool {
        self.waited >= self.patience
    }
}
