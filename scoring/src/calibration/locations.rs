//! What is a high row error where: one divisor for each location, another where a site's profile spoke.
//!
//! Not here: what becomes of the scaled errors.
//!
//! A row with a profile has columns filled that a row without leaves empty, so its error is another number. Where too few
//! rows tell, a profiled divisor is the plain one of its location, corrected by how the two differ at other locations.

use serde::{Deserialize, Serialize};
use weir_features::Location;

use super::CalibrationError;

/// The quantile of normal rows that becomes 1.0 after scaling. Higher ones rest on a handful of rows, so that one odd site
/// could decide how wild a whole location may be. Its effect has not been measured apart from other changes.
pub const SCALE_QUANTILE: f64 = 0.995;
/// Rows of a location at which its own quantile and the assumed one weigh the same: a high quantile of fewer than a
/// thousand values is hardly more than their maximum.
const SHRINKAGE_ROWS: f64 = 1000.0;
/// No location's errors are divided by less.
const SMALLEST_SCALE: f32 = 1e-6;

/// The divisor of each location's row errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<LocationScale>", into = "Vec<LocationScale>")]
pub struct LocationScales {
    plain: [Divisor; Location::COUNT],
    /// For rows with a profile; none where no such row was seen.
    profiled: Option<[Divisor; Location::COUNT]>,
}

/// One divisor and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Divisor {
    /// Held-out normal rows seen here.
    rows: u64,
    /// Their 99.5% quantile, drawn towards what is assumed where rows are few.
    scale: f32,
}

impl LocationScales {
    /// Fits the 99.5% quantile of each location from held-out normal rows: location, whether a site's profile spoke, and
    /// error of each.
    ///
    /// A quantile from few rows is drawn towards an assumption, in logarithms and in proportion to `rows / (rows + 1000)`:
    /// without a profile towards the quantile of all such rows; with one towards the location's divisor without, times
    /// the ratio of the two at the locations that have both.
    ///
    /// # Errors
    /// When no row is usable.
    pub fn fit(
        rows: impl IntoIterator<Item = (Location, bool, f32)>,
    ) -> Result<Self, CalibrationError> {
        let mut plain = Errors::default();
        let mut profiled = Errors::default();
        for (location, has_profile, error) in rows {
            let errors = if has_profile {
                &mut profiled
            } else {
                &mut plain
            };
            errors.add(location, error);
        }
        // A site of which everything is known still meets rows that its profile does not know.
        let pooled = quantile(plain.all())
            .or_else(|| quantile(profiled.all()))
            .ok_or(CalibrationError::TooFew {
                found: 0,
                needed: 1,
            })?;
        let (plain, profiled) = (plain.quantiles(), profiled.quantiles());
        let divisors = shrunk(&plain, &[pooled; Location::COUNT]);
        let spoke = profiled.iter().any(Option::is_some);
        let profiled = spoke.then(|| {
            let ratio = ratio(&plain, &profiled);
            shrunk(&profiled, &divisors.map(|divisor| divisor.scale * ratio))
        });
        Ok(Self {
            plain: divisors,
            profiled,
        })
    }

    /// The divisor of errors at `location`, of rows for which a site's profile spoke or did not.
    #[must_use]
    pub fn scale(&self, location: Location, profiled: bool) -> f32 {
        self.divisor(location, profiled).scale
    }

    /// How many rows that divisor rests on.
    #[must_use]
    pub fn rows(&self, location: Location, profiled: bool) -> u64 {
        match (profiled, &self.profiled) {
            // The divisor is the plain one then, but no profiled row is behind it.
            (true, None) => 0,
            _ => self.divisor(location, profiled).rows,
        }
    }

    /// A row's error in units of what is high at its location. `profiled`: whether a site's profile spoke for the row.
    #[must_use]
    pub fn scaled(&self, location: Location, profiled: bool, error: f32) -> f32 {
        error / self.scale(location, profiled)
    }

    fn divisor(&self, location: Location, profiled: bool) -> Divisor {
        let divisors = match &self.profiled {
            Some(own) if profiled => own,
            _ => &self.plain,
        };
        let found = divisors.get(location.index()).copied();
        found.unwrap_or(Divisor {
            rows: 0,
            scale: 1.0,
        })
    }
}

/// Errors by location.
#[derive(Default)]
struct Errors([Vec<f32>; Location::COUNT]);

/// A quantile and the number of rows it is of.
type Quantile = Option<(f32, usize)>;

impl Errors {
    fn add(&mut self, location: Location, error: f32) {
        if let Some(errors) = self.0.get_mut(location.index())
            && error.is_finite()
        {
            errors.push(error.max(0.0));
        }
    }

    fn all(&self) -> Vec<f32> {
        self.0.iter().flatten().copied().collect()
    }

