//! Every naming, prefix, head and resolution.

use super::*;

#[test]
fn torchvisions_networks_are_recognised() {
    for (i, (places, counts)) in PLAIN.into_iter().enumerate() {
        for (input, batch_norm) in [(1, false), (3, false), (3, true)] {
            let mut tensors = Tensors::default();
            let places = if batch_norm { NORMED[i] } else { places };
            tensors.features(places, counts, input, batch_norm);
            let names = ["classifier.0", "classifier.3", "classifier.6"];
            tensors.dense(&names, &[32 * 49, 7, 13, 11]);
            let recognised = import(&tensors.list);
            let description = &recognised.model.description;
            let blocks: Vec<_> = counts.iter().zip(CHANNELS).map(|(&n, c)| [n, c]).collect();
            let classes: Vec<_> = (0..11).map(|i| i.to_string()).collect();
            assert_eq!(
                *description,
                Description {
                    blocks,
                    batch_norm,
                    head: Head::AvgPool7,
                    hidden: vec![7, 13],
                    dropout: 0.5,
                    input: [input, 224, 224],
                    classes,
                    preprocessing: Preprocessing::default(),
                    origin: None,
                }
            );
            assert_eq!(recognised.naming, Naming::Torchvision);
            assert_eq!(recognised.notes.len(), 1, "the resolution was a choice");
            let steps = recognised.model.layers[0].norm.as_ref().map(|n| n.num_batches_tracked);
            assert_eq!(steps, batch_norm.then_some(77));
            assert_round_trip(&tensors.list, &recognised);
        }
    }
}

#[test]
fn normalisations_without_counters_are_taken() {
    let mut tensors = Tensors::default();
    tensors.features(NORMED[0], PLAIN[0].1, 3, true);
    tensors.dense(&["classifier.0"], &[32 * 49, 2]);
    tensors.list.retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
    let model = import(&tensors.list).model;
    assert!(model.layers[..8].iter().all(|l| l.norm.as_ref().unwrap().num_batches_tracked == 0));
}

#[test]
fn dense_layers_are_taken_in_the_order_of_their_numbers() {
    let plain = import(&vgg11()).model;
    let placed = |places: [&str; 3]| {
        let names = ["classifier.0", "classifier.3", "classifier.6"];
        renamed(&vgg11(), |name| match names.iter().position(|layer| name.starts_with(layer)) {
            Some(i) => format!("classifier.{}{}", places[i], &name[names[i].len()..]),
            None => name.to_owned(),
        })
    };
    // Older files, a network without dropout, and one with a block in place of its last layer.
    for places in [["1", "4", "6"], ["0", "2", "4"], ["0", "3", "6.1"]] {
        let mut tensors = placed(places);
        tensors.reverse();
        assert_eq!(import(&tensors).model, plain, "{places:?}");
    }
    let missing = mismatch(&placed(["2", "5", "10"])).missing;
    assert_eq!(missing[0].0, "classifier.8.weight", "{missing:?}");
    let mut one = Tensors::default();
    one.features(PLAIN[0].0, PLAIN[0].1, 3, false);
    one.dense(&["classifier"], &[32 * 49, 9]);
    let model = import(&one.list).model;
    assert!(model.description.hidden.is_empty() && model.description.classes.len() == 9);
}

#[test]
fn timms_convolutions_become_dense_layers() {
    for (places, norm) in [(PLAIN[2].0, false), (NORMED[2], true)] {
        let mut tensors = Tensors::default();
        tensors.features(places, PLAIN[2].1, 3, norm);
        tensors.layer("pre_logits.fc1", &[6, 32, 7, 7]);
        tensors.layer("pre_logits.fc2", &[5, 6, 1, 1]);
        tensors.layer("head.fc", &[3, 5]);
        let recognised = import(&tensors.list);
        let layers = &recognised.model.layers[13..];
        let shapes: Vec<&[usize]> = layers.iter().map(|layer| &*layer.shape).collect();
        assert_eq!(shapes, [&[6, 32 * 49][..], &[5, 6], &[3, 5]]);
        let description = &recognised.model.description;
        assert_eq!((description.head, description.batch_norm), (Head::AvgPool7, norm));
        assert_eq!(recognised.naming, Naming::Timm);
        assert_round_trip(&tensors.list, &recognised);
        let larger = with(&tensors.list, &resize(448)).unwrap();
        assert!(larger.notes[0].contains("slides"), "{:?}", larger.notes);
        assert!(with(&tensors.list, &resize(128)).unwrap().notes.is_empty());
    }
}

#[test]
fn the_notebooks_networks_are_recognised() {
    for (prefix, input) in [("", 1), ("", 3), ("net.", 1)] {
        let recognised = import(&d2l(prefix, input, 5));
        let description = &recognised.model.description;
        assert_eq!(description.blocks, [[1, 4], [2, 8]]);
        assert_eq!(description.hidden, [7, 5]);
        assert_eq!((description.head, description.classes.len()), (Head::Flatten, 10));
        assert_eq!(description.input, [input, 20, 20]);
        assert_eq!(recognised.naming, Naming::D2l);
        assert!(recognised.notes[0].contains("several resolutions pool to 5x5; 20 is taken"));
        assert_round_trip(&d2l("", input, 5), &recognised);
    }
}

