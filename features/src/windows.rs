//! One client's last ten minutes in twenty buckets of thirty seconds. Not here: other clients, and the clock.
//!
//! Everything costs O(1): sums for means and variances, and small bitmaps for distinct counts (linear counting:
//! Whang, Vander-Zanden and Taylor, "A linear-time probabilistic counting algorithm", 1990).

use crate::request_vector::Shape;

/// Seconds of a bucket.
const BUCKET_SECONDS: f64 = 30.0;
/// Buckets kept: ten minutes.
const BUCKETS: usize = 20;
/// Buckets of one minute.
pub(crate) const ONE_MINUTE: usize = 2;
/// Buckets of five minutes.
pub(crate) const FIVE_MINUTES: usize = 10;
/// Buckets of ten minutes.
pub(crate) const TEN_MINUTES: usize = BUCKETS;
/// Methods told apart for the method entropy; see [`Shape::method`].
const METHODS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    requests: u32,
    responses: u32,
    errors: u32,
    methods: [u16; METHODS],
    /// Bit n: a response of status class n.
    classes: u8,
    agents: u32,
    paths: u64,
    bytes: f64,
    depth: f32,
    depth_squared: f32,
    gaps: u32,
    gap: f32,
    gap_squared: f32,
}

/// One client's windows and its last response.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// The number of the newest bucket since the epoch.
    newest: u64,
    buckets: [Bucket; BUCKETS],
    last_request: Option<f64>,
    /// Status and body size of the last response.
    pub(crate) last_response: Option<(u16, u64)>,
}

/// Sums over a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u32,
    pub(crate) responses: u32,
    pub(crate) errors: u32,
    pub(crate) methods: [u32; METHODS],
    pub(crate) classes: u8,
    agents: u32,
    paths: u64,
    pub(crate) bytes: f64,
    depth: f64,
    depth_squared: f64,
    gaps: u32,
    gap: f64,
    gap_squared: f64,
}

impl Activity {
    pub(crate) fn request(&mut self, time: f64, shape: &Shape) {
        let gap = self.last_request.map(|last| (time - last).max(0.0) as f32);
        self.last_request = Some(time);
        let bucket = self.bucket(time);
        bucket.requests = bucket.requests.saturating_add(1);
        if let Some(count) = bucket.methods.get_mut(usize::from(shape.method)) {
            *count = count.saturating_add(1);
        }
        bucket.paths |= 1 << (shape.path_hash % 64);
        bucket.agents |= 1 << (shape.agent_hash % 32);
        let depth = shape.depth as f32;
        bucket.depth += depth;
        bucket.depth_squared += depth * depth;
        if let Some(gap) = gap {
            bucket.gaps = bucket.gaps.saturating_add(1);
            bucket.gap += gap;
            bucket.gap_squared += gap * gap;
        }
    }

    pub(crate) fn response(&mut self, time: f64, status: u16, bytes: u64) {
        self.last_response = Some((status, bytes));
        let bucket = self.bucket(time);
        bucket.responses = bucket.responses.saturating_add(1);
        bucket.errors = bucket.errors.saturating_add(u32::from(status >= 400));
        bucket.classes |= 1u8.checked_shl(u32::from(status / 100)).unwrap_or(0);
        bucket.bytes += bytes as f64;
    }

    /// Sums the newest `buckets` buckets.
    pub(crate) fn totals(&self, buckets: usize) -> Totals {
        let mut totals = Totals::default();
        for age in 0..buckets.min(BUCKETS) as u64 {
            let Some(number) = self.newest.checked_sub(age) else {
                break;
            };
            let Some(bucket) = self.buckets.get((number % BUCKETS as u64) as usize) else {
                break;
            };
            totals.add(bucket);
        }
        totals
    }

    /// The bucket of `time`, emptying those that have passed. Time that runs back a little counts as now; a clock that
    /// was set back further starts the client afresh.
    fn bucket(&mut self, time: f64) -> &mut Bucket {
        let number = (time / BUCKET_SECONDS).max(0.0) as u64;
        let too_old = self.newest.saturating_sub(number) >= BUCKETS as u64;
        let too_new = number.saturating_sub(self.newest) >= BUCKETS as u64;
        if too_old || too_new {
            self.buckets = [Bucket::default(); BUCKETS];
            self.newest = number;
        }
        while self.newest < number {
            self.newest += 1;
            let slot = (self.newest % BUCKETS as u64) as usize;
            if let Some(bucket) = self.buckets.get_mut(slot) {
                *bucket = Bucket::default();
            }
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "a remainder of the array's own length"
        )]
        &mut self.buckets[(self.newest % BUCKETS as u64) as usize]
    }
}