    fn quantiles(self) -> [Quantile; Location::COUNT] {
        self.0.map(|errors| {
            let rows = errors.len();
            quantile(errors).map(|value| (value, rows))
        })
    }
}

/// The value that 99.5% of the errors do not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a position in a vector of rows"
)]
fn quantile(mut errors: Vec<f32>) -> Option<f32> {
    let position = (SCALE_QUANTILE * errors.len() as f64).ceil() as usize;
    let position = position.saturating_sub(1).min(errors.len().checked_sub(1)?);
    let (_, value, _) = errors.select_nth_unstable_by(position, f32::total_cmp);
    Some(value.max(SMALLEST_SCALE))
}

/// By how much profiled rows err more than plain ones at the same location, on average over the locations that have both.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a mean of logarithms"
)]
fn ratio(plain: &[Quantile; Location::COUNT], profiled: &[Quantile; Location::COUNT]) -> f32 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (plain, profiled) in plain.iter().zip(profiled) {
        let (Some((plain, plain_rows)), Some((profiled, profiled_rows))) = (plain, profiled) else {
            continue;
        };
        let rows = *plain_rows.min(profiled_rows) as f64;
        let weight = rows / (rows + SHRINKAGE_ROWS);
        sum += weight * (f64::from(*profiled) / f64::from(*plain)).ln();
        weights += weight;
    }
    if weights > 0.0 {
        (sum / weights).exp() as f32
    } else {
        1.0
    }
}

/// Each quantile drawn towards what is assumed of its location.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a mean of two logarithms"
)]
fn shrunk(
    own: &[Quantile; Location::COUNT],
    assumed: &[f32; Location::COUNT],
) -> [Divisor; Location::COUNT] {
    let mut divisors = assumed.map(|scale| Divisor {
        rows: 0,
        scale: scale.max(SMALLEST_SCALE),
    });
    for (divisor, own) in divisors.iter_mut().zip(own) {
        let Some((value, rows)) = *own else {
            continue;
        };
        let weight = rows as f64 / (rows as f64 + SHRINKAGE_ROWS);
        let log = weight * f64::from(value).ln() + (1.0 - weight) * f64::from(divisor.scale).ln();
        *divisor = Divisor {
            rows: rows as u64,
            scale: (log.exp() as f32).max(SMALLEST_SCALE),
        };
    }
    divisors
}

/// The form in the manifest: one entry for each location.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationScale {
    location: Name,
    rows: u64,
    scale: f32,
    /// With a profile. At all locations or at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profiled: Option<Divisor>,
}

/// Serialises a location by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
struct Name(Location);

impl From<Name> for &'static str {
    fn from(name: Name) -> Self {
        name.0.name()
    }
}

impl TryFrom<String> for Name {
    type Error = CalibrationError;

    fn try_from(name: String) -> Result<Self, CalibrationError> {
        Location::from_name(&name)
            .map(Self)
            .ok_or(CalibrationError::Damaged("it names an unknown location"))
    }
}

impl From<LocationScales> for Vec<LocationScale> {
    fn from(scales: LocationScales) -> Self {
        let entry = |location| {
            let Divisor { rows, scale } = scales.divisor(location, false);
            let profiled = scales.profiled.is_some();
            LocationScale {
                location: Name(location),
                rows,
                scale,
                profiled: profiled.then(|| scales.divisor(location, true)),
            }
        };
        Location::ALL.into_iter().map(entry).collect()
    }
}

impl TryFrom<Vec<LocationScale>> for LocationScales {
    type Error = CalibrationError;

    fn try_from(entries: Vec<LocationScale>) -> Result<Self, CalibrationError> {
        let mut plain = [None; Location::COUNT];
        let mut profiled = [None; Location::COUNT];
        for entry in entries {
            let index = entry.location.0.index();
            let own = Divisor {
                rows: entry.rows,
                scale: entry.scale,
            };
            for divisor in std::iter::once(&own).chain(&entry.profiled) {
                if !(divisor.scale.is_finite() && divisor.scale >= SMALLEST_SCALE) {
                    return Err(CalibrationError::Damaged(
                        "a location's scale is not a positive number",
                    ));
                }
            }
            if let (Some(slot), Some(with_profile)) =
                (plain.get_mut(index), profiled.get_mut(index))
            {
                (*slot, *with_profile) = (Some(own), entry.profiled);
            }
        }
        let complete = |divisors: [Option<Divisor>; Location::COUNT]| {
            let given: Vec<Divisor> = divisors.into_iter().flatten().collect();
            <[Divisor; Location::COUNT]>::try_from(given)
                .map_err(|_| CalibrationError::Damaged("a location has no scale"))
        };
        let spoke = profiled.iter().any(Option::is_some);
        Ok(Self {
            plain: complete(plain)?,
            profiled: if spoke {
                Some(complete(profiled)?)
            } else {
                None
            },
        })
    }
}

#[cfg(test)]
mod tests;
