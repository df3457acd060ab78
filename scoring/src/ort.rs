//! ONNX Runtime: the library, its sessions and their watchdog. The only file in the workspace that imports `ort`.
//!
//! What must not be here: bundles, calibration, policy. A session takes rows and gives errors and residuals.
//!
//! The library is foreign code that is loaded at run time, so every way in which it can be missing or unsuitable is one
//! [`RuntimeError`] that says what to run, and everything that could hang (building a session, a first run) is done
//! under a [watchdog](Session::probe).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ndarray::{Array2, ArrayView2};
use ort::ep;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionOutputs};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::gate::{ERROR_OUTPUT, InspectedModel, ModelShape, RESIDUALS_OUTPUT};

mod error;
mod library;
mod provider;

pub use error::{RuntimeError, SessionError};
pub use library::MINIMUM_VERSION;
pub use provider::{ExecutionProvider, ProviderStatus};

/// The loaded library. There is one in a process, for as long as the process lives.
pub struct Runtime {
    environment: ort::environment::Environment,
    path: PathBuf,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runtime")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the library: `explicit` is the command line's path, `configured` the configuration's; either may be a file
    /// or a folder. Once loaded, later calls answer the same runtime whatever they name.
    ///
    /// # Errors
    /// When there is no suitable library; another attempt may follow.
    pub fn load(
        explicit: Option<&Path>,
        configured: Option<&Path>,
    ) -> Result<&'static Self, RuntimeError> {
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let path = library::Search {
            argument: explicit,
            environment: std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from),
            configuration: configured,
            executable: std::env::current_exe().ok(),
            working_directory: std::env::current_dir().ok(),
        }
        .find()?;
        library::check(&path)?;
        let runtime = Self::start(path)?;
        Ok(RUNTIME.get_or_init(|| runtime))
    }

    /// The library's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn start(path: PathBuf) -> Result<Self, RuntimeError> {
        let failed = |message| RuntimeError::Load {
            path: path.clone(),
            message,
        };
        // `ort` asserts on libraries that export the right name and then misbehave.
        let started = catch_unwind(AssertUnwindSafe(|| match ort::init_from(&path) {
            Ok(builder) => builder
                .with_name("weir")
                .with_telemetry(false)
                .with_logger(Arc::new(forward_log))
                .build()
                .map_err(|error| failed(error.to_string())),
            Err(ort::LoadDynamicError::BadVersion { version_str, .. }) => {
                Err(RuntimeError::TooOld {
                    path: path.clone(),
                    version: version_str,
                })
            }
            Err(error) => Err(failed(error.to_string())),
        }));
        let environment = started
            .unwrap_or_else(|_| Err(failed("it does not offer the API it claims to".to_owned())))?;
        // The environment starts out verbose, which would format a dozen messages on every run.
        environment.set_log_level(LogLevel::Warning);
        tracing::debug!(path = %path.display(), "ONNX Runtime loaded");
        Ok(Self { environment, path })
    }
}

fn forward_log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {
            tracing::trace!(target: "onnxruntime", location, "{message}")
        }
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => {
            tracing::warn!(target: "onnxruntime", location, "{message}")
        }
    }
}

fn run_error(error: ort::Error) -> SessionError {
    SessionError::Run(error.to_string())
}

fn build_error<R>(error: ort::Error<R>) -> SessionError {
    SessionError::Build(error.message().to_owned())
}

/// A loaded model. A run needs it exclusively: each worker has its own.
pub struct Session {
    session: ort::session::Session,
    shape: ModelShape,
    errors_only: RunOptions<HasSelectedOutputs>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// Errors and residuals of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// One reconstruction error for each row.
    pub errors: Vec<f32>,
    /// Each feature's contribution to its row's error.
    pub residuals: Array2<f32>,
}

