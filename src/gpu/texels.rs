//! Tensors in textures: on a software rasterizer the cheapest way to load a `vec4<f32>`.
//!
//! A load from a storage buffer is a loop over the lanes of a subgroup there, with a bounds check
//! each; a load from a texture of `rgba32float` is eight moves and a transpose. The texture holds
//! texel `i` at `(i % WIDTH, i / WIDTH)`, so that ranges are addressed as in a buffer.

/// Texels in a row. With the 16,384 rows that adapters offer this is a gigabyte, which is also the
/// most that lavapipe gives a texture; a row less is used, see [`rows`].
pub const WIDTH: u32 = 4096;
/// Bytes of a texel.
const TEXEL: u64 = 16;
const ROW_BYTES: u64 = WIDTH as u64 * TEXEL;

/// Rows of [`WIDTH`] texels.
#[derive(Debug)]
pub struct Texels {
    texture: wgpu::Texture,
    /// The whole texture as shaders bind it.
    pub view: wgpu::TextureView,
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

impl Texels {
    pub(super) fn new(device: &wgpu::Device, label: &str, size: u64) -> Self {
        use wgpu::TextureUsages as Usage;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: extent(WIDTH, rows(size)),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: Usage::STORAGE_BINDING | Usage::COPY_SRC | Usage::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Self { texture, view, size }
    }

    /// Bytes that a texture may have on an adapter whose textures have sides of at most `side`.
    pub(super) fn most(side: u32) -> u64 {
        u64::from(side.min(16384) - 1) * ROW_BYTES
    }

    pub(super) fn write(&self, queue: &wgpu::Queue, offset: u64, bytes: &[u8]) {
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

    pub(super) fn copy_to(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        staging: &wgpu::Buffer,
        offset: u64,
        size: u64,
    ) {
        for piece in pieces(offset, size) {
            let target = wgpu::TexelCopyBufferInfo { buffer: staging, layout: layout(piece.at) };
            encoder.copy_texture_to_buffer(self.target(piece.origin), target, piece.extent);
        }
    }

    /// Records a copy of `size` bytes of a buffer, from a place in it on, to the texels from `offset` on.
    pub(super) fn copy_from(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        (buffer, begin): (&wgpu::Buffer, u64),
        offset: u64,
        size: u64,
    ) {
        for piece in pieces(offset, size) {
            let source = wgpu::TexelCopyBufferInfo { buffer, layout: layout(begin + piece.at) };
            encoder.copy_buffer_to_texture(source, self.target(piece.origin), piece.extent);
        }
    }

    fn target(&self, origin: wgpu::Origin3d) -> wgpu::TexelCopyTextureInfo<'_> {
        let aspect = wgpu::TextureAspect::All;
        wgpu::TexelCopyTextureInfo { texture: &self.texture, mip_level: 0, origin, aspect }
    }
}

/// The format of all texels.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// `size` bytes from `offset` on, cut where rows end: the rest of a first row, whole rows, the begin
/// of a last row.
fn pieces(offset: u64, size: u64) -> impl Iterator<Item = Piece> {
    let (mut at, end) = (0, size.next_multiple_of(TEXEL));
    std::iter::from_fn(move || {
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
        let extent = extent(width, rows.max(1) as u32);
        let bytes = u64::from(extent.width) * u64::from(extent.height) * TEXEL;
        let piece = Piece { origin: wgpu::Origin3d { x, y, z: 0 }, extent, at, bytes };
        at += bytes;
        Some(piece)
    })
}

/// Rows for `size` bytes, never a power of two: Mesa compiles a pipeline once for textures whose sides
/// are powers of two, and again for others (`lp_static_texture_state::pot_height`).
fn rows(size: u64) -> u32 {
    // Of 1 and 2 the next is one, too.
    let rows = (size.div_ceil(ROW_BYTES) as u32).max(3);
    if rows.is_power_of_two() { rows + 1 } else { rows }
}

fn extent(width: u32, height: u32) -> wgpu::Extent3d {
    wgpu::Extent3d { width, height, depth_or_array_layers: 1 }
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
}
