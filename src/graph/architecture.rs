//! What a network is: a table of blocks, a classifier, and the layers they unfold to.

use std::fmt;

use super::{GraphError, Layer};
use crate::shape::{FeatureMap, Head, Normalisation, ShapeError, padded};

/// A block: `convolutions` 3x3 convolutions of `channels` outputs, each with ReLU, then 2x2 max
/// pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Convolutions in the block.
    pub convolutions: usize,
    /// Output channels of each.
    pub channels: usize,
}

/// A VGG network (Simonyan and Zisserman, arXiv:1409.1556) in the form of "Dive into Deep
/// Learning" 7.2 or of torchvision: blocks, with batch normalisation or without, flatten or pool to
/// 7x7, hidden dense layers with ReLU and dropout, dense to the classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    blocks: Vec<Block>,
    batch_norm: bool,
    head: Head,
    hidden: Vec<usize>,
    dropout: f32,
    classes: usize,
    input: FeatureMap,
    normalisation: Normalisation,
}

/// Builds an [`Architecture`]; the defaults are those of the book's notebook.
///
/// ```
/// use vgg_wgpu::graph::Architecture;
///
/// let small = Architecture::builder().table("vgg11")?.ratio(4).input(1, 224, 224).build()?;
/// assert_eq!(small.parameters(), 43_093_322);
/// # Ok::<(), vgg_wgpu::graph::GraphError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    blocks: Vec<Block>,
    batch_norm: bool,
    ratio: usize,
    head: Head,
    hidden: Vec<usize>,
    dropout: f32,
    classes: usize,
    input: FeatureMap,
    normalisation: Normalisation,
}

const TABLES: &[(&str, &str)] = &[
    ("vgg11", "1x64,1x128,2x256,2x512,2x512"),
    ("vgg13", "2x64,2x128,2x256,2x512,2x512"),
    ("vgg16", "2x64,2x128,3x256,3x512,3x512"),
    ("vgg19", "2x64,2x128,4x256,4x512,4x512"),
];

impl Builder {
    /// The blocks: `vgg11`, `vgg13`, `vgg16`, `vgg19`, or a table such as `1x64,2x128`; with `_bn`
    /// at its end, each convolution is followed by batch normalisation.
    ///
    /// # Errors
    /// [`GraphError::Table`] if the text is neither.
    pub fn table(self, text: &str) -> Result<Self, GraphError> {
        let plain = text.strip_suffix("_bn").or_else(|| text.strip_suffix("_BN"));
        let batch_norm = plain.is_some();
        Ok(self.blocks(parse_table(plain.unwrap_or(text))?).batch_norm(batch_norm))
    }

    /// The blocks.
    pub fn blocks(self, blocks: Vec<Block>) -> Self {
        Self { blocks, ..self }
    }

    /// True to normalise the output of each convolution over the batch (Ioffe and Szegedy,
    /// arXiv:1502.03167), as torchvision's `vgg11_bn` and its like do.
    pub fn batch_norm(self, batch_norm: bool) -> Self {
        Self { batch_norm, ..self }
    }

    /// What stands between the blocks and the dense layers.
    pub fn head(self, head: Head) -> Self {
        Self { head, ..self }
    }

    /// Divides the channels of every block; a block keeps at least one.
    pub fn ratio(self, ratio: usize) -> Self {
        Self { ratio, ..self }
    }

    /// The input: channels (1 or 3), rows and columns.
    pub fn input(self, channels: usize, height: usize, width: usize) -> Self {
        Self { input: FeatureMap::new(height, width, channels), ..self }
    }

    /// What is done to the values of 8-bit images, scaled to `[0, 1]`; the first mean and deviation
    /// are those of a grey input.
    pub fn normalisation(self, normalisation: Normalisation) -> Self {
        Self { normalisation, ..self }
    }

    /// Number of classes.
    pub fn classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// Widths of the hidden dense layers.
    pub fn hidden(self, hidden: Vec<usize>) -> Self {
        Self { hidden, ..self }
    }

    /// Share of a hidden layer's outputs dropped in training, in [0, 1).
    pub fn dropout(self, dropout: f32) -> Self {
        Self { dropout, ..self }
    }

