//! A dense autoencoder as an ONNX graph, with the same arithmetic in plain Rust beside it.

use ndarray::{Array1, Array2, Axis};
use prost::Message;
use weir_scoring::gate::{DETECTOR_KEY, FINGERPRINT_KEY};
use weir_scoring::onnx::{
    AttributeProto, Dim, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};

const HIDDEN: usize = 8;
const CLIP: f32 = 8.0;
const SLOPE: f32 = 0.2;

/// An autoencoder with the standardisation of some rows and small fixed weights.
pub(crate) struct Autoencoder {
    pub(crate) detector: &'static str,
    pub(crate) input: &'static str,
    pub(crate) fingerprint: String,
    mean: Array1<f32>,
    deviation: Array1<f32>,
    encoder: Array2<f32>,
    decoder: Array2<f32>,
    bias: Array1<f32>,
}

impl Autoencoder {
    pub(crate) fn fit(detector: &'static str, rows: &Array2<f32>) -> Self {
        let width = rows.ncols();
        let mut state = 0x2545_f491_u32;
        let mut weight = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * 0.1
        };
        Self {
            detector,
            input: if detector == "field" {
                "rows"
            } else {
                "vectors"
            },
            fingerprint: weir_features::schema::fingerprint().to_string(),
            mean: rows.mean_axis(Axis(0)).unwrap(),
            deviation: rows
                .std_axis(Axis(0), 0.0)
                .mapv(|deviation| deviation.max(0.05)),
            encoder: Array2::from_shape_simple_fn((width, HIDDEN), &mut weight),
            decoder: Array2::from_shape_simple_fn((HIDDEN, width), &mut weight),
            bias: Array1::from_shape_simple_fn(HIDDEN, &mut weight),
        }
    }

    /// The same model, which minds the columns in `range` twenty times as much as the others.
    pub(crate) fn minding(mut self, range: std::ops::Range<usize>) -> Self {
        for (column, deviation) in self.deviation.iter_mut().enumerate() {
            *deviation *= if range.contains(&column) { 1.0 } else { 20.0 };
        }
        self
    }

    pub(crate) fn width(&self) -> usize {
        self.mean.len()
    }

    /// What the graph computes: residuals, whose sum over a row is its error.
    pub(crate) fn residuals(&self, rows: &Array2<f32>) -> Array2<f32> {
        let scaled = ((rows - &self.mean) / &self.deviation).mapv(|value| value.clamp(-CLIP, CLIP));
        let hidden = (scaled.dot(&self.encoder) + &self.bias)
            .mapv(|value| if value < 0.0 { SLOPE * value } else { value });
        let deviation = scaled - hidden.dot(&self.decoder);
        &deviation * &deviation / self.width() as f32
    }

    pub(crate) fn errors(&self, rows: &Array2<f32>) -> Vec<f32> {
        self.residuals(rows).sum_axis(Axis(1)).to_vec()
    }

    pub(crate) fn graph(&self) -> GraphProto {
        let width = self.width();
        let vector = |name: &str, values: &Array1<f32>| {
            TensorProto::f32(name, &[values.len()], &values.to_vec())
        };
        let matrix = |name: &str, values: &Array2<f32>| {
            let flat: Vec<f32> = values.iter().copied().collect();
            TensorProto::f32(name, &[values.nrows(), values.ncols()], &flat)
        };
        GraphProto {
            name: self.detector.to_owned(),
            node: vec![
                NodeProto::new("Sub", &[self.input, "input.shift"], &["centred"]),
                NodeProto::new("Div", &["centred", "deviation"], &["scaled"]),
                NodeProto::new("Clip", &["scaled", "low", "high"], &["z"]),
                NodeProto::new("Gemm", &["z", "encoder", "bias"], &["code"]),
                NodeProto::new("LeakyRelu", &["code"], &["active"])
                    .with(AttributeProto::float("alpha", SLOPE)),
                NodeProto::new("MatMul", &["active", "decoder"], &["copy"]),
                NodeProto::new("Sub", &["z", "copy"], &["difference"]),
                NodeProto::new("Mul", &["difference", "difference"], &["square"]),
                NodeProto::new("Div", &["square", "width"], &["residuals"]),
                NodeProto::new("ReduceSum", &["residuals", "axes"], &["error"])
                    .with(AttributeProto::int("keepdims", 0)),
            ],
            initializer: vec![
                vector("input.shift", &self.mean),
                vector("deviation", &self.deviation),
                TensorProto::f32("low", &[], &[-CLIP]),
                TensorProto::f32("high", &[], &[CLIP]),
                matrix("encoder", &self.encoder),
                vector("bias", &self.bias),
                matrix("decoder", &self.decoder),
                TensorProto::f32("width", &[], &[width as f32]),
                TensorProto::i64("axes", &[1], &[1]),
            ],
            input: vec![ValueInfoProto::f32(
                self.input,
                &[Dim::Batch, Dim::Fixed(width)],
            )],
            output: vec![
                ValueInfoProto::f32("error", &[Dim::Batch]),
                ValueInfoProto::f32("residuals", &[Dim::Batch, Dim::Fixed(width)]),
            ],
            ..GraphProto::default()
        }
    }

    pub(crate) fn model(&self) -> ModelProto {
        ModelProto::export(
            self.graph(),
            &[
                (DETECTOR_KEY, self.detector),
                (FINGERPRINT_KEY, &self.fingerprint),
            ],
        )
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.model().encode_to_vec()
    }

    /// The encoded model after `change`.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
        let mut model = self.model();
        change(&mut model);
        model.encode_to_vec()
    }
}
