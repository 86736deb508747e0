//! Tensors in textures: on a software rasterizer the cheapest way to load a `vec4<f32>`, and to store
//! many.
//!
//! A load from a storage buffer is a loop over the lanes of a subgroup there, with a bounds check
//! each; a load from a texture of `rgba32float` is eight moves and a transpose. A store from a kernel is
//! such a loop in either case. What a render pass leaves in its attachments is stored as whole vectors,
//! so the weights that each step rewrites lie in [`Order::Blocks`], as one attachment in each layer.

use std::borrow::Cow;
use std::iter;

/// Texels in a row of [`Order::Rows`].
const WIDTH: u32 = 4096;
/// Columns that no texel of a tensor is in: a cache line. Without them all rows of a texture would begin in the
/// same set of a processor's cache, and what lies some rows apart would drive each other out of it.
const UNUSED: u32 = 4;
/// Bytes that lavapipe gives a texture at most.
const LARGEST: u64 = 1 << 30;
/// Bytes of a texel.
const TEXEL: u64 = 16;
const ROW_BYTES: u64 = WIDTH as u64 * TEXEL;

/// Layers of [`Order::Blocks`]: the attachments of a render pass.
pub const LAYERS: u32 = 8;
/// Columns and rows of a block in each layer.
const BLOCK: [u32; 2] = [4, 2];
/// Bytes of a block, and what places in [`Order::Blocks`] are multiples of.
pub const BLOCK_BYTES: u64 = (BLOCK[0] * BLOCK[1] * LAYERS) as u64 * TEXEL;
/// Bytes of a block that lie after each other in a layer.
const RUN_BYTES: u64 = BLOCK[0] as u64 * TEXEL;
/// Blocks beside each other: of 16 to 1,024 this many make the fastest updates.
const BLOCKS: u32 = 256;
/// Bytes of blocks beside each other.
const BAND_BYTES: u64 = BLOCKS as u64 * BLOCK_BYTES;
/// Bytes of a row of blocks in one layer.
const BLOCKS_ROW_BYTES: u64 = (BLOCKS * BLOCK[0]) as u64 * TEXEL;
/// Bytes between the rows of what [`Texels::fill`] copies, which takes in all columns.
const FILL_ROW_BYTES: u64 = (BLOCKS_ROW_BYTES + UNUSED as u64 * TEXEL)
    .next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as u64);

/// Where texel `i` of a texture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// At column `i % 4096` of row `i / 4096`, so that ranges are addressed as in a buffer.
    Rows,
    /// In blocks of 64 texels, 256 of them beside each other: 4 columns and 2 rows in each of 8
    /// layers. Eight texels after each other lie in one layer. A fragment of a render pass so has a place
    /// among eight texels, and writes it in each of eight such groups.
    Blocks,
}

impl Order {
    /// The arguments of `textureLoad` that name texel `at`, in WGSL.
    pub fn place(self) -> String {
        match self {
            Self::Rows => {
                let (mask, shift) = (WIDTH - 1, WIDTH.trailing_zeros());
                format!("vec2<u32>(at & {mask}u, at >> {shift}u)")
            }
            // Of the index of a texel the bits are, from the lowest: 2 of the column in a block, 1 of
            // the row, 3 of the layer, those of the block in its band, and the band.
            Self::Blocks => {
                let band = format!("(at >> {}u)", 6 + BLOCKS.trailing_zeros());
                in_block("(at >> 6u)", &band, "(at >> 3u) & 7u", "((at >> 2u) & 1u)", "(at & 3u)")
            }
        }
    }

    /// The arguments of `textureLoad` that name the texel at `row` and `column` of layer `group` of block
    /// `block`, in WGSL, for [`Order::Blocks`].
    pub fn place_in_block() -> String {
        let band = format!("(block >> {}u)", BLOCKS.trailing_zeros());
        in_block("block", &band, "group", "row", "column")
    }

    /// The WGSL type of a texture in this order, without its format and access.
    pub fn wgsl_type(self) -> &'static str {
        match self {
            Self::Rows => "texture_storage_2d",
            Self::Blocks => "texture_storage_2d_array",
        }
    }

    /// How shaders see such a texture.
    pub fn dimension(self) -> wgpu::TextureViewDimension {
        match self {
            Self::Rows => wgpu::TextureViewDimension::D2,
            Self::Blocks => wgpu::TextureViewDimension::D2Array,
        }
    }

    /// The index of the block, in the texture, that the fragment at `position` belongs to, in WGSL.
    pub fn block_of(position: &str) -> String {
        format!("(u32({position}.y) >> 1u) * {BLOCKS}u + (u32({position}.x) >> 2u)")
    }
}