    /// Checks all shapes.
    ///
    /// # Errors
    /// [`GraphError::Shape`] that names what does not fit, [`GraphError::Dropout`] or
    /// [`GraphError::Normalisation`] of numbers that make no sense.
    pub fn build(self) -> Result<Architecture, GraphError> {
        let positive = [
            ("the number of blocks", self.blocks.len()),
            ("the channel ratio", self.ratio),
            ("the number of classes", self.classes),
            ("the resolution", self.input.height.min(self.input.width)),
            ("a hidden layer's width", self.hidden.iter().copied().min().unwrap_or(1)),
        ];
        if let Some((what, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ShapeError::Zero { what }.into());
        }
        if !matches!(self.input.channels, 1 | 3) {
            return Err(ShapeError::Channels { found: self.input.channels }.into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(GraphError::Dropout { rate: self.dropout });
        }
        let Normalisation { mean, deviation } = self.normalisation;
        let usable = |values: [f32; 3]| values.iter().all(|value| value.is_finite());
        if !usable(mean) || !usable(deviation.map(f32::recip)) || !usable(deviation) {
            return Err(GraphError::Normalisation { mean, deviation });
        }
        let divided = |block: &Block| Block {
            convolutions: block.convolutions,
            channels: (block.channels / self.ratio).max(1),
        };
        let network = Architecture {
            blocks: self.blocks.iter().map(divided).collect(),
            batch_norm: self.batch_norm,
            head: self.head,
            hidden: self.hidden,
            dropout: self.dropout,
            classes: self.classes,
            input: self.input,
            normalisation: self.normalisation,
        };
        network.check_sizes()?;
        Ok(network)
    }
}

fn parse_table(text: &str) -> Result<Vec<Block>, GraphError> {
    let known = TABLES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    let table = known.map_or(text, |(_, table)| table);
    let block = |part: &str| {
        let (convolutions, channels) = part.trim().split_once(['x', 'X'])?;
        let block =
            Block { convolutions: convolutions.parse().ok()?, channels: channels.parse().ok()? };
        (block.convolutions > 0 && block.channels > 0).then_some(block)
    };
    let bad = |part: &str| GraphError::Table { text: text.to_owned(), part: part.to_owned() };
    table.split(',').map(|part| block(part).ok_or_else(|| bad(part))).collect()
}

impl Architecture {
    /// A builder with the book's defaults: VGG-11, one channel of 224x224, ten classes.
    pub fn builder() -> Builder {
        Builder {
            blocks: [(1, 64), (1, 128), (2, 256), (2, 512), (2, 512)]
                .map(|(convolutions, channels)| Block { convolutions, channels })
                .to_vec(),
            batch_norm: false,
            ratio: 1,
            head: Head::Flatten,
            hidden: vec![4096, 4096],
            dropout: 0.5,
            classes: 10,
            input: FeatureMap::new(224, 224, 1),
            normalisation: Normalisation::default(),
        }
    }

    /// The blocks, channels as divided.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// True if each convolution is followed by batch normalisation.
    pub fn batch_norm(&self) -> bool {
        self.batch_norm
    }

    /// What stands between the blocks and the dense layers.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Widths of the hidden dense layers.
    pub fn hidden(&self) -> &[usize] {
        &self.hidden
    }

    /// Share dropped in training.
    pub fn dropout(&self) -> f32 {
        self.dropout
    }

