//! The names that torchvision gives to the layers of a VGG.

/// Names of the convolutions, then of the dense layers, in order: a convolution and its ReLU count
/// one place each in `features`, a pooling one; a dense layer, its ReLU and its dropout one each in
/// `classifier`. `convolutions` has the number of convolutions of each block.
///
/// ```
/// use vgg_wgpu::weights::torch_names;
///
/// let names = torch_names(&[1, 2], 2);
/// assert_eq!(names, ["features.0", "features.3", "features.5", "classifier.0", "classifier.3"]);
/// ```
pub fn torch_names(convolutions: &[usize], dense: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut place = 0;
    for &count in convolutions {
        names.extend((0..count).map(|i| format!("features.{}", place + 2 * i)));
        place += 2 * count + 1;
    }
    names.extend((0..dense).map(|i| format!("classifier.{}", 3 * i)));
    names
}
