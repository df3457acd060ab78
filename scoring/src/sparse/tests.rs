#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use prost::Message;
use weir_features::FIELD_WIDTH;

use super::*;
use crate::bundle::Bundle;
use crate::gate::ModelShape;
use crate::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::ort::{ExecutionProvider, Runtime, Session};

const LIMIT: Duration = Duration::from_secs(30);
const TOLERANCE: f32 = 1e-5;

/// The shipped network by both ways, and rows that its manifest tells the errors of.
struct Both {
    model: InspectedModel,
    network: Network,
    session: Mutex<Session>,
    golden: Vec<Vec<f32>>,
}

static BASE: LazyLock<Both> = LazyLock::new(|| {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/base");
    let bundle = Bundle::open(&base).unwrap();
    let manifest = bundle.manifest();
    let bytes = bundle.file(&manifest.detectors.field.file).unwrap();
    let model = crate::gate::inspect(bytes, &ModelShape::field(&manifest.fingerprint)).unwrap();
    Both {
        network: Network::read(&model).unwrap(),
        session: Mutex::new(session(&model)),
        golden: manifest.golden.field.rows.clone(),
        model,
    }
});

fn session(model: &InspectedModel) -> Session {
    let runtime = Runtime::load(None, None).unwrap();
    Session::new(runtime, model, ExecutionProvider::Cpu, LIMIT)
        .unwrap()
        .0
}

fn ours(network: &Network, rows: &Array2<f32>) -> Vec<f32> {
    let mut errors = Vec::new();
    let mut workspace = Workspace::default();
    network
        .errors(rows.view(), &mut workspace, &mut errors)
        .unwrap();
    errors
}

fn theirs(session: &mut Session, rows: &Array2<f32>) -> Vec<f32> {
    let mut errors = Vec::new();
    session.errors(rows.view(), &mut errors).unwrap();
    errors
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1e-3),
            "row {row}: {ours}, ONNX Runtime {theirs}"
        );
    }
}

fn agree(rows: &Array2<f32>) {
    let mut session = BASE.session.lock().unwrap_or_else(PoisonError::into_inner);
    assert_close(&ours(&BASE.network, rows), &theirs(&mut session, rows));
}

fn golden(from: usize, count: usize) -> Array2<f32> {
    let golden = &BASE.golden;
    Array2::from_shape_fn((count, FIELD_WIDTH), |(row, column)| {
        golden[(from + row) % golden.len()][column]
    })
}