/// A texture of tensors.
#[derive(Debug)]
pub struct Texels {
    texture: wgpu::Texture,
    /// Where its texels lie.
    pub order: Order,
    /// The whole texture as shaders bind it.
    pub view: wgpu::TextureView,
    /// Each layer as a render pass writes it: none of [`Order::Rows`].
    pub layers: Vec<wgpu::TextureView>,
    /// Bytes asked for: a multiple of 16.
    pub size: u64,
}

/// A rectangle of whole texels that lies in one piece in a linear copy.
struct Piece {
    /// Its first texel.
    origin: wgpu::Origin3d,
    /// Its size: part of one row, or whole rows.
    extent: wgpu::Extent3d,
    /// Where it begins in the copy, and its bytes.
    at: u64,
    bytes: u64,
}

/// Blocks that make a rectangle: part of a band, or whole bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    /// Column and row of its first texel in each layer.
    origin: [u32; 2],
    /// Columns and rows of texels in each layer.
    extent: [u32; 2],
    /// Where its first block begins in the tensor, in bytes.
    at: u64,
}

impl Texels {
    pub(super) fn new(device: &wgpu::Device, label: &str, size: u64, order: Order) -> Self {
        use wgpu::TextureUsages as Usage;
        let usage = Usage::STORAGE_BINDING | Usage::COPY_SRC | Usage::COPY_DST;
        let (extent, attachment, layers) = match order {
            Order::Rows => (
                extent(WIDTH + UNUSED, height(size.div_ceil(ROW_BYTES) as u32), 1),
                Usage::empty(),
                0,
            ),
            Order::Blocks => {
                let rows = size.div_ceil(BAND_BYTES) as u32 * BLOCK[1];
                let extent = extent(BLOCKS * BLOCK[0] + UNUSED, height(rows), LAYERS);
                (extent, Usage::RENDER_ATTACHMENT, LAYERS)
            }
        };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: usage | attachment,
            view_formats: &[],
        });
        let view = |dimension, usage, base_array_layer, layers| {
            texture.create_view(&wgpu::TextureViewDescriptor {
                dimension: Some(dimension),
                usage: Some(usage),
                base_array_layer,
                array_layer_count: Some(layers),
                ..wgpu::TextureViewDescriptor::default()
            })
        };
        let whole = view(order.dimension(), usage, 0, layers.max(1));
        let layer = |layer| view(wgpu::TextureViewDimension::D2, attachment, layer, 1);
        let layers = (0..layers).map(layer).collect();
        Self { texture, order, view: whole, layers, size }
    }

    /// Bytes that a texture may have on an adapter whose textures have sides of at most `side`.
    pub(super) fn most(side: u32) -> u64 {
        let bands = LARGEST / (BAND_BYTES + u64::from(UNUSED * BLOCK[1] * LAYERS) * TEXEL);
        // A band and a row less: see `height`.
        ((bands - 1) * BAND_BYTES).min(u64::from(side - 1) * ROW_BYTES)
    }

    /// Writes `bytes` from `offset` on, which is a multiple of 16, and of [`BLOCK_BYTES`] in blocks.
    pub(super) fn write(&self, queue: &wgpu::Queue, offset: u64, bytes: &[u8]) {
        if self.order == Order::Blocks {
            return self.write_blocks(queue, offset, bytes);
        }
        // Whole texels: what is added to the last one is padding of the tensor.
        let mut last = [0; TEXEL as usize];
        let whole = bytes.len() / TEXEL as usize * TEXEL as usize;
        let rest = &bytes[whole..];
        last[..rest.len()].copy_from_slice(rest);
        for piece in pieces(offset, whole as u64) {
            let data = &bytes[piece.at as usize..(piece.at + piece.bytes) as usize];
            queue.write_texture(self.target(piece.origin), data, layout(0), piece.extent);
        }
        if !rest.is_empty() {
            for piece in pieces(offset + whole as u64, TEXEL) {
                queue.write_texture(self.target(piece.origin), &last, layout(0), piece.extent);
            }
        }
    }

    fn write_blocks(&self, queue: &wgpu::Queue, offset: u64, bytes: &[u8]) {
        // Whole blocks, too, and a band at a time, all in the same memory.
        let mut data = Vec::new();
        for blocks in rectangles(offset, bytes.len() as u64).flat_map(Blocks::by_band) {
            let [columns, rows] = blocks.extent;
            let row_bytes = u64::from(columns) * TEXEL;
            data.clear();
            data.resize((row_bytes * u64::from(rows * LAYERS)) as usize, 0);
            for (run, place) in blocks.runs(row_bytes) {
                let run = run as usize..bytes.len().min((run + RUN_BYTES) as usize);
                if !run.is_empty() {
                    data[place as usize..][..run.len()].copy_from_slice(&bytes[run]);
                }
            }
            let origin = wgpu::Origin3d { x: blocks.origin[0], y: blocks.origin[1], z: 0 };
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(row_bytes as u32),
                rows_per_image: Some(rows),
            };
            let extent = extent(columns, rows, LAYERS);
            queue.write_texture(self.target(origin), &data, layout, extent);
        }
    }

    /// Bytes that [`Texels::copy_to`] copies of `size` bytes from `offset` on.
    pub(super) fn staged(&self, offset: u64, size: u64) -> u64 {
        match self.order {
            Order::Rows => size,
            Order::Blocks => bands(offset, size).1 * BAND_BYTES,
        }
    }

    /// What [`Texels::copy_to`] has copied of `size` bytes from `offset` on, in the order of texels.
    pub(super) fn in_order<'a>(&self, staged: &'a [u8], offset: u64, size: u64) -> Cow<'a, [u8]> {
        if self.order == Order::Rows {
            return Cow::Borrowed(staged);
        }
        let (first, count) = bands(offset, size);
        let extent = [BLOCKS * BLOCK[0], count as u32 * BLOCK[1]];
        let all = Blocks { origin: [0, 0], extent, at: 0 };
        let begin = offset - first * BAND_BYTES;
        let mut data = vec![0; size as usize];
        for (run, place) in all.runs(BLOCKS_ROW_BYTES) {
            let Some(at) = run.checked_sub(begin).filter(|at| *at < size) else { continue };
            let run = at as usize..(at + RUN_BYTES).min(size) as usize;
            let len = run.len();
            data[run].copy_from_slice(&staged[place as usize..][..len]);
        }
        Cow::Owned(data)
    }

    /// The rectangles, column, row, columns and rows of each layer, that hold the blocks of `size` bytes
    /// from `offset` on.
    pub(crate) fn scissors(offset: u64, size: u64) -> Vec<[u32; 4]> {
        let scissor =
            |Blocks { origin: [x, y], extent: [columns, rows], .. }| [x, y, columns, rows];
        rectangles(offset, size).map(scissor).collect()
    }

    /// Records a copy of `size` bytes from `offset` on to the start of `staging`: in blocks, that of all
    /// bands that hold some of them, see [`Texels::staged`].
    pub(super) fn copy_to(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        staging: &wgpu::Buffer,
        offset: u64,
        size: u64,
    ) {
        if self.order == Order::Blocks {
            let (first, count) = bands(offset, size);
            let rows = count as u32 * BLOCK[1];
            let origin = wgpu::Origin3d { x: 0, y: first as u32 * BLOCK[1], z: 0 };
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(BLOCKS_ROW_BYTES as u32),
                rows_per_image: Some(rows),
            };
            let target = wgpu::TexelCopyBufferInfo { buffer: staging, layout };
            let extent = extent(BLOCKS * BLOCK[0], rows, LAYERS);
            encoder.copy_texture_to_buffer(self.target(origin), target, extent);
            return;
        }
        for piece in pieces(offset, size) {
            let target = wgpu::TexelCopyBufferInfo { buffer: staging, layout: layout(piece.at) };
            encoder.copy_texture_to_buffer(self.target(piece.origin), target, piece.extent);
        }
    }

    /// Bytes of what [`Texels::fill`] copies from.
    pub(crate) fn fill_bytes(&self) -> u64 {
        u64::from(self.texture.size().height + LAYERS - 1) * FILL_ROW_BYTES
    }

    /// Records copies of `source` into all of a texture in blocks, layer by layer: each begins a row further on
    /// than the one before. As each layer is written as a whole, none is cleared before.
    pub(crate) fn fill(&self, encoder: &mut wgpu::CommandEncoder, source: &wgpu::Buffer) {
        let wgpu::Extent3d { width, height, .. } = self.texture.size();
        for layer in 0..LAYERS {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: u64::from(layer) * FILL_ROW_BYTES,
                bytes_per_row: Some(FILL_ROW_BYTES as u32),
                rows_per_image: None,
            };
            let source = wgpu::TexelCopyBufferInfo { buffer: source, layout };
            let target = self.target(wgpu::Origin3d { x: 0, y: 0, z: layer });
            encoder.copy_buffer_to_texture(source, target, extent(width, height, 1));
        }
    }

    fn target(&self, origin: wgpu::Origin3d) -> wgpu::TexelCopyTextureInfo<'_> {
        let aspect = wgpu::TextureAspect::All;
        wgpu::TexelCopyTextureInfo { texture: &self.texture, mip_level: 0, origin, aspect }
    }
}