impl Session {
    /// Loads a model, on `provider` or, where that cannot start, on the processor.
    ///
    /// # Errors
    /// When ONNX Runtime refuses the model or takes longer than `limit`.
    pub fn new(
        runtime: &Runtime,
        model: &InspectedModel,
        provider: ExecutionProvider,
        limit: Duration,
    ) -> Result<(Self, ProviderStatus), SessionError> {
        let mut why = None;
        if provider == ExecutionProvider::Cuda {
            match Self::build(runtime, model, ExecutionProvider::Cuda, limit) {
                Ok(session) => {
                    return Ok((
                        session,
                        ProviderStatus {
                            requested: provider,
                            actual: provider,
                            why,
                        },
                    ));
                }
                Err(error) => why = Some(error.to_string()),
            }
        }
        let session = Self::build(runtime, model, ExecutionProvider::Cpu, limit)?;
        Ok((
            session,
            ProviderStatus {
                requested: provider,
                actual: ExecutionProvider::Cpu,
                why,
            },
        ))
    }

    fn build(
        runtime: &Runtime,
        model: &InspectedModel,
        provider: ExecutionProvider,
        limit: Duration,
    ) -> Result<Self, SessionError> {
        let mut builder = options(runtime, provider)?;
        let canceler = builder.canceler();
        let stop = move || drop(canceler.cancel());
        let session = watched(limit, stop, || builder.commit_from_memory(model.bytes()))
            .ok_or(SessionError::Timeout(limit))?
            .map_err(build_error)?;
        let shape = model.shape().clone();
        check_interface(&session, &shape)?;
        let errors_only = RunOptions::new()
            .map_err(build_error)?
            .with_outputs(OutputSelector::no_default().with(ERROR_OUTPUT));
        Ok(Self {
            session,
            shape,
            errors_only,
        })
    }

    /// The shape of the model.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Appends one error for each row of `rows` to `errors`.
    ///
    /// # Errors
    /// When the run fails or an error is not finite; `errors` is unchanged then.
    pub fn errors(
        &mut self,
        rows: ArrayView2<'_, f32>,
        errors: &mut Vec<f32>,
    ) -> Result<(), SessionError> {
        let count = rows.nrows();
        if count == 0 {
            return Ok(());
        }
        let input = input(&self.shape, rows)?;
        let outputs = self
            .session
            .run_with_options(ort::inputs![input], &self.errors_only)
            .map_err(run_error)?;
        errors.extend_from_slice(values(&outputs, ERROR_OUTPUT, count, count)?);
        Ok(())
    }

    /// Errors and residuals of `rows`, for explanations.
    ///
    /// # Errors
    /// When the run fails or a value is not finite.
    pub fn residuals(&mut self, rows: ArrayView2<'_, f32>) -> Result<Outputs, SessionError> {
        let input = input(&self.shape, rows)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(run_error)?;
        collect(&outputs, rows.dim())
    }

    /// Like [`residuals`](Self::residuals), but terminates a run that takes longer than `limit`: for the first run of a
    /// model that nobody has seen run.
    ///
    /// # Errors
    /// When the run fails, is terminated, or a value is not finite.
    pub fn probe(
        &mut self,
        rows: ArrayView2<'_, f32>,
        limit: Duration,
    ) -> Result<Outputs, SessionError> {
        let input = input(&self.shape, rows)?;
        let options = RunOptions::new().map_err(run_error)?;
        let stop = || drop(options.terminate());
        let session = &mut self.session;
        let outputs = watched(limit, stop, || {
            session.run_with_options(ort::inputs![input], &options)
        })
        .ok_or(SessionError::Timeout(limit))?
        .map_err(run_error)?;
        collect(&outputs, rows.dim())
    }
}