#[test]
fn wrappers_leave_no_trace() {
    let mut timm = Tensors::default();
    timm.features(PLAIN[0].0, PLAIN[0].1, 3, false);
    timm.layer("pre_logits.fc1", &[6, 32, 7, 7]);
    timm.layer("pre_logits.fc2", &[5, 6, 1, 1]);
    timm.layer("head.fc", &[3, 5]);
    for tensors in [vgg11(), timm.list, d2l("", 1, 3)] {
        let plain = import(&tensors);
        for prefix in ["module.", "_orig_mod.", "model.", "_orig_mod.module.", "model.module.net."]
        {
            let prefixed = renamed(&tensors, |name| format!("{prefix}{name}"));
            assert_eq!(import(&prefixed), plain, "{prefix}");
        }
    }
    // PyTorch's ImageNet example wraps the features alone.
    let inner = renamed(&vgg11(), |name| name.replace("features.", "features.module."));
    assert_eq!(import(&inner), import(&vgg11()));
}

#[test]
fn the_resolution_fits_the_map_that_is_flattened() {
    let network = d2l("", 1, 5);
    for side in [20, 22, 23] {
        let recognised = with(&network, &resize(side)).unwrap();
        assert_eq!(recognised.model.description.input, [1, side, side]);
        assert!(recognised.notes.is_empty());
    }
    for (side, found) in [(0, 0), (19, 4), (24, 6)] {
        let error = with(&network, &resize(side)).unwrap_err();
        let (least, most) = (20, 23);
        assert_eq!(error, NamesError::Resize { resize: side, found, side: 5, least, most });
    }
    // torchvision's names over a flattened 3x3.
    let mut small = Tensors::default();
    small.features(PLAIN[0].0, PLAIN[0].1, 3, false);
    small.dense(&["classifier.0", "classifier.3"], &[32 * 9, 6, 2]);
    let description = import(&small.list).model.description;
    assert_eq!((description.head, description.input), (Head::Flatten, [3, 96, 96]));
}

#[test]
fn the_resolution_of_a_pooled_network_is_free() {
    for side in [32, 100, 224, 500] {
        let description = with(&vgg11(), &resize(side)).unwrap().model.description;
        assert_eq!(description.input, [3, side, side]);
    }
    let error = with(&vgg11(), &resize(31)).unwrap_err();
    let collapsed = ShapeError::Collapsed { block: 5, blocks: 5, height: 1, width: 1, least: 32 };
    assert_eq!(error, NamesError::Shape(collapsed));
    assert!(matches!(with(&vgg11(), &resize(0)), Err(NamesError::Shape(ShapeError::Zero { .. }))));
}

#[test]
fn the_head_can_be_asked_for() {
    let ask = |head| ImportOptions { head: Some(head), ..ImportOptions::default() };
    let flat = with(&vgg11(), &ask(Head::Flatten)).unwrap().model.description;
    assert_eq!((flat.head, flat.input), (Head::Flatten, [3, 224, 224]));
    let pooled = with(&d2l("", 1, 7), &ask(Head::AvgPool7)).unwrap().model.description;
    assert_eq!((pooled.head, pooled.input), (Head::AvgPool7, [1, 224, 224]));
    let Err(NamesError::Mismatch(wrong)) = with(&d2l("", 1, 5), &ask(Head::AvgPool7)) else {
        panic!("5x5 is not 7x7");
    };
    assert_eq!(wrong.wrong, [("3.weight".to_owned(), vec![7, 200], vec![7, 392])]);
}

#[test]
fn imagenets_networks_get_its_preprocessing() {
    let mut tensors = Tensors::default();
    tensors.features(PLAIN[0].0, PLAIN[0].1, 3, false);
    tensors.dense(&["classifier.0", "classifier.3"], &[32 * 49, 2, 1000]);
    let preprocessing = |options: &ImportOptions| {
        with(&tensors.list, options).unwrap().model.description.preprocessing
    };
    let normalisation = Normalisation::IMAGENET;
    let expected = Preprocessing { resize: Some(256), normalisation };
    assert_eq!(preprocessing(&ImportOptions::default()), expected);
    let expected = Preprocessing { resize: Some(512), normalisation };
    assert_eq!(preprocessing(&resize(448)), expected);
}

#[test]
fn classes_are_named_and_replaced() {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
    let options = |list: &[&str]| ImportOptions {
        class_names: Some(names(list)),
        ..ImportOptions::default()
    };
    let model = with(&vgg11(), &options(&["a", "b", "c"])).unwrap().model;
    assert_eq!(model.description.classes, names(&["a", "b", "c"]));
    let error = with(&vgg11(), &options(&["a"])).unwrap_err();
    assert_eq!(error, NamesError::ClassNames { found: 1, expected: 3 });

    let draw = |name: String, shape: Vec<usize>| LayerWeights {
        name,
        weight: vec![0.25; shape.iter().product()],
        bias: vec![0.5; shape[0]],
        shape,
        norm: None,
    };
    let other = model.clone().with_classes(names(&["x", "y"]), draw);
    assert_eq!(other.description.classes, names(&["x", "y"]));
    assert_eq!(other.layers[..10], model.layers[..10]);
    assert_eq!(other.layers[10], draw("classifier.6".to_owned(), vec![2, 5]));
}