/// The format of all texels.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// [`Order::place_in_block`] with expressions for what it names, and for the band that the block lies in.
fn in_block(block: &str, band: &str, group: &str, row: &str, column: &str) -> String {
    let mask = BLOCKS - 1;
    format!("vec2<u32>((({block} & {mask}u) << 2u) | {column}, ({band} << 1u) | {row}), {group}")
}

/// `size` bytes from `offset` on, cut where rows end: the rest of a first row, whole rows, the begin
/// of a last row.
fn pieces(offset: u64, size: u64) -> impl Iterator<Item = Piece> {
    let (mut at, end) = (0, size.next_multiple_of(TEXEL));
    iter::from_fn(move || {
        if at == end {
            return None;
        }
        let texel = (offset + at) / TEXEL;
        let (x, y) = ((texel % u64::from(WIDTH)) as u32, (texel / u64::from(WIDTH)) as u32);
        let rows = if x == 0 { (end - at) / ROW_BYTES } else { 0 };
        let width = match rows {
            0 => WIDTH.min(x + ((end - at) / TEXEL).min(u64::from(WIDTH)) as u32) - x,
            _ => WIDTH,
        };
        let extent = extent(width, rows.max(1) as u32, 1);
        let bytes = u64::from(extent.width) * u64::from(extent.height) * TEXEL;
        let piece = Piece { origin: wgpu::Origin3d { x, y, z: 0 }, extent, at, bytes };
        at += bytes;
        Some(piece)
    })
}

