//! Device memory, and ways to fill and read it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::texels::{BLOCK_BYTES, Order, Texels};
use super::{Gpu, GpuError};

/// Device memory of 4-byte elements, readable and writable by shaders and copies.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub(crate) memory: Arc<Memory>,
}

/// What holds a [`Buffer`]'s elements.
#[derive(Debug)]
pub(crate) enum Memory {
    /// A buffer.
    Bytes(wgpu::Buffer),
    /// A texture, for adapters that load faster from textures.
    Texels(Texels),
}

/// A part of a buffer, as a kernel binds it.
#[derive(Debug, Clone)]
pub struct BufferRange {
    /// The buffer.
    pub buffer: Buffer,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Buffer {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match &*self.memory {
            Memory::Bytes(buffer) => buffer.size(),
            Memory::Texels(texels) => texels.size,
        }
    }

    /// The whole buffer as a range.
    pub fn whole(&self) -> BufferRange {
        BufferRange { buffer: self.clone(), offset: 0, size: self.size() }
    }
}

impl BufferRange {
    /// The part of `size` bytes at `offset` within this range.
    pub fn part(&self, offset: u64, size: u64) -> Self {
        Self { buffer: self.buffer.clone(), offset: self.offset + offset, size }
    }

    /// What a bind group holds: the range of a buffer, or the whole texture, in which the range
    /// begins at texel [`BufferRange::offset`] / 16.
    pub(crate) fn binding(&self) -> wgpu::BindingResource<'_> {
        match &*self.buffer.memory {
            Memory::Bytes(buffer) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: self.offset,
                size: wgpu::BufferSize::new(self.size),
            }),
            Memory::Texels(texels) => wgpu::BindingResource::TextureView(&texels.view),
        }
    }

    /// Where texels of the range lie, `None` of a storage buffer.
    pub fn order(&self) -> Option<Order> {
        match &*self.buffer.memory {
            Memory::Bytes(_) => None,
            Memory::Texels(texels) => Some(texels.order),
        }
    }

    /// Bytes that a copy of the range to the host takes, see [`BufferRange::copy_to`].
    pub(super) fn staged(&self) -> u64 {
        match &*self.buffer.memory {
            Memory::Bytes(_) => self.size,
            Memory::Texels(texels) => texels.staged(self.offset, self.size),
        }
    }

    /// Records a copy of the range to the start of `staging`: of as many bytes as [`BufferRange::staged`]
    /// says, which are those of the range where it is not in blocks.
    pub(super) fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, staging: &wgpu::Buffer) {
        match &*self.buffer.memory {
            Memory::Bytes(buffer) => {
                encoder.copy_buffer_to_buffer(buffer, self.offset, staging, 0, self.size);
            }
            Memory::Texels(texels) => texels.copy_to(encoder, staging, self.offset, self.size),
        }
    }
}

