//! What metrics and the status page say about upstreams, read when somebody asks.
//!
//! Not here: counting.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;

use super::Upstream;
use super::endpoint::Endpoint;
use super::health::State;
use super::resolve::Place;
use crate::runtime::Shared;
use crate::telemetry::Described;
use crate::telemetry::names;

/// Series of the running snapshot's upstreams. What is no longer configured disappears.
#[derive(Debug)]
pub(in crate::proxy) struct Series(pub(in crate::proxy) Weak<Shared>);

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(shared) = self.0.upgrade() else {
            return Ok(());
        };
        let upstreams = &shared.pin().upstreams;
        let mut out = Out(&mut encoder);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        out.of_places(
            names::UPSTREAM_REQUESTS,
            MetricType::Counter,
            upstreams,
            |_, place| vec![(None, count(&place.counts.requests))],
        )?;
        out.of_places(
            names::UPSTREAM_FAILURES,
            MetricType::Counter,
            upstreams,
            |_, place| {
                place
                    .counts
                    .failures()
                    .into_iter()
                    .map(|(cause, count)| (Some(cause), count))
                    .collect()
            },
        )?;
        out.of_places(
            names::UPSTREAM_CONNECTIONS,
            MetricType::Counter,
            upstreams,
            |_, place| vec![(None, count(&place.counts.connections))],
        )?;
        out.of_places(
            names::UPSTREAM_EJECTIONS,
            MetricType::Counter,
            upstreams,
            |_, place| vec![(None, count(&place.counts.ejections))],
        )?;
        out.of_places(
            names::UPSTREAM_UP,
            MetricType::Gauge,
            upstreams,
            |upstream, place| {
                let up = upstream
                    .endpoints_of(place, |endpoint| usize::from(endpoint.state() == State::Up));
                vec![(None, up as u64)]
            },
        )?;
        out.of_places(
            names::UPSTREAM_ACTIVE,
            MetricType::Gauge,
            upstreams,
            |upstream, place| {
                vec![(
                    None,
                    upstream.endpoints_of(place, |endpoint| endpoint.active()) as u64,
                )]
            },
        )?;
        out.of_upstreams(
            names::UPSTREAM_PENDING,
            MetricType::Gauge,
            upstreams,
            |upstream| upstream.gate.waiting() as u64,
        )?;
        out.of_upstreams(
            names::UPSTREAM_RETRIES,
            MetricType::Counter,
            upstreams,
            |upstream| count(&upstream.retries),
        )
    }
}

struct Out<'o, 'e>(&'o mut DescriptorEncoder<'e>);

type Value = (Option<&'static str>, u64);

impl Out<'_, '_> {
    fn of_places(
        &mut self,
        described: Described,
        kind: MetricType,
        upstreams: &[Arc<Upstream>],
        values: impl Fn(&Upstream, &Place) -> Vec<Value>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(described.0, described.1, None, kind)?;
        for upstream in upstreams {
            for place in &upstream.places {
                for (cause, value) in values(upstream, place) {
                    let mut labels = vec![
                        ("upstream", upstream.config.name.clone()),
                        ("endpoint", place.address.to_string()),
                    ];
                    labels.extend(cause.map(|cause| ("cause", cause.to_owned())));
                    encode(value, kind, metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn of_upstreams(
        &mut self,
        described: Described,
        kind: MetricType,
        upstreams: &[Arc<Upstream>],
        value: impl Fn(&Upstream) -> u64,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(described.0, described.1, None, kind)?;
        for upstream in upstreams {
            let labels = [("upstream", upstream.config.name.as_str())];
            encode(value(upstream), kind, metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode(
    value: u64,
    kind: MetricType,
    encoder: prometheus_client::encoding::MetricEncoder<'_>,
) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}

/// An upstream on the status page.
#[derive(Debug, Serialize)]
pub struct UpstreamStatus {
    name: String,
    /// Requests under way.
    active: usize,
    /// Requests that wait for others to end.
    pending: usize,
    /// Why a name has no address or an old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    unresolved: Option<String>,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize)]
struct EndpointStatus {
    /// As configured.
    address: String,
    /// What it resolved to.
    resolved: String,
    state: State,
    active: usize,
    /// Connections that wait for a request.
    idle: usize,
    /// HTTP/2 connections.
    shared: usize,
}

impl Upstream {
    /// For the status page.
    pub fn status(&self) -> UpstreamStatus {
        let endpoints = self.endpoints.load();
        UpstreamStatus {
            name: self.config.name.clone(),
            active: self.gate.active(),
            pending: self.gate.waiting(),
            unresolved: self.unresolved(),
            endpoints: endpoints
                .iter()
                .map(|endpoint| EndpointStatus::of(endpoint))
                .collect(),
        }
    }

    /// The sum over the endpoints of one configured address.
    fn endpoints_of(&self, place: &Place, value: impl Fn(&Endpoint) -> usize) -> usize {
        let endpoints = self.endpoints.load();
        let of_place = endpoints
            .iter()
            .filter(|endpoint| endpoint.address == place.address);
        of_place.map(|endpoint| value(endpoint)).sum()
    }
}

impl EndpointStatus {
    fn of(endpoint: &Endpoint) -> Self {
        let (idle, shared) = endpoint.connections();
        Self {
            address: endpoint.address.to_string(),
            resolved: endpoint.socket.to_string(),
            state: endpoint.state(),
            active: endpoint.active(),
            idle,
            shared,
        }
    }
}