/// At least `rows`, never a power of two: Mesa compiles a pipeline once for textures whose sides
/// are powers of two, and again for others (`lp_static_texture_state::pot_height`).
fn height(rows: u32) -> u32 {
    // Of 1 and 2 the next is one, too.
    let rows = rows.max(3);
    if rows.is_power_of_two() { rows + 1 } else { rows }
}

/// The first band that holds some of `size` bytes from `offset` on, and how many do.
fn bands(offset: u64, size: u64) -> (u64, u64) {
    let first = offset / BAND_BYTES;
    (first, (offset + size).div_ceil(BAND_BYTES) - first)
}

/// The blocks of `size` bytes from `offset` on, which is the begin of a block: the rest of a first band,
/// whole bands, the begin of a last one.
fn rectangles(offset: u64, size: u64) -> impl Iterator<Item = Blocks> {
    let (begin, end) = (offset / BLOCK_BYTES, (offset + size).div_ceil(BLOCK_BYTES));
    let width = u64::from(BLOCKS);
    let mut block = begin;
    iter::from_fn(move || {
        if block == end {
            return None;
        }
        let (column, band) = (block % width, block / width);
        let (columns, bands) = match (column, (end - block) / width) {
            (0, bands @ 1..) => (width, bands),
            _ => (width.min(column + end - block) - column, 1),
        };
        let in_texels =
            |[columns, rows]: [u64; 2]| [columns as u32 * BLOCK[0], rows as u32 * BLOCK[1]];
        let at = (block - begin) * BLOCK_BYTES;
        block += columns * bands;
        Some(Blocks { origin: in_texels([column, band]), extent: in_texels([columns, bands]), at })
    })
}

impl Blocks {
    /// The parts of it in each band.
    fn by_band(self) -> impl Iterator<Item = Self> {
        let [columns, rows] = self.extent;
        (0..rows / BLOCK[1]).map(move |band| Self {
            origin: [self.origin[0], self.origin[1] + band * BLOCK[1]],
            extent: [columns, BLOCK[1]],
            at: self.at + u64::from(band) * BAND_BYTES,
        })
    }