/// A copy of device memory on its way to the host.
#[derive(Debug)]
pub struct Readback {
    range: BufferRange,
    staging: wgpu::Buffer,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Gpu {
    /// Makes a storage buffer of `bytes` (rounded up to 16, at least 16), all zero.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.make(label, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    /// Makes memory for `bytes` of tensors of `vec4<f32>`, all zero: texels where
    /// [`AdapterFacts::texels`](super::AdapterFacts::texels) says so, else a storage buffer.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub fn tensors(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        match self.facts.texels {
            true => self.texels(label, bytes, Order::Rows),
            false => self.buffer(label, bytes),
        }
    }

    /// Makes memory as [`Gpu::tensors`] does, in [`Order::Blocks`] where
    /// [`AdapterFacts::blocks`](super::AdapterFacts::blocks) says so.
    ///
    /// # Errors
    /// As [`Gpu::tensors`].
    pub fn blocks(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        match self.facts.blocks {
            true => self.texels(label, bytes, Order::Blocks),
            false => self.tensors(label, bytes),
        }
    }

    fn texels(&self, label: &str, bytes: u64, order: Order) -> Result<Buffer, GpuError> {
        let size = bytes.next_multiple_of(16).max(16);
        let texels = self.scoped(label, size, || Texels::new(&self.device, label, size, order))?;
        Ok(Buffer { memory: Arc::new(Memory::Texels(texels)) })
    }

    /// Makes a uniform buffer of `bytes`.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub fn uniform(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        self.make(label, bytes, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)
    }

    pub(super) fn make(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, GpuError> {
        let buffer = self.make_raw(label, bytes, usage)?;
        Ok(Buffer { memory: Arc::new(Memory::Bytes(buffer)) })
    }

    /// Makes a buffer of `bytes` (rounded up to 16, at least 16).
    pub(crate) fn make_raw(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let size = bytes.next_multiple_of(16).max(16);
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.scoped(label, size, || self.device.create_buffer(&descriptor))
    }

    /// Copies `data` to the start of `range` before the next submission runs.
    ///
    /// # Errors
    /// [`GpuError::Refused`] if it does not fit.
    pub fn write<T: bytemuck::NoUninit>(
        &self,
        range: &BufferRange,
        data: &[T],
    ) -> Result<(), GpuError> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        if bytes.len() as u64 > range.size {
            let message = format!("{} bytes into a range of {}", bytes.len(), range.size);
            return Err(self.refused("writing a buffer", message));
        }
        if range.order() == Some(Order::Blocks) && !range.offset.is_multiple_of(BLOCK_BYTES) {
            let message = format!("from {} on, where no block begins", range.offset);
            return Err(self.refused("writing texels", message));
        }
        match &*range.buffer.memory {
            Memory::Bytes(buffer) => self.queue.write_buffer(buffer, range.offset, bytes),
            Memory::Texels(texels) => texels.write(&self.queue, range.offset, bytes),
        }
        Ok(())
    }

    /// Copies the start of `from`, in a storage buffer, to `to`, in another, after all that was submitted
    /// before: as many bytes as both have.
    ///
    /// # Errors
    /// [`GpuError::Refused`] if one is in texels, others if the device has reported a fault.
    pub fn copy(&self, from: &BufferRange, to: &BufferRange) -> Result<(), GpuError> {
        let (Memory::Bytes(source), Memory::Bytes(target)) =
            (&*from.buffer.memory, &*to.buffer.memory)
        else {
            return Err(self.refused("copying a buffer", "texels are no buffer".to_owned()));
        };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let size = from.size.min(to.size);
        encoder.copy_buffer_to_buffer(source, from.offset, target, to.offset, size);
        self.queue.submit([encoder.finish()]);
        self.check("copying a buffer")
    }

    /// Starts to copy `range` to the host, after all that was submitted before.
    ///
    /// # Errors
    /// [`GpuError`] if the staging buffer cannot be made.
    pub fn start_read(&self, range: &BufferRange) -> Result<Readback, GpuError> {
        let descriptor = wgpu::BufferDescriptor {
            label: Some("readback"),
            size: range.staged(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let staging =
            self.scoped("readback", range.staged(), || self.device.create_buffer(&descriptor))?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        range.copy_to(&mut encoder, &staging);
        self.queue.submit([encoder.finish()]);
        let (send, mapped) = channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only when the reader gave up; then there is nobody to tell.
            let _ = send.send(result);
        });
        Ok(Readback { range: range.clone(), staging, mapped })
    }

    /// Copies `range` to the host and waits for it.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn read<T: bytemuck::Pod>(&self, range: &BufferRange) -> Result<Vec<T>, GpuError> {
        let readback = self.start_read(range)?;
        self.finish_read(readback)
    }

    /// Waits for a copy that [`Gpu::start_read`] began.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn finish_read<T: bytemuck::Pod>(&self, readback: Readback) -> Result<Vec<T>, GpuError> {
        self.wait()?;
        match readback.mapped.try_recv() {
            Ok(result) => self.take(&readback, result),
            Err(_) => Err(self.refused("reading a buffer", "the copy never ended".to_owned())),
        }
    }

    /// The copied elements if the copy has ended, without blocking.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn try_read<T: bytemuck::Pod>(
        &self,
        readback: &Readback,
    ) -> Result<Option<Vec<T>>, GpuError> {
        self.poll()?;
        match readback.mapped.try_recv() {
            Ok(result) => self.take(readback, result).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                Err(self.refused("reading a buffer", "the copy was dropped".to_owned()))
            }
        }
    }

    fn take<T: bytemuck::Pod>(
        &self,
        readback: &Readback,
        result: Result<(), wgpu::BufferAsyncError>,
    ) -> Result<Vec<T>, GpuError> {
        let refused = |error: String| self.refused("mapping a buffer", error);
        result.map_err(|error| refused(error.to_string()))?;
        let view = readback.staging.slice(..).get_mapped_range();
        let view = view.map_err(|error| refused(error.to_string()))?;
        let range = &readback.range;
        Ok(match &*range.buffer.memory {
            Memory::Bytes(_) => bytemuck::pod_collect_to_vec(&view),
            Memory::Texels(texels) => {
                bytemuck::pod_collect_to_vec(&texels.in_order(&view, range.offset, range.size))
            }
        })
    }
}
