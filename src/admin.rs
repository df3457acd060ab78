//! The admin interface: health, status, reload, thresholds and metrics on a listener of its own.
//!
//! Not here: client traffic, and anything that changes the snapshot by itself (it asks the reloader). Nothing on
//! this listener shows request content.

mod access;
mod status;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::detect::Budget;
use crate::runtime::Shared;
use crate::runtime::reload::{Reloader, Trigger};
use crate::runtime::thresholds::{ThresholdChange, ThresholdError};

/// A threshold change is a hundred bytes.
const MAX_BODY: usize = 16 * 1024;
/// What Prometheus negotiates for the OpenMetrics text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Context {
    shared: Arc<Shared>,
    reloader: Reloader,
}

/// Serves the admin interface until `shutdown` turns true.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    reloader: Reloader,
    mut shutdown: watch::Receiver<bool>,
) {
    let router = router(Context { shared, reloader });
    let stop = async move {
        let _sender_gone = shutdown.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
    {
        tracing::error!(%error, "the admin listener ended");
    }
}

fn router(context: Context) -> Router {
    let guarded = Router::new()
        .route("/-/status", get(status::status))
        .route("/-/reload", post(reload))
        .route("/-/thresholds", put(thresholds))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(context.clone(), guard));
    Router::new()
        // Probes carry no token and learn nothing but a word.
        .route("/-/healthz", get(|| async { "ok\n" }))
        .route("/-/readyz", get(ready))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(context)
}

async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    // Of the running snapshot: a new token holds from the reload on.
    let running = context.shared.pin();
    match access::check(&running.config.admin, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn ready(State(context): State<Context>) -> Response {
    if !context.shared.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let model = if context.shared.pin().engine.is_some() {
        "ok\n"
    } else {
        "ok, without a model\n"
    };
    model.into_response()
}

async fn metrics(State(context): State<Context>) -> Response {
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        context.shared.metrics.render(),
    )
        .into_response()
}

async fn reload(State(context): State<Context>) -> Response {
    match context.reloader.reload(Trigger::Api).await {
        Ok(done) => Json(done).into_response(),
        Err(error) => {
            let running = context.shared.pin();
            let answer = json!({
                "error": "the reload was refused; the running configuration and model are unchanged",
                "problems": error.problems(),
                "generation": running.generation,
                "bundle": running.bundle_id(),
            });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(answer)).into_response()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    route: String,
    flag: Option<Budget>,
    block: Option<Budget>,
}

async fn thresholds(State(context): State<Context>, body: axum::body::Bytes) -> Response {
    let wanted: Thresholds = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let message = format!(
                "{error}; expected {{\"route\": \"*\", \"flag\": \"1/200\", \"block\": \"1/1000\"}}"
            );
            return failure(StatusCode::BAD_REQUEST, &message);
        }
    };
    let route = Some(wanted.route).filter(|route| route != "*");
    let change = ThresholdChange {
        route,
        flag: wanted.flag,
        block: wanted.block,
    };
    match context.reloader.thresholds(change).await {
        Ok((generation, routes)) => {
            Json(json!({ "generation": generation, "routes": routes })).into_response()
        }
        Err(error @ ThresholdError::NoRoute(_)) => {
            failure(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error @ ThresholdError::Ending) => {
            failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        Err(error) => failure(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

#[cfg(test)]
mod tests;