    /// For each run of texels its place in the tensor and that in a copy of the rectangle, layer by layer,
    /// whose rows have `row_bytes` bytes. Both in bytes.
    fn runs(self, row_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
        let [columns, rows] = self.extent.map(u64::from);
        let [block_columns, block_rows] = BLOCK.map(u64::from);
        let across = columns / block_columns;
        let run = move |(layer, y, x): (u64, u64, u64)| {
            let block = y / block_rows * across + x;
            let in_block = layer * block_rows + y % block_rows;
            let tensor = self.at + block * BLOCK_BYTES + in_block * RUN_BYTES;
            (tensor, (layer * rows + y) * row_bytes + x * RUN_BYTES)
        };
        let layers = 0..u64::from(LAYERS);
        let all = layers.flat_map(move |layer| (0..rows).map(move |y| (layer, y)));
        all.flat_map(move |(layer, y)| (0..across).map(move |x| (layer, y, x))).map(run)
    }
}

fn extent(width: u32, height: u32, depth_or_array_layers: u32) -> wgpu::Extent3d {
    wgpu::Extent3d { width, height, depth_or_array_layers }
}

fn layout(offset: u64) -> wgpu::TexelCopyBufferLayout {
    wgpu::TexelCopyBufferLayout {
        offset,
        bytes_per_row: Some(ROW_BYTES as u32),
        rows_per_image: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(offset: u64, size: u64) -> Vec<(u32, u32, u32, u32, u64)> {
        let piece = |p: Piece| (p.origin.x, p.origin.y, p.extent.width, p.extent.height, p.at);
        pieces(offset * TEXEL, size * TEXEL).map(piece).collect()
    }

    #[test]
    fn a_range_is_cut_where_rows_end() {
        let width = u64::from(WIDTH);
        assert_eq!(cut(3, 5), [(3, 0, 5, 1, 0)]);
        assert_eq!(cut(width, 2 * width), [(0, 1, WIDTH, 2, 0)]);
        assert_eq!(
            cut(width - 1, 2 * width + 3),
            [
                (WIDTH - 1, 0, 1, 1, 0),
                (0, 1, WIDTH, 2, TEXEL),
                (0, 3, 2, 1, TEXEL * (2 * width + 1)),
            ]
        );
        assert_eq!(cut(7, 0), []);
    }

    /// Column, row and layer of texel `i` in blocks, as [`Order::place`] has it in WGSL.
    fn place(i: u64) -> [u64; 3] {
        let band = u64::from(BLOCKS);
        let block = i / 64;
        [block % band * 4 + i % 4, block / band * 2 + i / 4 % 2, i / 8 % 8]
    }

    #[test]
    fn blocks_are_cut_where_bands_end_and_every_run_has_the_place_shaders_know() {
        let band = u64::from(BLOCKS);
        for (first, count) in [(0, 1), (3, 5), (band - 1, 2), (1, 3 * band), (band, 2 * band + 7)] {
            let mut runs = 0;
            for blocks in rectangles(first * BLOCK_BYTES, count * BLOCK_BYTES - 16) {
                let row_bytes = u64::from(blocks.extent[0]) * TEXEL;
                let layer_bytes = row_bytes * u64::from(blocks.extent[1]);
                for (tensor, copy) in blocks.runs(row_bytes) {
                    let layer = copy / layer_bytes;
                    let (y, x) = (copy % layer_bytes / row_bytes, copy % row_bytes / TEXEL);
                    let found = [x + u64::from(blocks.origin[0]), y + u64::from(blocks.origin[1])];
                    let wanted = place(first * 64 + tensor / TEXEL);
                    assert_eq!([found[0], found[1], layer], wanted);
                    runs += 1;
                }
            }
            assert_eq!(runs, count * BLOCK_BYTES / RUN_BYTES);
        }
        assert_eq!(Texels::scissors(0, BAND_BYTES * 2), [[0, 0, BLOCKS * 4, 4]]);
    }

    #[test]
    fn the_most_bytes_take_no_more_than_a_texture_may_have() {
        let most = Texels::most(16384);
        let rows = u64::from(height(most.div_ceil(ROW_BYTES) as u32));
        assert!(rows <= 16384 && rows * u64::from(WIDTH + UNUSED) * TEXEL <= LARGEST);
        let rows = u64::from(height(most.div_ceil(BAND_BYTES) as u32 * BLOCK[1]));
        let row = u64::from(BLOCKS * BLOCK[0] + UNUSED) * TEXEL;
        assert!(rows <= 16384 && rows * row * u64::from(LAYERS) <= LARGEST);
        assert_eq!(Texels::most(8192), 8191 * ROW_BYTES);
    }

    #[test]
    fn heights_are_no_powers_of_two() {
        let heights = [1, 2, 3, 4, 5, 8].map(height);
        assert_eq!(heights, [3, 3, 3, 5, 5, 9]);
    }
}
