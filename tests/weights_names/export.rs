//! Known descriptions, and names for other programs.

use super::*;

/// A network whose description is known, of a flattened 2x3 map.
fn described() -> Model {
    let mut tensors = Tensors::default();
    tensors.layer("features.0", &[4, 1, 3, 3]);
    tensors.layer("features.3", &[5, 4, 3, 3]);
    tensors.dense(&["classifier.0", "classifier.3"], &[5 * 6, 7, 2]);
    let mut values = tensors.list.into_iter().map(|tensor| match tensor.values {
        Values::F32(values) => (tensor.shape, values.into_owned()),
        Values::I64(_) => unreachable!("these are floats"),
    });
    let mut layer = |name: &str| {
        let ((shape, weight), (_, bias)) = (values.next().unwrap(), values.next().unwrap());
        LayerWeights { name: name.to_owned(), shape, weight, bias, norm: None }
    };
    let layers = ["features.0", "features.3", "classifier.0", "classifier.3"].map(&mut layer);
    let description = Description {
        blocks: vec![[1, 4], [1, 5]],
        batch_norm: false,
        head: Head::Flatten,
        hidden: vec![7],
        dropout: 0.25,
        input: [1, 9, 13],
        classes: vec!["no".to_owned(), "yes".to_owned()],
        preprocessing: Preprocessing { resize: Some(14), ..Preprocessing::default() },
        origin: None,
    };
    Model { description, layers: layers.to_vec() }
}

#[test]
fn a_description_is_followed_exactly() {
    let model = described();
    let told = |description: &Description| ImportOptions {
        description: Some(description.clone()),
        ..ImportOptions::default()
    };
    for tensors in [model.tensors(), export_tensors(&model, Naming::D2l).unwrap()] {
        let recognised = with(&owned(tensors), &told(&model.description)).unwrap();
        assert_eq!((recognised.model, recognised.notes), (model.clone(), vec![]));
    }
    let tensors = owned(model.tensors());
    let mut other = model.description.clone();
    other.blocks[1] = [2, 5];
    other.hidden.clear();
    let Err(NamesError::Mismatch(found)) = with(&tensors, &told(&other)) else {
        panic!("another network");
    };
    let names = |list: &[(String, Vec<usize>)]| -> Vec<String> {
        list.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found.missing), ["features.5.weight", "features.5.bias"]);
    assert_eq!(names(&found.unexpected), ["classifier.3.bias", "classifier.3.weight"]);
    assert_eq!(found.wrong.len(), 2);

    for (counts, hidden) in [([usize::MAX, 4], 0), ([1, 4], usize::MAX)] {
        let mut huge = model.description.clone();
        huge.blocks = vec![counts; 3];
        huge.input = [1, usize::MAX, usize::MAX];
        huge.hidden = vec![hidden];
        assert!(with(&tensors, &told(&huge)).is_err());
    }
    let mut empty = model.description.clone();
    empty.blocks.clear();
    assert!(with(&tensors, &told(&empty)).is_err());
}

#[test]
fn networks_that_another_program_lacks_are_not_written() {
    let model = described();
    let error = export_tensors(&model, Naming::Torchvision).unwrap_err().to_string();
    assert!(error.contains("2x3") && error.contains("d2l"), "{error}");

    let pooled = with(&vgg11(), &resize(100)).unwrap().model;
    let error = export_tensors(&pooled, Naming::D2l).unwrap_err().to_string();
    assert!(error.contains("3x3") && error.contains("torchvision"), "{error}");
    let whole = import(&vgg11()).model;
    let notebook = owned(export_tensors(&whole, Naming::D2l).unwrap());
    assert_eq!(notebook[0].name, "0.0.weight");
    assert_eq!(notebook[16].name, "6.weight");
    assert_eq!(import(&notebook).model.layers, whole.layers);
    let timm = owned(export_tensors(&whole, Naming::Timm).unwrap());
    assert_eq!(import(&timm).model, whole);

    let mut tensors = Tensors::default();
    tensors.features(NORMED[0], PLAIN[0].1, 3, true);
    tensors.dense(&["classifier.0"], &[32 * 49, 2]);
    let normed = import(&tensors.list).model;
    let error = export_tensors(&normed, Naming::D2l).unwrap_err().to_string();
    assert!(error.contains("no batch normalisation"), "{error}");
    let error = export_tensors(&normed, Naming::Timm).unwrap_err().to_string();
    assert!(error.contains("3 dense layers, this network 1"), "{error}");
}

#[test]
fn weights_that_are_not_as_described_are_not_written() {
    let change: [fn(&mut Model); 4] = [
        |model| model.layers.truncate(1),
        |model| model.layers[1].shape = vec![5, 4, 9],
        |model| model.layers[2].bias.truncate(1),
        |model| model.description.batch_norm = true,
    ];
    for (i, change) in change.iter().enumerate() {
        let mut model = described();
        change(&mut model);
        model.description.input = [1, 28, 28];
        let error = export_tensors(&model, Naming::Torchvision).unwrap_err();
        assert!(matches!(error, WeightsError::Shape { .. }), "{i}: {error}");
    }
}
