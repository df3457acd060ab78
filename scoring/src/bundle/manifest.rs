//! The manifest: what a bundle says about itself, as JSON. Not here: whether it is true.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BundleError, FORMAT, MANIFEST, MAX_MANIFEST_BYTES, read_capped};
use crate::budget::Budgets;
use crate::calibration::{Calibration, Power};

/// `manifest.json`. It names no raw value of a real request: statistics, synthetic rows and skeletons only.
///
/// Keys that this version does not know are ignored, so that later versions may add some without a new format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version; [`super::BundleWriter`] sets it.
    #[serde(default)]
    pub format: u32,
    /// sha256 over the sorted `name sha256` lines of all files; [`super::BundleWriter`] sets it.
    #[serde(default)]
    pub id: String,
    /// When the bundle was made, RFC 3339.
    pub created: String,
    /// Fingerprint of the extractor that made the training rows.
    pub fingerprint: String,
    /// The detectors.
    pub detectors: Detectors,
    /// Errors to probabilities.
    pub calibration: Calibration,
    /// What is usual, by location name.
    #[serde(default)]
    pub usual: BTreeMap<String, Usual>,
    /// Budgets that this bundle supports, in units of distinct normal requests.
    pub budgets: Budgets,
    /// The smallest budget its calibration sample can promise.
    pub smallest_budget: f64,
    /// What it was trained on.
    #[serde(default)]
    pub data: DataSummary,
    /// Held-out metrics, as the trainer reports them.
    #[serde(default)]
    pub metrics: serde_json::Map<String, serde_json::Value>,
    /// Every other file of the bundle; [`super::BundleWriter`] fills it.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// Rows with known errors: the proof that a model computes what it computed when it was made.
    pub golden: Golden,
}

impl Manifest {
    /// Reads the manifest of the bundle in `directory`, and nothing else of it. For showing what a bundle is; to use one,
    /// [`super::Bundle::open`] it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read as this format.
    pub fn read(directory: impl AsRef<Path>) -> Result<Self, BundleError> {
        Self::read_bytes(directory.as_ref()).map(|(_, manifest)| manifest)
    }

    pub(super) fn read_bytes(directory: &Path) -> Result<(Vec<u8>, Self), BundleError> {
        #[derive(Deserialize)]
        struct Header {
            format: u64,
        }
        let path = directory.join(MANIFEST);
        let bytes = read_capped(&path, MAX_MANIFEST_BYTES).map_err(|error| match error {
            BundleError::Missing { .. } => BundleError::NoManifest {
                path: directory.to_owned(),
            },
            other => other,
        })?;
        let damaged = |source| BundleError::Manifest {
            path: path.clone(),
            source,
        };
        // The version first: of a later format, nothing else can be relied on.
        let header: Header = serde_json::from_slice(&bytes).map_err(damaged)?;
        if header.format != u64::from(FORMAT) {
            return Err(BundleError::Format {
                path,
                found: header.format,
            });
        }
        let manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok((bytes, manifest))
    }
}

/// The detectors of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detectors {
    /// One row for each field of a request.
    pub field: FieldDetector,
    /// One row for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestDetector>,
}

/// The field detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldDetector {
    /// Its model file.
    pub file: String,
    /// Columns of its input.
    pub width: usize,
    /// Layer widths of one network, for people.
    #[serde(default)]
    pub network: Vec<usize>,
    /// How many networks of this shape judge together, for people.
    #[serde(default = "one")]
    pub members: usize,
}

fn one() -> usize {
    1
}

/// The request detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestDetector {
    /// Its model file.
    pub file: String,
    /// Columns of its input.
    pub width: usize,
    /// Layer widths, for people.
    #[serde(default)]
    pub network: Vec<usize>,
    /// Values for inputs that are missing: medians of the training data, in the unit of the inputs.
    pub missing: Vec<f32>,
    /// Whether its opinion may block.
    #[serde(default)]
    pub power: Power,
}

/// What is usual at a location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usual {
    /// Normal values seen.
    pub rows: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// Length in bytes that 1% of them stay below.
    pub length_p01: u32,
    /// Median length in bytes.
    pub length_p50: u32,
    /// Length in bytes that 99% of them stay below.
    pub length_p99: u32,
    /// Share of normal values in which a lexicon family is found, by the family's name.
    pub families: BTreeMap<String, f64>,
    /// Frequent skeletons (`a` for letters, `0` for digits): no real values.
    pub examples: Vec<String>,
}

/// What a bundle was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSummary {
    /// Normal requests.
    pub normal_requests: u64,
    /// Different normal rows.
    pub distinct_rows: u64,
    /// Rows with grafted attacks.
    pub exposure_rows: u64,
    /// Hosts in the normal requests.
    pub hosts: u64,
    /// Time of the first normal request, where times are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Time of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Names of the data sets.
    pub sources: Vec<String>,
    /// What the profile holds; `None` where the bundle is for other sites than those it was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<KnownSites>,
}

/// How much the profile of a bundle's sites holds, that of its base included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownSites {
    /// Requests that it was learned from.
    pub requests: u64,
    /// Hosts.
    pub sites: u64,
    /// Templates of paths.
    pub endpoints: u64,
    /// Parameters of endpoints, headers and cookies of hosts.
    pub parameters: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its plain name.
    pub name: String,
    /// sha256 of its contents, lower-case hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// Golden rows of each detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// For the field detector.
    pub field: GoldenRows,
    /// For the request detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<GoldenRows>,
}

/// Synthetic rows and the errors that the model gave them when it was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoldenRows {
    /// The rows, each as wide as the detector's input.
    pub rows: Vec<Vec<f32>>,
    /// One error for each row.
    pub errors: Vec<f32>,
}