/// A row of a few values that are not zero, of all magnitudes.
fn few() -> impl Strategy<Value = Vec<(usize, f32)>> {
    let value = prop_oneof![
        4 => -1.0_f32..8.0,
        1 => -1e3_f32..1e3,
        1 => Just(-0.0_f32),
        1 => Just(f32::MAX),
        1 => Just(f32::MIN_POSITIVE / 4.0),
    ];
    prop::collection::vec((0..FIELD_WIDTH, value), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_of_few_values_have_the_same_errors(rows in prop::collection::vec(few(), 1..14)) {
        let mut matrix = Array2::zeros((rows.len(), FIELD_WIDTH));
        for (mut row, values) in matrix.rows_mut().into_iter().zip(rows) {
            for (column, value) in values {
                row[column] = value;
            }
        }
        agree(&matrix);
    }

    /// What rows look like: golden ones, with some values changed.
    #[test]
    fn rows_near_usual_ones_have_the_same_errors(from in 0_usize..30, changes in few()) {
        let mut rows = golden(from, 3);
        for (column, value) in changes {
            rows[(column % 3, column)] = value;
        }
        agree(&rows);
    }
}

#[test]
fn every_number_of_rows_is_served() {
    for count in 0..19 {
        let rows = golden(3, count);
        let found = ours(&BASE.network, &rows);
        assert_eq!(found.len(), count);
        // A row's error does not depend on those around it.
        for (row, found) in rows.rows().into_iter().zip(found) {
            let alone = row.insert_axis(ndarray::Axis(0)).to_owned();
            assert_eq!(ours(&BASE.network, &alone), [found]);
        }
    }
    agree(&golden(0, 300));
    agree(&Array2::zeros((2, FIELD_WIDTH)));
    // In the memory order of columns.
    let turned = golden(5, 6)
        .reversed_axes()
        .as_standard_layout()
        .into_owned();
    let rows = turned.t();
    let mut errors = Vec::new();
    BASE.network
        .errors(rows, &mut Workspace::default(), &mut errors)
        .unwrap();
    assert_eq!(errors, ours(&BASE.network, &golden(5, 6)));
}

/// The error in 64 bits, layer by layer as the graph has it.
fn exact(weights: &Weights, row: &[f32]) -> f64 {
    let scaling = Scaling::of(weights);
    let scaled = row.iter().enumerate();
    let input: Array1<f64> = scaled
        .map(|(column, raw)| f64::from(scaling.value(column, *raw)))
        .collect();
    let errors = weights.members.iter().map(|member| {
        let mut value = input.clone();
        for layer in std::iter::once(&member.first).chain(&member.hidden) {
            value = value.dot(&layer.weight) + &layer.bias;
            value.mapv_inplace(|value| value.max(value * f64::from(layer.slope)));
        }
        let output = value.dot(&member.last.weight) + &member.last.bias;
        let deviation = (&input - &output) * &member.residual_scale;
        deviation.dot(&deviation)
    });
    errors.product::<f64>().powf(f64::from(weights.root))
}

#[test]
fn errors_are_as_exact_as_32_bits_allow() {
    let rows = golden(0, BASE.golden.len());
    let weights = read::weights(&BASE.model).unwrap();
    for (row, error) in rows.rows().into_iter().zip(ours(&BASE.network, &rows)) {
        let exact = exact(&weights, &row.to_vec());
        let off = (f64::from(error) - exact).abs() / exact;
        assert!(off < 2e-6, "{error}, exactly {exact}");
    }
}

/// A network of these layers, whose weights are drawn.
fn drawn(width: usize, hidden: &[usize], members: usize, mut draw: impl FnMut() -> f64) -> Weights {
    let layer = |inputs, outputs, draw: &mut dyn FnMut() -> f64| read::Layer {
        weight: Array2::from_shape_simple_fn((inputs, outputs), &mut *draw),
        bias: Array1::from_shape_simple_fn(outputs, &mut *draw),
        slope: 0.2,
    };
    let small = |draw: &mut dyn FnMut() -> f64| draw() as f32;
    let member = |draw: &mut dyn FnMut() -> f64| {
        let sizes = hidden.windows(2);
        read::Layers {
            first: layer(width, hidden[0], draw),
            hidden: sizes.map(|sizes| layer(sizes[0], sizes[1], draw)).collect(),
            last: layer(hidden[hidden.len() - 1], width, draw),
            residual_scale: Array1::from_shape_simple_fn(width, || draw().abs() + 0.1),
        }
    };
    Weights {
        shift: (0..width).map(|_| small(&mut draw)).collect(),
        scale: (0..width).map(|_| 2.0 + small(&mut draw)).collect(),
        low: -8.0,
        high: 8.0,
        members: (0..members).map(|_| member(&mut draw)).collect(),
        root: 1.0 / members as f32,
    }
}

#[test]
fn networks_of_all_sizes_have_their_errors() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
    };
    let shapes: [(usize, &[usize], usize); 6] = [
        (1, &[1], 1),
        (7, &[3], 1),
        (50, &[24, 8, 24], 2),
        (65, &[65, 33, 70], 3),
        (130, &[1, 129], 1),
        // More in the last hidden layer than columns: the basis ends before it does.
        (20, &[8, 40], 2),
    ];
    for (width, hidden, members) in shapes {
        let weights = drawn(width, hidden, members, &mut draw);
        let network = Network::of(Arch::new(), &weights);
        let rows = Array2::from_shape_fn((6, width), |(row, column)| {
            let value = draw() as f32 * 4.0;
            if row == 5 || column % 3 == row % 3 {
                value
            } else {
                0.0
            }
        });
        for (row, error) in rows.rows().into_iter().zip(ours(&network, &rows)) {
            let exact = exact(&weights, &row.to_vec());
            let off = (f64::from(error) - exact).abs() / exact.max(1e-3);
            assert!(off < 1e-5, "{hidden:?}: {error}, exactly {exact}");
        }
    }
}

#[test]
fn processors_without_wide_instructions_get_the_same_numbers() {
    let weights = read::weights(&BASE.model).unwrap();
    let mut narrower = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    narrower.extend(pulp::x86::V3::try_new().map(Arch::V3));
    for arch in narrower {
        let network = Network::of(arch, &weights);
        for count in [1, 4, 5, 8, 19] {
            let rows = golden(0, count);
            assert_close(&ours(&network, &rows), &ours(&BASE.network, &rows));
        }
    }
}

#[test]
fn what_is_no_number_or_too_wide_is_an_error() {
    let mut rows = golden(8, 3);
    rows[(1, 17)] = f32::NAN;
    let mut errors = vec![7.0];
    let mut workspace = Workspace::default();
    let mut run = |rows: &Array2<f32>| {
        BASE.network
            .errors(rows.view(), &mut workspace, &mut errors)
    };
    assert!(matches!(run(&rows), Err(SessionError::NotFinite(_))));
    let narrow = Array2::zeros((1, 3));
    assert!(matches!(
        run(&narrow),
        Err(SessionError::Width { found: 3, .. })
    ));
    assert_eq!(errors, [7.0]);
}

