//! What an engine is asked about: a request, and who sent it when. Not here: what it answers (`assessment`).

use std::time::Instant;

use weir_features::profile::NewEndpoints;
use weir_features::{RequestVector, RequestView};

/// A request with everything that is known about its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request.
    pub request: &'a RequestView<'a>,
    /// What the request detector looks at; it has no say without.
    pub vector: Option<&'a RequestVector>,
    /// Who came when; without it, every endpoint that the profile does not know stays unusual.
    pub visit: Option<Visit<'a>>,
    /// Until when it may wait for a run with other requests; a few seconds without.
    pub deadline: Option<Instant>,
}

impl<'a> Subject<'a> {
    /// A request of which nothing else is known.
    #[must_use]
    pub fn of(request: &'a RequestView<'a>) -> Self {
        Self {
            request,
            vector: None,
            visit: None,
            deadline: None,
        }
    }
}

/// A client's visit. Scoring counts it where the endpoint is new to the profile; counting it again, as explaining does,
/// changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// A hash of the client.
    pub client: u64,
    /// When, in seconds.
    pub time: f64,
    /// Who used new endpoints lately. It outlives engines: see [`NewEndpoints`].
    pub new_endpoints: &'a NewEndpoints,
}