impl Totals {
    fn add(&mut self, bucket: &Bucket) {
        self.requests = self.requests.saturating_add(bucket.requests);
        self.responses = self.responses.saturating_add(bucket.responses);
        self.errors = self.errors.saturating_add(bucket.errors);
        for (sum, count) in self.methods.iter_mut().zip(bucket.methods) {
            *sum = sum.saturating_add(u32::from(count));
        }
        self.classes |= bucket.classes;
        self.agents |= bucket.agents;
        self.paths |= bucket.paths;
        self.bytes += bucket.bytes;
        self.depth += f64::from(bucket.depth);
        self.depth_squared += f64::from(bucket.depth_squared);
        self.gaps = self.gaps.saturating_add(bucket.gaps);
        self.gap += f64::from(bucket.gap);
        self.gap_squared += f64::from(bucket.gap_squared);
    }

    /// About how many distinct paths.
    pub(crate) fn paths(&self) -> f32 {
        linear_count(self.paths.count_zeros(), 64)
    }

    /// About how many distinct user agents.
    pub(crate) fn agents(&self) -> f32 {
        linear_count(self.agents.count_zeros(), 32)
    }

    /// The variance of the path depth.
    pub(crate) fn depth_variance(&self) -> f32 {
        variance(self.requests, self.depth, self.depth_squared)
    }

    /// Mean and standard deviation of the seconds between requests, once there were two.
    pub(crate) fn gaps(&self) -> Option<(f32, f32)> {
        let mean = self.gap / f64::from(self.gaps);
        (self.gaps > 0).then(|| {
            (
                mean as f32,
                variance(self.gaps, self.gap, self.gap_squared).sqrt(),
            )
        })
    }
}

fn variance(count: u32, sum: f64, sum_of_squares: f64) -> f32 {
    let count = f64::from(count.max(1));
    ((sum_of_squares / count - (sum / count).powi(2)).max(0.0)) as f32
}

/// The estimate from a bitmap of `size` bits of which `zeros` are unset; a full one counts as one bit short of full.
fn linear_count(zeros: u32, size: u32) -> f32 {
    let size = size as f32;
    -size * (zeros.max(1) as f32 / size).ln()
}

#[cfg(test)]
mod tests {
    use super::{Activity, FIVE_MINUTES, ONE_MINUTE, TEN_MINUTES};
    use crate::request::RequestView;
    use crate::request_vector::Shape;

    fn shape(target: &str) -> Shape {
        let request = RequestView {
            method: b"GET",
            target: target.as_bytes(),
            headers: &[],
            body: b"",
            body_truncated: false,
        };
        Shape::of(&request)
    }

    #[test]
    fn requests_leave_their_windows_in_time() {
        let mut activity = Activity::default();
        let start = 1_700_000_010.0;
        for second in 0..10 {
            activity.request(start + f64::from(second), &shape("/a"));
        }
        assert_eq!(activity.totals(ONE_MINUTE).requests, 10);
        activity.request(start + 120.0, &shape("/a"));
        assert_eq!(activity.totals(ONE_MINUTE).requests, 1);
        assert_eq!(activity.totals(FIVE_MINUTES).requests, 11);
        activity.request(start + 400.0, &shape("/a"));
        assert_eq!(activity.totals(FIVE_MINUTES).requests, 2);
        assert_eq!(activity.totals(TEN_MINUTES).requests, 12);
        activity.request(start + 5_000.0, &shape("/a"));
        assert_eq!(activity.totals(TEN_MINUTES).requests, 1);
    }

    #[test]
    fn a_clock_that_jumps_loses_history_and_nothing_else() {
        let mut activity = Activity::default();
        for time in [1e9, 1e9 - 5.0, 2e9, 0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            activity.request(time, &shape("/a"));
            assert!(activity.totals(TEN_MINUTES).requests >= 1);
        }
    }

    #[test]
    fn distinct_paths_and_errors_are_counted() {
        let mut activity = Activity::default();
        for path in 0..20 {
            activity.request(0.0, &shape(&format!("/page/{path}")));
            activity.response(0.0, if path % 2 == 0 { 200 } else { 404 }, 1000);
        }
        let totals = activity.totals(FIVE_MINUTES);
        assert!((14.0..28.0).contains(&totals.paths()), "{}", totals.paths());
        assert_eq!((totals.responses, totals.errors), (20, 10));
        assert_eq!(totals.classes, 1 << 2 | 1 << 4);
    }
}
