use super::*;
use crate::weights::{LayerWeights, NormWeights, Preprocessing};

/// A network of two blocks, 1x4 and 2x6, on three channels.
fn network(head: Head, input: [usize; 2], batch_norm: bool) -> Model {
    let [height, width] = input;
    let description = Description {
        blocks: vec![[1, 4], [2, 6]],
        batch_norm,
        head,
        hidden: vec![5],
        dropout: 0.5,
        input: [3, height, width],
        classes: vec!["cat \"x\"".to_owned(), "dog".to_owned()],
        preprocessing: Preprocessing::default(),
        origin: None,
    };
    let pixels = if head == Head::AvgPool7 { 49 } else { (height / 4) * (width / 4) };
    let shapes =
        [vec![4, 3, 3, 3], vec![6, 4, 3, 3], vec![6, 6, 3, 3], vec![5, 6 * pixels], vec![2, 5]];
    let mut next = 0.0;
    let mut values = |count: usize| -> Vec<f32> {
        next += 1.0;
        (0..count).map(|i| next + i as f32 / 1024.0).collect()
    };
    let mut layer = |(name, shape): (LayerName, Vec<usize>)| LayerWeights {
        weight: values(shape.iter().product()),
        bias: values(shape[0]),
        norm: name.norm.map(|name| NormWeights {
            name,
            weight: values(shape[0]),
            bias: values(shape[0]),
            running_mean: values(shape[0]),
            running_var: values(shape[0]),
            num_batches_tracked: 3,
        }),
        name: name.layer,
        shape,
    };
    let layers = description.layer_names().into_iter().zip(shapes).map(&mut layer).collect();
    Model { description, layers }
}

/// What a reader of protobuf finds in the file.
fn written(model: &Model) -> proto::Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    write_onnx(model, &path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    proto::Model::decode(&*std::fs::read(&path).unwrap()).unwrap()
}

fn kinds(graph: &proto::Graph) -> Vec<&str> {
    graph.node.iter().map(|node| node.op_type.as_str()).collect()
}

fn sizes(value: &proto::ValueInfo) -> Vec<proto::Size> {
    let kind = value.of.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(kind.elem_type, proto::FLOAT);
    let dims = &kind.shape.as_ref().unwrap().dim;
    dims.iter().map(|dim| dim.size.clone().unwrap()).collect()
}

#[test]
fn the_graph_is_the_network() {
    let model = network(Head::Flatten, [8, 12], true);
    let file = written(&model);
    assert_eq!((file.ir_version, file.opset_import[0].version), (8, 17));
    assert_eq!(
        (&*file.producer_name, &*file.producer_version),
        ("vgg-wgpu", env!("CARGO_PKG_VERSION"))
    );
    let graph = file.graph.unwrap();
    let conv = ["Conv", "BatchNormalization", "Relu"];
    let expected =
        [&conv[..], &["MaxPool"], &conv, &conv, &["MaxPool", "Flatten", "Gemm", "Relu", "Gemm"]];
    assert_eq!(kinds(&graph), expected.concat());
    let attributes = |kind: &str| {
        let node = graph.node.iter().find(|node| node.op_type == kind).unwrap();
        node.attribute.clone()
    };
    assert_eq!(attributes("Conv"), [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])]);
    assert_eq!(attributes("BatchNormalization"), [float("epsilon", 1e-5)]);
    assert_eq!(attributes("MaxPool"), [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
    assert_eq!(attributes("Flatten"), [int("axis", 1)]);
    assert_eq!(attributes("Gemm"), [int("transB", 1)]);
    let (batch, size) = (proto::Size::Name("N".to_owned()), proto::Size::Value);
    assert_eq!(graph.input.len(), 1);
    assert_eq!(graph.input[0].name, "input");
    assert_eq!(sizes(&graph.input[0]), [batch.clone(), size(3), size(8), size(12)]);
    assert_eq!(graph.output[0].name, "logits");
    assert_eq!(sizes(&graph.output[0]), [batch, size(2)]);
}

#[test]
fn each_value_is_made_before_it_is_read() {
    for (head, side) in [(Head::Flatten, 9), (Head::AvgPool7, 40), (Head::AvgPool7, 56)] {
        for batch_norm in [false, true] {
            let graph = written(&network(head, [side, side], batch_norm)).graph.unwrap();
            let weights = graph.initializer.iter().map(|weight| weight.name.clone());
            let mut known: Vec<String> = weights.chain(["input".to_owned()]).collect();
            let mut read = Vec::new();
            for node in &graph.node {
                assert!(node.input.iter().all(|input| known.contains(input)), "{node:?}");
                assert!(node.output.iter().all(|output| !known.contains(output)), "{node:?}");
                read.extend(node.input.clone());
                known.extend(node.output.clone());
            }
            assert_eq!(known.last().unwrap(), "logits");
            known.pop();
            read.sort();
            known.sort();
            assert_eq!(read, known, "each is read, once");
        }
    }
}

#[test]
fn weights_are_torchvisions_bit_for_bit() {
    for batch_norm in [false, true] {
        let model = network(Head::Flatten, [8, 8], batch_norm);
        let mut tensors = model.tensors();
        tensors.retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
        let found = written(&model).graph.unwrap().initializer;
        assert_eq!(found.len(), if batch_norm { 10 + 3 * 4 } else { 10 });
        let of_tensor = |tensor: &Tensor<'_>| proto::Tensor {
            dims: tensor.shape.iter().map(|&size| size as i64).collect(),
            data_type: 1,
            name: tensor.name.clone(),
            raw_data: tensor.values.bytes().into_owned(),
        };
        assert_eq!(found, tensors.iter().map(of_tensor).collect::<Vec<_>>());
    }
}