    /// The same network with another dropout share.
    pub fn with_dropout(self, dropout: f32) -> Self {
        Self { dropout, ..self }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// One input image.
    pub fn input(&self) -> FeatureMap {
        self.input
    }

    /// What is done to the values of 8-bit images, scaled to `[0, 1]`.
    pub fn normalisation(&self) -> Normalisation {
        self.normalisation
    }

    /// All layers with their names (`block1.conv1`, `block1.norm1`, `block1.pool`, `head.pool`,
    /// `dense1`, `dropout1`), in order.
    pub fn layers(&self) -> Vec<(String, Layer)> {
        let mut layers = Vec::new();
        let mut map = self.input;
        for (i, block) in self.blocks.iter().enumerate() {
            for j in 0..block.convolutions {
                let output = map.with_channels(block.channels);
                let name = format!("block{}.conv{}", i + 1, j + 1);
                let relu = !self.batch_norm;
                layers.push((name, Layer::Conv { input: map, output, relu }));
                if self.batch_norm {
                    let name = format!("block{}.norm{}", i + 1, j + 1);
                    layers.push((name, Layer::BatchNorm { map: output }));
                }
                map = output;
            }
            let pool = Layer::MaxPool { input: map, output: map.pooled() };
            layers.push((format!("block{}.pool", i + 1), pool));
            map = map.pooled();
        }
        let output = self.head_map(map);
        if output != map {
            layers.push(("head.pool".to_owned(), Layer::AvgPool { input: map, output }));
            map = output;
        }
        let mut inputs = map.flattened();
        let mut features = map.height * map.width * map.channels;
        let mut flattened = Some(map);
        let widths = self.hidden.iter().chain([&self.classes]);
        for (i, &outputs) in widths.enumerate() {
            let relu = i < self.hidden.len();
            let flattened = flattened.take();
            let dense = Layer::Dense { inputs, features, flattened, outputs, relu };
            layers.push((format!("dense{}", i + 1), dense));
            if relu && self.dropout > 0.0 {
                let dropout = Layer::Dropout { columns: outputs, index: i as u32 };
                layers.push((format!("dropout{}", i + 1), dropout));
            }
            inputs = padded(outputs);
            features = outputs;
        }
        layers
    }

    /// What the first dense layer reads, where the last block gives `map`.
    fn head_map(&self, map: FeatureMap) -> FeatureMap {
        match self.head {
            Head::Flatten => map,
            Head::AvgPool7 => FeatureMap { height: 7, width: 7, ..map },
        }
    }

    /// Number of trained values, biases included.
    pub fn parameters(&self) -> u64 {
        self.layers().iter().map(|(_, layer)| layer.parameters()).sum()
    }

    /// Floating-point operations of an image's forward pass: two for each multiply-add of
    /// convolutions and dense layers.
    pub fn forward_flop(&self) -> u64 {
        self.layers().iter().map(|(_, layer)| layer.flop()).sum()
    }

    /// The same for a training step: forward, backward to weights, and backward to data except for
    /// the first convolution.
    pub fn training_flop(&self) -> u64 {
        let layers = self.layers();
        let first = layers.first().map_or(0, |(_, layer)| layer.flop());
        3 * self.forward_flop() - first
    }

    fn check_sizes(&self) -> Result<(), GraphError> {
        let mut map = self.input;
        let least = 1 << self.blocks.len();
        for i in 0..self.blocks.len() {
            if map.pooled().is_empty() {
                let (block, blocks) = (i + 1, self.blocks.len());
                let (height, width) = (map.height, map.width);
                return Err(ShapeError::Collapsed { block, blocks, height, width, least }.into());
            }
            map = map.pooled();
        }
        for (name, layer) in self.layers() {
            let sizes: Vec<usize> = match layer {
                Layer::Conv { input, output, .. } => {
                    vec![output.height, output.width, output.channels.max(input.channels)]
                }
                Layer::Dense { inputs, outputs, .. } => vec![inputs, outputs],
                _ => continue,
            };
            let elements = sizes.iter().map(|&size| size as u128).product::<u128>();
            if elements >= 1 << 32 {
                return Err(ShapeError::TooLarge { what: name, elements }.into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks: Vec<_> = self.blocks.iter().map(Block::to_string).collect();
        write!(f, "{}{}", blocks.join(","), if self.batch_norm { "_bn" } else { "" })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.convolutions, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_network_of_the_book_counts_3_0585_gflop_an_image() {
        let small = Architecture::builder().ratio(4).build().unwrap();
        assert_eq!(small.to_string(), "1x16,1x32,2x64,2x128,2x128");
        assert!((small.training_flop() as f64 / 1e9 - 3.0585).abs() < 5e-5);
    }

    #[test]
    fn vgg16_has_the_published_number_of_parameters() {
        let network =
            Architecture::builder().table("vgg16").unwrap().input(3, 224, 224).classes(1000);
        assert_eq!(network.build().unwrap().parameters(), 138_357_544);
    }

    #[test]
    fn batch_normalisation_and_torchvisions_head_are_layers() {
        // torchvision.models.vgg16_bn has 138,365,992 parameters, whatever the resolution.
        for side in [224, 96] {
            let builder = Architecture::builder().table("vgg16_bn").unwrap().input(3, side, side);
            let network = builder.classes(1000).head(Head::AvgPool7).build().unwrap();
            assert_eq!(network.parameters(), 138_365_992);
            let pools = network.layers().into_iter().filter(|(name, _)| name == "head.pool");
            assert_eq!(pools.count(), usize::from(side == 96));
        }
        let small = Architecture::builder().table("1x4,2x8_bn").unwrap().build().unwrap();
        assert_eq!(small.to_string(), "1x4,2x8_bn");
    }

    #[test]
    fn padded_inputs_are_not_parameters() {
        let network = Architecture::builder().blocks(vec![Block { convolutions: 1, channels: 5 }]);
        let network = network.input(1, 4, 4).hidden(vec![6]).classes(3).build().unwrap();
        assert_eq!(network.parameters(), (9 + 1) * 5 + (2 * 2 * 5 + 1) * 6 + (6 + 1) * 3);
    }

    #[test]
    fn a_resolution_too_small_names_the_block() {
        let error = Architecture::builder().input(1, 30, 30).build().unwrap_err();
        assert!(error.to_string().contains("block 5"), "{error}");
        assert!(error.to_string().contains("at least 32"), "{error}");
    }

    #[test]
    fn a_bad_table_is_named() {
        for text in ["vgg12", "1x64,", "0x3", "2x0", "1x64;2x3", "x", ""] {
            let error = Architecture::builder().table(text).unwrap_err();
            assert!(matches!(error, GraphError::Table { .. }), "{text}: {error}");
        }
    }
}
