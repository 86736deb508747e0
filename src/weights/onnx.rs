//! A network as an ONNX file.

use std::borrow::Cow;
use std::path::Path;

use prost::{Message, encode_length_delimiter, length_delimiter_len};

use super::naming::{SIDE, checked_tensors, pooled_map};
use super::onnx_proto as proto;
use super::{Description, LayerName, Model, NamesError, Naming, Tensor, Values, WeightsError};
use crate::files::write_beside;
use crate::shape::{FeatureMap, Head};

/// The version of ONNX's operators.
const OPSET: i64 = 17;
/// The version of the file format that came with them.
const IR_VERSION: i64 = 8;
/// Protobuf's readers take no message of more bytes.
const MOST: usize = i32::MAX as usize;
/// Added to the variance by batch normalisation: PyTorch's default.
const EPSILON: f32 = 1e-5;

/// Writes the network for inference to `path`: beside it, synced, then renamed over it.
///
/// The input is `input`, `(N, C, H, W)` f32 in `[0, 1]` with any N, and the output `logits`,
/// `(N, classes)`, before softmax. What the description says of preprocessing is not part of the
/// graph: resizing and `(value - mean) / deviation` come before it. The description is in the
/// file's metadata, under `vgg_wgpu`, and what a program needs of it under `classes`, `mean` and
/// `deviation`, all as JSON. Weights have torchvision's names.
///
/// Nodes are those of opset 17. With [`Head::AvgPool7`] a map of 7x7 is left as it is, one of a
/// multiple is pooled by `AveragePool`, and any other is multiplied by the matrices of adaptive
/// averaging, from the left for rows and from the right for columns, which ONNX has no node for.
///
/// # Errors
/// [`WeightsError::Shape`] if the weights are not those that the description tells of,
/// [`NamesError::TooLarge`] above 2 GiB, which is protobuf's limit, and [`WeightsError::Io`] if the
/// file cannot be written.
pub fn write_onnx(model: &Model, path: &Path) -> Result<(), WeightsError> {
    let card = card(&model.description)
        .map_err(|source| WeightsError::Description { path: path.to_owned(), source })?;
    let bytes = encode(model, card)?;
    write_beside(path, &bytes).map_err(|source| WeightsError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// The file's bytes. The weights are copied once, into them, so the messages that hold them are
/// put together here: each is its tag, its length and its content.
fn encode(model: &Model, card: Vec<proto::Entry>) -> Result<Vec<u8>, WeightsError> {
    let tensors = checked_tensors(model, Naming::Torchvision)?;
    let weights: Vec<_> =
        tensors.iter().filter(|tensor| matches!(tensor.values, Values::F32(_))).collect();
    let matrices = averages(&model.description);
    let initialisers: Vec<(Vec<u8>, Cow<'_, [u8]>)> =
        weights.into_iter().chain(&matrices).map(initialiser).collect();
    let graph = graph(&model.description).encode_to_vec();
    let header = header(&model.description, card).encode_to_vec();
    let of_tensor = |(head, raw): &(Vec<u8>, Cow<'_, [u8]>)| head.len() + field_len(raw.len());
    let of_graph =
        graph.len() + initialisers.iter().map(|part| field_len(of_tensor(part))).sum::<usize>();
    let size = header.len() + field_len(of_graph);
    if size > MOST {
        return Err(NamesError::TooLarge { bytes: size }.into());
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(header);
    start_field(&mut bytes, proto::GRAPH_TAG, of_graph);
    bytes.extend(graph);
    for part in &initialisers {
        start_field(&mut bytes, proto::INITIALIZER_TAG, of_tensor(part));
        bytes.extend(&part.0);
        start_field(&mut bytes, proto::RAW_DATA_TAG, part.1.len());
        bytes.extend(&*part.1);
    }
    Ok(bytes)
}

/// Bytes of a field of bytes or of a message, whose tag is below 16.
fn field_len(content: usize) -> usize {
    1 + length_delimiter_len(content) + content
}

/// Writes what stands before the content of such a field.
fn start_field(bytes: &mut Vec<u8>, tag: u8, content: usize) {
    const LENGTH_DELIMITED: u8 = 2;
    bytes.push(tag << 3 | LENGTH_DELIMITED);
    // A vector grows, so the only error, that of a full buffer, does not occur.
    let _ = encode_length_delimiter(content, bytes);
}

/// A tensor without its raw data, and that.
fn initialiser<'a>(tensor: &'a Tensor<'_>) -> (Vec<u8>, Cow<'a, [u8]>) {
    let head = proto::Tensor {
        dims: tensor.shape.iter().map(|&size| size as i64).collect(),
        data_type: proto::FLOAT,
        name: tensor.name.clone(),
        raw_data: Vec::new(),
    };
    (head.encode_to_vec(), tensor.values.bytes())
}

/// The model without its graph.
fn header(description: &Description, card: Vec<proto::Entry>) -> proto::Model {
    let [channels, height, width] = description.input;
    proto::Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!(
            "VGG for pictures of (N, {channels}, {height}, {width}) in [0, 1], less the mean and \
             divided by the deviation in the metadata. logits are before softmax."
        ),
        graph: None,
        opset_import: vec![proto::OperatorSet { version: OPSET }],
        metadata_props: card,
    }
}

/// The model card.
fn card(description: &Description) -> Result<Vec<proto::Entry>, serde_json::Error> {
    let normalisation = &description.preprocessing.normalisation;
    let entries = [
        ("vgg_wgpu", serde_json::to_string(description)?),
        ("classes", serde_json::to_string(&description.classes)?),
        ("mean", serde_json::to_string(&normalisation.mean)?),
        ("deviation", serde_json::to_string(&normalisation.deviation)?),
    ];
    Ok(entries.map(|(key, value)| proto::Entry { key: key.to_owned(), value }).to_vec())
}

/// The graph without its initialisers.
fn graph(description: &Description) -> proto::Graph {
    let [channels, height, width] = description.input;
    proto::Graph {
        node: Nodes::of(description),
        name: "vgg".to_owned(),
        initializer: Vec::new(),
        input: vec![value("input", &[channels, height, width])],
        output: vec![value("logits", &[description.classes.len()])],
    }
}

/// A value of `(N, sizes)`.
fn value(name: &str, sizes: &[usize]) -> proto::ValueInfo {
    let known = sizes.iter().map(|&size| proto::Size::Value(size as i64));
    let sizes = [proto::Size::Name("N".to_owned())].into_iter().chain(known);
    let dim = sizes.map(|size| proto::Dimension { size: Some(size) }).collect();
    let shape = Some(proto::Shape { dim });
    let tensor_type = Some(proto::TensorType { elem_type: proto::FLOAT, shape });
    proto::ValueInfo { name: name.to_owned(), of: Some(proto::Type { tensor_type }) }
}

/// The nodes so far, each of which reads what the one before gives.
struct Nodes {
    nodes: Vec<proto::Node>,
    last: String,
}

impl Nodes {
    fn of(description: &Description) -> Vec<proto::Node> {
        let mut all = Self { nodes: Vec::new(), last: "input".to_owned() };
        let mut names = description.layer_names().into_iter();
        for (block, &[convolutions, _]) in description.blocks.iter().enumerate() {
            names.by_ref().take(convolutions).for_each(|name| all.convolution(&name));
            all.add(
                "MaxPool",
                format!("pool{}", block + 1),
                &[],
                vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
            );
        }
        all.head(&head(description));
        let dense: Vec<LayerName> = names.collect();
        for (i, LayerName { layer, .. }) in dense.iter().enumerate() {
            let weights = [format!("{layer}.weight"), format!("{layer}.bias")];
            all.add("Gemm", layer.clone(), &weights, vec![int("transB", 1)]);
            if i + 1 < dense.len() {
                all.add("Relu", format!("{layer}.relu"), &[], Vec::new());
            }
        }
        if let Some(output) = all.nodes.last_mut().and_then(|node| node.output.first_mut()) {
            "logits".clone_into(output);
        }
        all.nodes
    }

    /// Adds a node of the last value and of `weights`.
    fn add(
        &mut self,
        op_type: &str,
        name: String,
        weights: &[String],
        attribute: Vec<proto::Attribute>,
    ) {
        let output = format!("{name}.output");
        let last = std::mem::replace(&mut self.last, output.clone());
        let input = [last].into_iter().chain(weights.iter().cloned()).collect();
        let op_type = op_type.to_owned();
        self.nodes.push(proto::Node { input, output: vec![output], name, op_type, attribute });
    }

    fn convolution(&mut self, LayerName { layer, norm }: &LayerName) {
        let weights = ["weight", "bias"].map(|part| format!("{layer}.{part}"));
        let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])];
        self.add("Conv", layer.clone(), &weights, attributes);
        if let Some(norm) = norm {
            let parts = ["weight", "bias", "running_mean", "running_var"];
            let parts = parts.map(|part| format!("{norm}.{part}"));
            self.add("BatchNormalization", norm.clone(), &parts, vec![float("epsilon", EPSILON)]);
        }
        self.add("Relu", format!("{layer}.relu"), &[], Vec::new());
    }

    fn head(&mut self, head: &Pooling) {
        match head {
            Pooling::None => {}
            Pooling::Whole { rows, columns } => {
                let window = [*rows as i64, *columns as i64];
                let attributes = vec![ints("kernel_shape", &window), ints("strides", &window)];
                self.add("AveragePool", "avgpool".to_owned(), &[], attributes);
            }
            Pooling::Adaptive { .. } => {
                // (7, h) x (N, c, h, w): the constant stands before the value.
                self.add("MatMul", "avgpool.rows".to_owned(), &[ROWS.to_owned()], Vec::new());
                if let Some(node) = self.nodes.last_mut() {
                    node.input.reverse();
                }
                let columns = [COLUMNS.to_owned()];
                self.add("MatMul", "avgpool.columns".to_owned(), &columns, Vec::new());
            }
        }
        self.add("Flatten", "flatten".to_owned(), &[], vec![int("axis", 1)]);
    }
}