#[test]
fn pooling_to_7x7_is_as_simple_as_the_map_allows() {
    let tail = |height, width| {
        let graph = written(&network(Head::AvgPool7, [height, width], false)).graph.unwrap();
        let pooled = graph.node.iter().rposition(|node| node.op_type == "MaxPool").unwrap();
        graph.node[pooled + 1..graph.node.len() - 4].to_vec()
    };
    assert!(tail(28, 31).is_empty(), "7x7 already");
    let [pool] = &tail(56, 84)[..] else { panic!("one node") };
    assert_eq!(pool.op_type, "AveragePool");
    assert_eq!(pool.attribute, [ints("kernel_shape", &[2, 3]), ints("strides", &[2, 3])]);
    for (height, width) in [(56, 40), (12, 28), (4, 100)] {
        let [rows, columns] = &tail(height, width)[..] else { panic!("two nodes") };
        assert_eq!((&*rows.op_type, &*columns.op_type), ("MatMul", "MatMul"));
        assert_eq!(rows.input[0], ROWS);
        assert_eq!(columns.input, [rows.output[0].as_str(), COLUMNS]);
    }
}

#[test]
fn averages_are_those_of_adaptive_pooling() {
    // Of ten: [0, 2), [1, 3), [2, 5), [4, 6), [5, 8), [7, 9), [8, 10).
    let windows = [(0, 2), (1, 3), (2, 5), (4, 6), (5, 8), (7, 9), (8, 10)];
    let model = network(Head::AvgPool7, [40, 12], false);
    let [rows, columns] = &averages(&model.description)[..] else { panic!("two matrices") };
    assert_eq!((&*rows.shape, &*columns.shape), (&[7, 10][..], &[3, 7][..]));
    let Values::F32(rows) = &rows.values else { panic!("floats") };
    for (row, (first, end)) in rows.chunks(10).zip(windows) {
        let share = 1.0 / (end - first) as f32;
        let expected: Vec<f32> =
            (0..10).map(|i| if (first..end).contains(&i) { share } else { 0.0 }).collect();
        assert_eq!(row, expected);
    }
    // Of three, each window is within one or two.
    let Values::F32(columns) = &columns.values else { panic!("floats") };
    assert_eq!(columns[..7], [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(columns[7..14], [0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
    assert_eq!(columns[14..], [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
}

#[test]
fn the_metadata_is_the_model_card() {
    let mut model = network(Head::Flatten, [8, 8], false);
    model.description.preprocessing.normalisation = crate::shape::Normalisation::IMAGENET;
    let entries = written(&model).metadata_props;
    let get = |key: &str| &*entries.iter().find(|entry| entry.key == key).unwrap().value;
    let description: Description = serde_json::from_str(get("vgg_wgpu")).unwrap();
    assert_eq!(description, model.description);
    assert_eq!(get("classes"), r#"["cat \"x\"","dog"]"#);
    assert_eq!(get("mean"), "[0.485,0.456,0.406]");
    assert_eq!(get("deviation"), "[0.229,0.224,0.225]");
}

#[test]
fn what_protobuf_cannot_hold_is_an_error() {
    // 2^29 weights, whose zeros no one touches.
    let mut model = network(Head::Flatten, [2048, 2048], false);
    let description = &mut model.description;
    description.blocks = vec![[1, 1]];
    description.hidden.clear();
    description.classes = vec![String::new(); 512];
    model.layers.truncate(2);
    let layer = |layer: &mut LayerWeights, shape: &[usize]| {
        layer.shape = shape.to_vec();
        layer.weight = vec![0.0; shape.iter().product()];
        layer.bias = vec![0.0; shape[0]];
    };
    layer(&mut model.layers[0], &[1, 3, 3, 3]);
    layer(&mut model.layers[1], &[512, 1 << 20]);
    let folder = tempfile::tempdir().unwrap();
    let error = write_onnx(&model, &folder.path().join("large.onnx")).unwrap_err();
    assert!(
        matches!(&error, WeightsError::Names(e) if matches!(**e, NamesError::TooLarge { .. })),
        "{error}"
    );

    model.layers.truncate(1);
    let error = write_onnx(&model, &folder.path().join("short.onnx")).unwrap_err();
    assert!(matches!(error, WeightsError::Shape { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
