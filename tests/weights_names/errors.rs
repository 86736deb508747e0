//! Tensors that are no network, or not quite one.

use super::*;

#[test]
fn one_tensor_under_two_names_is_an_error() {
    let mut tensors = vgg11();
    let mut twin = tensors[0].clone();
    twin.name = "module.features.0.weight".to_owned();
    tensors.push(twin);
    let error = with(&tensors, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, NamesError::Twice { .. }), "{error}");
}

#[test]
fn every_missing_unexpected_and_wrong_tensor_is_listed() {
    let mut tensors = Tensors::default();
    for tensor in vgg11() {
        match tensor.name.as_str() {
            "features.6.bias" | "classifier.3.weight" | "classifier.3.bias" => {}
            "features.8.weight" => tensors.add("features.8.weight", &[16, 16, 5, 5]),
            "features.18.weight" => tensors.add("features.18.weight", &[33, 32, 3, 3]),
            "classifier.0.weight" => tensors.add("classifier.0.weight", &[6, 1500]),
            _ => tensors.list.push(tensor),
        }
    }
    tensors.add("module.features.1.running_mean", &[4]);
    tensors.add("optimiser", &[2, 2]);
    let found = mismatch(&tensors.list);
    let missing = [
        ("features.6.bias".to_owned(), vec![16]),
        ("classifier.3.weight".to_owned(), vec![5, 6]),
        ("classifier.3.bias".to_owned(), vec![5]),
    ];
    assert_eq!(found.missing, missing);
    let unexpected = [
        ("module.features.1.running_mean".to_owned(), vec![4]),
        ("optimiser".to_owned(), vec![2, 2]),
    ];
    assert_eq!(found.unexpected, unexpected);
    let wrong = [
        ("features.8.weight".to_owned(), vec![16, 16, 5, 5], vec![16, 16, 3, 3]),
        ("features.18.weight".to_owned(), vec![33, 32, 3, 3], vec![32, 32, 3, 3]),
        ("classifier.0.weight".to_owned(), vec![6, 1500], vec![6, 1568]),
    ];
    assert_eq!(found.wrong, wrong);
    let text = NamesError::from(found).to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
    for line in [
        "3 missing, 2 unexpected, 3 of another shape",
        "\n  missing classifier.3.weight, expected (5, 6)\n",
        "\n  features.8.weight: found (16, 16, 5, 5), expected (16, 16, 3, 3)\n",
        "\n  unexpected optimiser, found (2, 2)",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
}

#[test]
fn a_long_list_is_cut() {
    let mut tensors = Tensors { list: vgg11(), next: 0.0 };
    (0..30).for_each(|i| tensors.add(format!("more{i:02}"), &[1]));
    let text = mismatch(&tensors.list).to_string();
    assert_eq!(text.lines().count(), 22);
    assert!(text.ends_with("unexpected more19, found (1)\n  and 10 more"), "{text}");
}

#[test]
fn a_layer_missing_from_a_known_table_is_named() {
    for (names, missing) in [
        (["features.0."].as_slice(), vec!["features.0.weight", "features.0.bias"]),
        (&["features.8.weight", "features.8.bias"], vec!["features.8.weight", "features.8.bias"]),
    ] {
        let mut tensors = vgg11();
        tensors.retain(|tensor| !names.iter().any(|name| tensor.name.starts_with(name)));
        let found: Vec<String> = mismatch(&tensors).missing.into_iter().map(|(n, _)| n).collect();
        assert_eq!(found, missing);
    }
    // In the notebook's blocks places follow from the others.
    let mut tensors = d2l("", 1, 5);
    tensors.retain(|tensor| !tensor.name.starts_with("1.0.") && !tensor.name.starts_with("6."));
    let expected = [
        ("1.0.weight".to_owned(), vec![8, 4, 3, 3]),
        ("1.0.bias".to_owned(), vec![8]),
        ("6.weight".to_owned(), vec![5, 7]),
        ("6.bias".to_owned(), vec![5]),
    ];
    assert_eq!(mismatch(&tensors).missing, expected);
}

#[test]
fn a_network_without_its_classifier_misses_the_published_one() {
    let mut tensors = vgg11();
    tensors.retain(|tensor| tensor.name.starts_with("features"));
    let missing = mismatch(&tensors).missing;
    assert_eq!(missing.len(), 6);
    assert_eq!(missing[0], ("classifier.0.weight".to_owned(), vec![4096, 32 * 49]));
    assert_eq!(missing[5], ("classifier.6.bias".to_owned(), vec![1000]));
}

#[test]
fn what_is_no_vgg_is_shown_with_what_is_known() {
    let mut tensors = Tensors::default();
    for i in 0..7 {
        tensors.layer(&format!("layer{i}.conv1"), &[4, 4, 3, 3]);
    }
    let error = with(&tensors.list, &ImportOptions::default()).unwrap_err();
    let text = error.to_string();
    for part in ["layer0.conv1.bias", "and 9 more", "torchvision", "timm", "d2l", "module."] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let error = with(&[], &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("there are no tensors"), "{error}");
}

#[test]
fn convolutions_of_a_block_are_equally_wide() {
    // AlexNet's features, under names like a VGG's.
    let mut tensors = Tensors::default();
    let layers = [(0, 64, 3), (3, 192, 64), (6, 384, 192), (8, 256, 384), (10, 256, 256)];
    for (place, outputs, inputs) in layers {
        tensors.layer(&format!("features.{place}"), &[outputs, inputs, 3, 3]);
    }
    tensors.dense(&["classifier.1"], &[256 * 36, 10]);
    let error = with(&tensors.list, &ImportOptions::default()).unwrap_err();
    let (layer, channels) = ("features.6".to_owned(), vec![384, 256, 256]);
    assert_eq!(error, NamesError::Unequal { block: 3, layer, channels });
}

#[test]
fn places_of_no_network_are_named() {
    let mut tensors = Tensors::default();
    tensors.layer("features.0", &[4, 3, 3, 3]);
    tensors.layer("features.9", &[4, 4, 3, 3]);
    tensors.dense(&["classifier.0"], &[4 * 49, 10]);
    let error = with(&tensors.list, &ImportOptions::default()).unwrap_err();
    let (last, next) = ("features.0".to_owned(), "features.9".to_owned());
    assert_eq!(error, NamesError::Places { last, next });

    let gap = renamed(&d2l("", 1, 5), |name| name.replace("1.0.", "2.0.").replace("1.2.", "2.2."));
    let error = with(&gap, &ImportOptions::default()).unwrap_err();
    let (last, next) = ("block 0".to_owned(), "block 2".to_owned());
    assert_eq!(error, NamesError::Places { last, next });
}

#[test]
fn hostile_names_and_sizes_are_errors() {
    // Two layers at places that would make thousands.
    let mut far = Tensors::default();
    far.layer("0.65534", &[4, 1, 3, 3]);
    far.layer("1.65534", &[4, 4, 3, 3]);
    let error = with(&far.list, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, NamesError::Layers { layers: 65539, tensors: 4 }), "{error:?}");

    let mut many = Tensors::default();
    (0..70).for_each(|i| many.layer(&format!("{i}.0"), &[1, 1, 3, 3]));
    many.dense(&["71"], &[1, 2]);
    let error = with(&many.list, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, NamesError::Shape(ShapeError::TooLarge { .. })), "{error:?}");

    for shape in [vec![], vec![4, 3, 3, 4], vec![0, 3], vec![usize::MAX, usize::MAX]] {
        let mut tensors = vgg11();
        tensors[0].shape.clone_from(&shape);
        let error = with(&tensors, &ImportOptions::default()).unwrap_err();
        assert!(matches!(error, NamesError::Values { values: 108, .. }), "{shape:?}: {error:?}");
    }
    let mut tensors = vgg11();
    tensors[0].values = Values::I64(vec![1; 108].into());
    let error = with(&tensors, &ImportOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "tensor features.0.weight must hold floats");
}

#[test]
fn odd_inputs_have_no_resolution() {
    let mut tensors = d2l("", 1, 5);
    tensors.truncate(6);
    let mut dense = Tensors::default();
    dense.dense(&["3"], &[8 * 6, 10]);
    tensors.extend(dense.list);
    let error = with(&tensors, &ImportOptions::default()).unwrap_err();
    assert_eq!(error, NamesError::Inputs { layer: "3".to_owned(), inputs: 48, channels: 8 });

    let mut channels = Tensors::default();
    channels.layer("0.0", &[4, 2, 3, 3]);
    channels.dense(&["2"], &[4, 10]);
    let error = with(&channels.list, &ImportOptions::default()).unwrap_err();
    assert_eq!(error, NamesError::Shape(ShapeError::Channels { found: 2 }));
}