fn options(runtime: &Runtime, provider: ExecutionProvider) -> Result<SessionBuilder, SessionError> {
    let builder = SessionBuilder::new(&runtime.environment)
        .map_err(build_error)?
        .with_intra_threads(1)
        .map_err(build_error)?
        .with_inter_threads(1)
        .map_err(build_error)?
        .with_log_level(LogLevel::Warning)
        .map_err(build_error)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(build_error)?
        // Every request has another number of rows; a memory plan for each would only pile up.
        .with_memory_pattern(false)
        .map_err(build_error)?;
    match provider {
        ExecutionProvider::Cpu => Ok(builder),
        // Without TF32, so that the GPU's errors match the golden rows. ORT falls back in silence unless told not to.
        ExecutionProvider::Cuda => builder
            .with_execution_providers([ep::CUDA::default()
                .with_tf32(false)
                .build()
                .error_on_failure()])
            .map_err(build_error),
    }
}

/// Runs `work`; when it takes longer than `limit`, calls `stop` from another thread and answers `None` once `work`
/// came back.
fn watched<T>(limit: Duration, stop: impl FnOnce() + Send, work: impl FnOnce() -> T) -> Option<T> {
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || {
            let expired = matches!(waiting.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
            if expired {
                stop();
            }
            expired
        });
        let result = work();
        drop(done);
        let expired = watchdog.join().unwrap_or(true);
        (!expired).then_some(result)
    })
}

fn check_interface(
    session: &ort::session::Session,
    shape: &ModelShape,
) -> Result<(), SessionError> {
    let outlets = |outlets: &[ort::value::Outlet]| {
        let mut described: Vec<String> = outlets.iter().map(describe).collect();
        described.sort_unstable();
        described
    };
    let width = shape.width;
    let inputs = outlets(session.inputs());
    let outputs = outlets(session.outputs());
    let expected_inputs = [format!("{}[-1, {width}]", shape.input)];
    let expected_outputs = [
        format!("{ERROR_OUTPUT}[-1]"),
        format!("{RESIDUALS_OUTPUT}[-1, {width}]"),
    ];
    if inputs == expected_inputs && outputs == expected_outputs {
        return Ok(());
    }
    Err(SessionError::Interface(format!(
        "{} -> {}",
        inputs.join(", "),
        outputs.join(", ")
    )))
}

fn describe(outlet: &ort::value::Outlet) -> String {
    match outlet.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => {
            format!("{}{:?}", outlet.name(), &**shape)
        }
        other => format!("{} {other:?}", outlet.name()),
    }
}

fn input<'v>(
    shape: &ModelShape,
    rows: ArrayView2<'v, f32>,
) -> Result<TensorRef<'v, f32>, SessionError> {
    if rows.ncols() != shape.width {
        return Err(SessionError::Width {
            found: rows.ncols(),
            expected: shape.width,
        });
    }
    TensorRef::from_array_view(rows).map_err(run_error)
}

fn values<'o>(
    outputs: &'o SessionOutputs<'_>,
    output: &'static str,
    rows: usize,
    expected: usize,
) -> Result<&'o [f32], SessionError> {
    let tensor = outputs.get(output).ok_or(SessionError::Shape {
        output,
        found: 0,
        rows,
    })?;
    let (_, values) = tensor.try_extract_tensor::<f32>().map_err(run_error)?;
    if values.len() != expected {
        return Err(SessionError::Shape {
            output,
            found: values.len(),
            rows,
        });
    }
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(SessionError::NotFinite(output))
    }
}

fn collect(
    outputs: &SessionOutputs<'_>,
    (rows, width): (usize, usize),
) -> Result<Outputs, SessionError> {
    let errors = values(outputs, ERROR_OUTPUT, rows, rows)?.to_vec();
    let residuals = values(outputs, RESIDUALS_OUTPUT, rows, rows * width)?.to_vec();
    let found = residuals.len();
    let residuals =
        Array2::from_shape_vec((rows, width), residuals).map_err(|_| SessionError::Shape {
            output: RESIDUALS_OUTPUT,
            found,
            rows,
        })?;
    Ok(Outputs { errors, residuals })
}

#[cfg(test)]
mod tests;