/// The matrix of adaptive averaging over rows, `(7, h)`.
const ROWS: &str = "avgpool.rows.weight";
/// That over columns, `(w, 7)`.
const COLUMNS: &str = "avgpool.columns.weight";

/// How the last block's map becomes the one that is flattened.
enum Pooling {
    /// It is that one.
    None,
    /// The mean of windows that do not overlap.
    Whole { rows: usize, columns: usize },
    /// Windows of several sizes.
    Adaptive { height: usize, width: usize },
}

fn head(description: &Description) -> Pooling {
    let FeatureMap { height, width, .. } = pooled_map(description);
    match (description.head, height % SIDE, width % SIDE) {
        (Head::Flatten, ..) => Pooling::None,
        (Head::AvgPool7, 0, 0) if (height, width) == (SIDE, SIDE) => Pooling::None,
        (Head::AvgPool7, 0, 0) => Pooling::Whole { rows: height / SIDE, columns: width / SIDE },
        (Head::AvgPool7, ..) => Pooling::Adaptive { height, width },
    }
}

/// The matrices of adaptive averaging, if there are any.
fn averages(description: &Description) -> Vec<Tensor<'static>> {
    let Pooling::Adaptive { height, width } = head(description) else { return Vec::new() };
    let tensor = |name: &str, shape, values: Vec<f32>| Tensor {
        name: name.to_owned(),
        shape,
        values: Values::F32(values.into()),
    };
    let share = |size, i| (0..SIDE).map(move |window| average(size, window, i));
    let rows = (0..SIDE).flat_map(|window| (0..height).map(move |i| average(height, window, i)));
    let columns = (0..width).flat_map(|i| share(width, i));
    vec![
        tensor(ROWS, vec![SIDE, height], rows.collect()),
        tensor(COLUMNS, vec![width, SIDE], columns.collect()),
    ]
}

/// What element `i` of `size` counts in the mean of `window` of seven: PyTorch's
/// `AdaptiveAvgPool2d` takes those from `floor(window * size / 7)` to before
/// `ceil((window + 1) * size / 7)`.
fn average(size: usize, window: usize, i: usize) -> f32 {
    let (first, end) = (window * size / SIDE, ((window + 1) * size).div_ceil(SIDE));
    if (first..end).contains(&i) { 1.0 / (end - first) as f32 } else { 0.0 }
}

fn ints(name: &str, ints: &[i64]) -> proto::Attribute {
    let (name, ints) = (name.to_owned(), ints.to_vec());
    proto::Attribute { name, ints, kind: proto::KIND_INTS, ..Default::default() }
}

fn int(name: &str, i: i64) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        i: Some(i),
        kind: proto::KIND_INT,
        ..Default::default()
    }
}

fn float(name: &str, f: f32) -> proto::Attribute {
    let kind = proto::KIND_FLOAT;
    proto::Attribute { name: name.to_owned(), f: Some(f), kind, ..Default::default() }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
