//! The names that torchvision gives to the layers of a VGG.

/// A layer's place in torchvision's `features` or `classifier`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerName {
    /// Of the convolution or dense layer, such as `features.3`.
    pub layer: String,
    /// Of the batch normalisation after it, if there is one.
    pub norm: Option<String>,
}

/// Names of the convolutions, then of the dense layers, in order: a convolution, its batch
/// normalisation and its ReLU count one place each in `features`, a pooling one; a dense layer, its
/// ReLU and its dropout one each in `classifier`. `convolutions` has the number of convolutions of
/// each block.
///
/// ```
/// use vgg_wgpu::weights::torch_names;
///
/// let names = |batch_norm| {
///     let all = torch_names(&[1, 2], batch_norm, 2).into_iter();
///     all.map(|name| (name.layer, name.norm)).collect::<Vec<_>>()
/// };
/// let plain: Vec<_> = names(false).into_iter().map(|(layer, _)| layer).collect();
/// assert_eq!(plain, ["features.0", "features.3", "features.5", "classifier.0", "classifier.3"]);
/// assert_eq!(names(true)[1], ("features.4".to_owned(), Some("features.5".to_owned())));
/// assert_eq!(names(true)[3], ("classifier.0".to_owned(), None));
/// ```
pub fn torch_names(convolutions: &[usize], batch_norm: bool, dense: usize) -> Vec<LayerName> {
    let mut names = Vec::new();
    let mut place = 0;
    for &count in convolutions {
        for _ in 0..count {
            let norm = batch_norm.then(|| format!("features.{}", place + 1));
            names.push(LayerName { layer: format!("features.{place}"), norm });
            place += if batch_norm { 3 } else { 2 };
        }
        place += 1;
    }
    let dense = (0..dense).map(|i| format!("classifier.{}", 3 * i));
    names.extend(dense.map(|layer| LayerName { layer, norm: None }));
    names
}
