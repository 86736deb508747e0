//! Compiled kernels and their bindings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Binding, Dim, KernelError, Source, Step, Variant};
use crate::gpu::{Buffer, BufferRange, Gpu, GpuError, Memory, TEXEL_FORMAT};

/// Micro-batches whose [`Step`]s are on the device at once.
pub(super) const STEP_SLOTS: u64 = 64;

/// The pipelines of a device, compiled at first use and shared by all launches.
#[derive(Debug)]
pub struct Kernels {
    pub(super) gpu: Arc<Gpu>,
    pub(super) steps: Buffer,
    pub(super) step_stride: u64,
    compiled: Mutex<HashMap<String, Arc<Compiled>>>,
}

#[derive(Debug)]
struct Compiled {
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroupLayout,
    scalars: wgpu::BindGroupLayout,
}

/// A kernel bound to its buffers, ready to be recorded any number of times.
#[derive(Debug)]
pub struct Launch {
    /// The variant that runs.
    pub variant: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) tensors: wgpu::BindGroup,
    pub(super) scalars: wgpu::BindGroup,
    pub(super) grid: super::Grid,
}

impl Kernels {
    /// No pipelines yet.
    ///
    /// # Errors
    /// [`GpuError`] if the uniform buffer of steps cannot be made.
    pub fn new(gpu: Arc<Gpu>) -> Result<Self, GpuError> {
        let align = gpu.facts().uniform_alignment.max(1);
        let step_stride = (size_of::<Step>() as u64).next_multiple_of(align);
        let steps = gpu.uniform("steps", step_stride * STEP_SLOTS)?;
        Ok(Self { gpu, steps, step_stride, compiled: Mutex::default() })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Compiles `variant` where this has not been done yet, and binds it to `buffers`, one for each
    /// of `bindings`.
    ///
    /// # Errors
    /// [`KernelError`] if the template or the device refuses.
    pub fn launch(
        &self,
        variant: &Variant,
        bindings: &[Binding],
        buffers: &[BufferRange],
    ) -> Result<Launch, KernelError> {
        let homes = homes(buffers);
        let compiled = self.compile(variant, bindings, &homes)?;
        let gpu = &self.gpu;
        let mut dims: Vec<u32> = variant.dims.iter().map(|(_, dim)| word(*dim)).collect();
        let in_texels = |(range, home): (&BufferRange, &Home)| {
            (*home != Home::Buffer).then_some((range.offset / 16) as u32)
        };
        dims.extend(buffers.iter().zip(&homes).filter_map(in_texels));
        let uniform = gpu.uniform("dims", (dims.len() as u64 * 4).max(16))?;
        gpu.write(&uniform.whole(), &dims)?;
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .zip(&homes)
            .filter(|((binding, _), home)| home.is_bound_at(*binding))
            .map(|((binding, range), _)| wgpu::BindGroupEntry {
                binding,
                resource: range.binding(),
            })
            .collect();
        let step =
            BufferRange { buffer: self.steps.clone(), offset: 0, size: size_of::<Step>() as u64 };
        let dims = uniform.whole();
        let scalars = [
            wgpu::BindGroupEntry { binding: 0, resource: step.binding() },
            wgpu::BindGroupEntry { binding: 1, resource: dims.binding() },
        ];
        let group = |layout, entries: &[wgpu::BindGroupEntry<'_>]| {
            let label = Some(variant.name);
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries })
        };
        let (tensors, scalars) = gpu.scoped(variant.name, 0, || {
            (group(&compiled.tensors, &entries), group(&compiled.scalars, &scalars))
        })?;
        let pipeline = compiled.pipeline.clone();
        Ok(Launch { variant: variant.name, pipeline, tensors, scalars, grid: variant.grid })
    }

    fn compile(
        &self,
        variant: &Variant,
        bindings: &[Binding],
        homes: &[Home],
    ) -> Result<Arc<Compiled>, KernelError> {
        let constants: Vec<_> =
            variant.constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let key = format!("{}{} {homes:?}", variant.name, constants.concat());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.get(&key) {
            return Ok(Arc::clone(found));
        }
        let source = Source::build(variant, bindings, homes)?;
        let made = self.gpu.scoped(variant.name, 0, || self.create(variant, &source, homes))?;
        let made = Arc::new(made);
        compiled.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn create(&self, variant: &Variant, source: &Source, homes: &[Home]) -> Compiled {
        let device = &self.gpu.device;
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(variant.name),
            source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
        };
        let module = if variant.proven && !self.gpu.all_checks() {
            // SAFETY: `proven` says that every index is in range by construction and every loop
            // ends; the test suite runs the same source with all checks on.
            unsafe {
                let checks = wgpu::ShaderRuntimeChecks::unchecked();
                device.create_shader_module_trusted(descriptor, checks)
            }
        } else {
            device.create_shader_module(descriptor)
        };
        let storage = wgpu::BufferBindingType::Storage { read_only: false };
        let tensors: Vec<_> = (0..)
            .zip(homes)
            .filter(|(place, home)| home.is_bound_at(*place))
            .map(|(place, home)| match home {
                Home::Buffer => entry(place, storage, false),
                Home::Texels(_) => texels_entry(place),
            })
            .collect();
        let uniform = wgpu::BufferBindingType::Uniform;
        let scalars = [entry(0, uniform, true), entry(1, uniform, false)];
        let group = |entries: &[wgpu::BindGroupLayoutEntry]| {
            let label = Some(variant.name);
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries })
        };
        let (tensors, scalars) = (group(&tensors), group(&scalars));
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(variant.name),
            bind_group_layouts: &[Some(&tensors), Some(&scalars)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: self.gpu.all_checks(),
                ..Default::default()
            },
            cache: None,
        });
        Compiled { pipeline, tensors, scalars }
    }
}

/// Where a binding's elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In a storage buffer.
    Buffer,
    /// In a texture, bound once for all bindings that lie in it: at the place of the first of them.
    Texels(u32),
}

impl Home {
    /// True if the binding at `place` has an entry of its own in the bind group.
    fn is_bound_at(self, place: u32) -> bool {
        self == Self::Buffer || self == Self::Texels(place)
    }
}

fn homes(buffers: &[BufferRange]) -> Vec<Home> {
    let memory = |range: &BufferRange| Arc::as_ptr(&range.buffer.memory);
    let home = |range: &BufferRange| match &*range.buffer.memory {
        Memory::Bytes(_) => Home::Buffer,
        Memory::Texels(_) => {
            let first = buffers.iter().position(|other| memory(other) == memory(range));
            Home::Texels(first.unwrap_or(0) as u32)
        }
    };
    buffers.iter().map(home).collect()
}

fn texels_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadWrite,
            format: TEXEL_FORMAT,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
        count: None,
    }
}

fn word(dim: Dim) -> u32 {
    match dim {
        Dim::U(value) => value,
        Dim::F(value) => value.to_bits(),
    }
}

fn entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}
