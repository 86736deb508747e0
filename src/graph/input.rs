//! How a network reads its images: as a map that an operation of its own makes of them, or within its
//! first convolution.

use super::lower::{Home, Lowering, Pass};
use super::setting::Setting;
use super::source::{Format, Reads};
use super::{Layer, ResizeFilter};
use crate::ops::{
    Augment, LoadRaw, Pictures, ResizeBilinear, ResizePillow, Shard, WinogradPictures, draws_layout,
};
use crate::shape::Layout;

/// The images, if the first convolution resizes them as it reads: not in training, where the backward pass
/// reads the map of them, and if the kernel that it would run has a form for images like these.
pub(super) fn read_by_convolution(
    setting: &Setting<'_>,
    layers: &[(String, Layer)],
    source: Reads<'_>,
) -> Option<Pictures> {
    let &[(first, count)] = source.shards else { return None };
    let (_, Layer::Conv { input, output, relu }) = layers.first()? else { return None };
    let apart = setting.variants.iter().any(|name| name == "resize_bilinear");
    let bilinear = source.format == Format::Bytes(ResizeFilter::Bilinear);
    if setting.pass == Pass::Train || apart || !bilinear {
        return None;
    }
    let (shard, input) = (Shard { first, count, samples: source.shape.count }, input.with_halo(1));
    let pictures = source.shape.pictures(shard, input, setting.network.normalisation());
    let after = layers.get(if *relu { 1 } else { 2 });
    let pooled = matches!(after, Some((_, Layer::MaxPool { .. })));
    let (kernel, _) = setting.forward_variant(input, *output, pooled);
    let suits = kernel == Some("winograd_forward_2x2_shuffle");
    (suits && WinogradPictures::suits(&pictures)).then_some(pictures)
}

impl Lowering<'_> {
    /// The network's input, gathered from each shard of the image set, or the pixels themselves if the
    /// first convolution reads them.
    pub(super) fn input(&mut self, source: Reads<'_>) -> usize {
        if let Some(pictures) = self.pictures {
            return self.pixels(0, pictures.pixels());
        }
        let network = self.setting.network;
        let output = network.input().with_halo(1);
        let samples = source.shape.count;
        let x = self.map("input", "images", output);
        let order = self.order(samples);
        for (i, &(first, count)) in source.shards.iter().enumerate() {
            let shard = Shard { first, count, samples };
            let pictures = source.shape.pictures(shard, output, network.normalisation());
            if let Some(augmentation) = source.augmentation {
                let (pixels, draws) = (self.pixels(i, pictures.pixels()), self.draws(samples));
                self.node("input", Augment { pictures, augmentation }, &[order, pixels, draws, x]);
                continue;
            }
            match source.format {
                Format::Raw => {
                    let op = LoadRaw { shard, output };
                    let values = self.pixels(i, op.values());
                    self.node("input", op, &[order, values, x]);
                }
                Format::Bytes(ResizeFilter::Bilinear) => {
                    let pixels = self.pixels(i, pictures.pixels());
                    self.node("input", ResizeBilinear(pictures), &[order, pixels, x]);
                }
                Format::Bytes(ResizeFilter::Pillow) => {
                    let op = ResizePillow(pictures);
                    let pixels = self.pixels(i, pictures.pixels());
                    let name = "weights of the resize".to_owned();
                    let tables = self.tensor(name, op.tables_layout(), Home::Tables);
                    self.node("input", op, &[order, pixels, tables, x]);
                }
            }
        }
        x
    }

    fn pixels(&mut self, shard: usize, layout: Layout) -> usize {
        self.tensor("images".to_owned(), layout, Home::Pixels(shard))
    }

    /// What is drawn for the images of a batch, of which there are at most `samples`.
    pub(super) fn draws(&mut self, samples: usize) -> usize {
        self.tensor("draws".to_owned(), draws_layout(samples), Home::Draws)
    }

    /// The order in which batches take the samples.
    pub(super) fn order(&mut self, samples: usize) -> usize {
        self.tensor("order".to_owned(), Layout::Words(samples), Home::Order)
    }
}

#[cfg(test)]
mod tests {
    use crate::gpu::{AdapterFacts, AdapterKind};
    use crate::graph::{Architecture, NetworkOptions, SourceShape, operations};

    #[test]
    fn convolutions_read_pictures_in_inference_on_software_adapters_where_they_shrink_little() {
        let network = Architecture::builder().table("1x16,2x32").unwrap();
        let network = network.input(1, 64, 64).hidden(vec![12]).classes(3).build().unwrap();
        let software = AdapterKind::Software;
        let first = |train, size: usize, variant: Option<&str>, kind| {
            let variants = variant.map(str::to_owned).into_iter().collect();
            let options = NetworkOptions { batch: 4, train, variants, ..Default::default() };
            let images = SourceShape { count: 10, height: size, width: size, channels: 1 };
            let facts = AdapterFacts::example(kind);
            let operations = operations(&network, &options, images, &facts).unwrap();
            let names: Vec<_> = operations.iter().map(|found| found.op.name()).collect();
            let reads = |name| names.contains(&name);
            assert_ne!(reads("winograd_pictures"), reads("resize_bilinear"), "{names:?}");
            reads("winograd_pictures")
        };
        assert!(first(false, 28, None, software));
        assert!(first(false, 64, None, software));
        // The map is read a second time by the backward pass.
        assert!(!first(true, 28, None, software));
        assert!(!first(false, 640, None, software));
        assert!(!first(false, 28, Some("resize_bilinear"), software));
        assert!(!first(false, 28, Some("conv_forward_shuffle"), software));
        assert!(!first(false, 28, None, AdapterKind::Discrete));
    }
}
