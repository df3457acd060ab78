//! Budgets changed at run time: a new snapshot that differs in nothing else, until the next configuration load.
//!
//! Not here: who asks (`admin`) and in which order (`reload`).

use std::sync::Arc;

use serde::Serialize;
use weir_scoring::budget::{Budget, BudgetError, Budgets};

use crate::runtime::reload::describe;
use crate::runtime::{Route, Routes, Shared, Snapshot};
use crate::units::RouteId;

/// `PUT /-/thresholds`.
#[derive(Debug, Clone)]
pub struct ThresholdChange {
    /// `None`: every route.
    pub route: Option<String>,
    /// The new flag budget, if it changes.
    pub flag: Option<Budget>,
    /// The new block budget, if it changes.
    pub block: Option<Budget>,
}

/// The budgets of one route before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdAnswer {
    /// The route.
    pub route: RouteId,
    /// Before.
    pub old: Budgets,
    /// Now.
    pub new: Budgets,
    /// Budgets that the running model cannot promise, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why thresholds were not changed. None was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// No such route.
    #[error("there is no route `{0}`; use a route's id or `*`")]
    NoRoute(String),
    /// Neither budget given.
    #[error("give `flag`, `block` or both, such as \"1/500\"")]
    Nothing,
    /// The budgets do not go together.
    #[error("route `{route}`: {source}")]
    Budgets {
        /// The route.
        route: RouteId,
        /// What is wrong.
        source: BudgetError,
    },
    /// The process is ending.
    #[error("weir is shutting down")]
    Ending,
}

impl ThresholdChange {
    fn applies(&self, route: &Route) -> bool {
        let id = route.policy.id.as_str();
        self.route.as_ref().is_none_or(|wanted| wanted == id)
    }

    fn change(&self, route: &Route, running: &Snapshot) -> Result<ThresholdAnswer, ThresholdError> {
        let (old, id) = (route.budgets, &route.policy.id);
        let flag = self.flag.unwrap_or(old.flag);
        let block = self.block.unwrap_or(old.block);
        let new = Budgets::new(flag, block).map_err(|source| ThresholdError::Budgets {
            route: id.clone(),
            source,
        })?;
        let warnings = running
            .unsupported(&new)
            .map(|unsupported| unsupported.to_string());
        Ok(ThresholdAnswer {
            route: id.clone(),
            old,
            new,
            warnings: warnings.collect(),
        })
    }
}

/// Changes the budgets of one route or of all: of none when any of them would be wrong.
pub(super) fn apply(
    shared: &Shared,
    change: &ThresholdChange,
) -> Result<(u64, Vec<ThresholdAnswer>), ThresholdError> {
    if change.flag.is_none() && change.block.is_none() {
        return Err(ThresholdError::Nothing);
    }
    let running = shared.pin();
    let mut answers = Vec::new();
    let mut routes = Vec::new();
    for route in running.routes.iter() {
        if change.applies(route) {
            let answer = change.change(route, &running)?;
            routes.push(Arc::new(Route {
                budgets: answer.new,
                ..Route::clone(route)
            }));
            answers.push(answer);
        } else {
            routes.push(Arc::clone(route));
        }
    }
    if answers.is_empty() {
        return Err(ThresholdError::NoRoute(
            change.route.clone().unwrap_or_default(),
        ));
    }
    announce(&answers);
    let next = shared.swap(running.with_routes(Routes::new(routes)));
    describe(&shared.metrics, &next);
    Ok((next.generation, answers))
}

fn announce(answers: &[ThresholdAnswer]) {
    for ThresholdAnswer {
        route,
        old,
        new,
        warnings,
    } in answers
    {
        for warning in warnings {
            tracing::warn!(%route, "{warning}");
        }
        tracing::info!(
            %route, flag = %new.flag, block = %new.block,
            was_flag = %old.flag, was_block = %old.block, "budgets changed at run time"
        );
    }
}
