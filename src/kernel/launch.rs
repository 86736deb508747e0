//! Compiled kernels and their bindings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Binding, Dim, KernelError, Source, Step, Variant};
use crate::gpu::{Buffer, BufferRange, Gpu, GpuError};

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
        let compiled = self.compile(variant, bindings)?;
        let gpu = &self.gpu;
        let dims: Vec<u32> = variant.dims.iter().map(|(_, dim)| word(*dim)).collect();
        let uniform = gpu.uniform("dims", (dims.len() as u64 * 4).max(16))?;
        gpu.write(&uniform.whole(), &dims)?;
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, range)| wgpu::BindGroupEntry { binding, resource: range.binding() })
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
    ) -> Result<Arc<Compiled>, KernelError> {
        let constants: Vec<_> =
            variant.constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let key = format!("{}{}", variant.name, constants.concat());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.get(&key) {
            return Ok(Arc::clone(found));
        }
        let source = Source::build(variant, bindings)?;
        let made =
            self.gpu.scoped(variant.name, 0, || self.create(variant, &source, bindings.len()))?;
        let made = Arc::new(made);
        compiled.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn create(&self, variant: &Variant, source: &Source, buffers: usize) -> Compiled {
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
        let tensors: Vec<_> = (0..buffers as u32).map(|i| entry(i, storage, false)).collect();
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
