//! A request written down in a test, and what the extractor finds in it.

use weir_features::{Extractor, Location, Marks, RequestView, Scratch};

/// One field found, with owned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) location: Location,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) layers: u8,
    pub(crate) marks: Marks,
}

/// A request under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Sample {
    pub(crate) fn get(target: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.into(),
            ..Self::default()
        }
    }

    pub(crate) fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let sample = Self {
            method: "POST".to_owned(),
            target: b"/".to_vec(),
            body: body.into(),
            ..Self::default()
        };
        sample.header("Content-Type", content_type)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn with_view<R>(&self, act: impl FnOnce(&RequestView<'_>) -> R) -> R {
        let headers: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
            .collect();
        act(&RequestView {
            method: self.method.as_bytes(),
            target: &self.target,
            headers: &headers,
            body: &self.body,
            body_truncated: false,
        })
    }

    pub(crate) fn fields(&self) -> Vec<Found> {
        let mut scratch = Scratch::default();
        self.with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut scratch);
            fields
                .iter()
                .map(|field| Found {
                    location: field.location,
                    key: String::from_utf8_lossy(field.key).into_owned(),
                    value: String::from_utf8_lossy(field.value).into_owned(),
                    layers: field.layers,
                    marks: field.marks,
                })
                .collect()
        })
    }

    /// The values found at a location, in order.
    pub(crate) fn values(&self, location: Location) -> Vec<String> {
        self.fields()
            .into_iter()
            .filter(|field| field.location == location)
            .map(|field| field.value)
            .collect()
    }

    /// True when some field holds exactly this.
    pub(crate) fn finds(&self, location: Location, key: &str, value: &str) -> bool {
        self.fields()
            .iter()
            .any(|field| field.location == location && field.key == key && field.value == value)
    }
}
