//! Active checks: each endpoint is asked at an interval whether it is up.
//!
//! Not here: what requests tell about an endpoint (`health::failed`).

use std::sync::{Arc, Weak};

use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use tokio::time::timeout;

use super::Upstream;
use super::endpoint::Endpoint;
use crate::config::{HealthCheck, Probe};
use crate::proxy::outgoing::UpstreamBody;

/// How checks name themselves in the application's log.
const USER_AGENT: HeaderValue = HeaderValue::from_static("weir-health");

/// Begins to check an endpoint, when its upstream is checked, for as long as both exist.
pub(super) fn start(upstream: &Arc<Upstream>, endpoint: &Arc<Endpoint>) {
    if let Some(check) = upstream.config.health.clone() {
        tokio::spawn(run(
            Arc::downgrade(upstream),
            Arc::downgrade(endpoint),
            check,
        ));
    }
}

async fn run(upstream: Weak<Upstream>, endpoint: Weak<Endpoint>, check: HealthCheck) {
    let (mut successes, mut failures) = (0_u32, 0_u32);
    loop {
        let (Some(upstream), Some(endpoint)) = (upstream.upgrade(), endpoint.upgrade()) else {
            return;
        };
        let outcome = timeout(check.timeout, ask(&endpoint, &check.probe)).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        match &outcome {
            Ok(()) => (successes, failures) = (successes.saturating_add(1), 0),
            Err(_) => (successes, failures) = (0, failures.saturating_add(1)),
        }
        let (name, address) = (&upstream.config.name, endpoint.socket);
        match outcome {
            Ok(()) if successes >= check.healthy && endpoint.health.checked(true) => {
                tracing::info!(upstream = %name, %address, "endpoint is up");
            }
            Err(error) if failures >= check.unhealthy && endpoint.health.checked(false) => {
                tracing::warn!(upstream = %name, %address, error, "endpoint is down");
            }
            _ => {}
        }
        drop((upstream, endpoint));
        tokio::time::sleep(check.interval).await;
    }
}

async fn ask(endpoint: &Endpoint, probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp => endpoint.probe().await.map_err(|error| error.to_string()),
        Probe::Http { path, host } => {
            let status = get(endpoint, path, host.as_deref()).await?;
            if status.is_success() || status.is_redirection() {
                Ok(())
            } else {
                Err(format!("it answered {status}"))
            }
        }
    }
}

async fn get(endpoint: &Endpoint, path: &str, host: Option<&str>) -> Result<StatusCode, String> {
    let mut request = Request::new(UpstreamBody::empty());
    *request.uri_mut() = path
        .parse()
        .map_err(|_| "its path is no target".to_owned())?;
    let address = endpoint.address.to_string();
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(host.unwrap_or(&address)) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, USER_AGENT);
    let mut connection = endpoint
        .probe_connection()
        .await
        .map_err(|error| error.to_string())?;
    let response = endpoint.send(&mut connection, request).await;
    response
        .map(|response| response.status())
        .map_err(|error| error.into_error().to_string())
}