/// The shipped model after a change to its graph, as the gate would hand it on.
fn changed(change: impl FnOnce(&mut GraphProto)) -> InspectedModel {
    let mut model = ModelProto::decode(BASE.model.bytes()).unwrap();
    change(model.graph.as_mut().unwrap());
    crate::gate::inspect(&model.encode_to_vec(), BASE.model.shape()).unwrap()
}

fn node<'g>(graph: &'g mut GraphProto, output: &str) -> &'g mut NodeProto {
    let mut nodes = graph.node.iter_mut();
    nodes.find(|node| node.output[0] == output).unwrap()
}

#[test]
fn a_graph_that_strays_is_left_to_onnx_runtime() {
    type Change = fn(&mut GraphProto);
    let changes: [(&str, Change); 6] = [
        ("another activation", |graph| {
            let node = node(graph, "member1.layer0.output");
            node.op_type = "Relu".to_owned();
            node.attribute.clear();
        }),
        ("a product that is scaled", |graph| {
            let attribute = AttributeProto::float("alpha", 0.5);
            node(graph, "member0.layer1.sum").attribute.push(attribute);
        }),
        ("a slope that bends back", |graph| {
            node(graph, "member0.layer0.output").attribute[0].f = Some(-0.2);
        }),
        ("residuals that are not squared", |graph| {
            node(graph, "member2.residuals").input[1] = "member1.deviation".to_owned();
        }),
        ("a member that sees raw values", |graph| {
            node(graph, "member1.difference").input[0] = "unclipped".to_owned();
        }),
        ("a mean for a sum", |graph| {
            let sum = node(graph, "member1.error");
            sum.op_type = "Max".to_owned();
            sum.input.pop();
            sum.attribute.clear();
        }),
    ];
    for (what, change) in changes {
        let model = changed(change);
        assert!(Network::read(&model).is_err(), "{what}");
    }
}

#[test]
fn other_constants_are_read_as_they_are() {
    let model = changed(|graph| {
        node(graph, "member0.layer1.output").attribute[0].f = Some(0.4);
        for tensor in &mut graph.initializer {
            match tensor.name.as_str() {
                "input.high" => *tensor = TensorProto::f32("input.high", &[], &[2.5]),
                // A last layer of less than full rank.
                "member1.layer3.weight" => {
                    let mut values = tensor.floats();
                    let (first, others) = values.split_at_mut(FIELD_WIDTH);
                    others[..FIELD_WIDTH].copy_from_slice(first);
                    others[FIELD_WIDTH..3 * FIELD_WIDTH].fill(0.0);
                    let rows = values.len() / FIELD_WIDTH;
                    *tensor = TensorProto::f32(&tensor.name, &[rows, FIELD_WIDTH], &values);
                }
                _ => {}
            }
        }
    });
    let rows = golden(0, BASE.golden.len());
    let found = ours(&Network::read(&model).unwrap(), &rows);
    assert_close(&found, &theirs(&mut session(&model), &rows));
    assert_ne!(found, ours(&BASE.network, &rows));
}

#[test]
fn a_row_that_was_met_before_has_the_same_error_whatever_stands_beside_it() {
    let rows = BASE.golden.concat();
    let rows = Array2::from_shape_vec((BASE.golden.len(), FIELD_WIDTH), rows).unwrap();
    let expected = ours(&BASE.network, &rows);
    let mut workspace = Workspace::default();
    workspace.remember(true);
    let mut again = |order: &[usize]| {
        let some = rows.select(ndarray::Axis(0), order);
        let mut errors = Vec::new();
        BASE.network
            .errors(some.view(), &mut workspace, &mut errors)
            .unwrap();
        let bits = |error: &f32| error.to_bits();
        let same: Vec<u32> = order.iter().map(|at| bits(&expected[*at])).collect();
        assert_eq!(errors.iter().map(bits).collect::<Vec<_>>(), same);
    };
    let count = rows.nrows();
    // Some are known and some are not; then all are, in another order and twice.
    again(&(0..count).step_by(3).collect::<Vec<_>>());
    again(&(0..count).collect::<Vec<_>>());
    again(&(0..count).rev().chain(0..count).collect::<Vec<_>>());
}

#[test]
fn what_one_network_met_is_nothing_to_another() {
    let other = Network::read(&BASE.model).unwrap();
    let rows = Array2::from_shape_vec((1, FIELD_WIDTH), BASE.golden[0].clone()).unwrap();
    let mut bytes = Vec::new();
    let mut differences = Vec::new();
    other
        .scaling
        .differences(rows.row(0).as_slice().unwrap(), &mut differences);
    let mut memo = Memo::default();
    memo.turn(true);
    memo.insert(BASE.network.keys.of(&differences, &mut bytes), 1.0);
    assert_eq!(memo.get(other.keys.of(&differences, &mut bytes)), None);
    assert_eq!(
        memo.get(BASE.network.keys.of(&differences, &mut bytes)),
        Some(1.0)
    );
}
