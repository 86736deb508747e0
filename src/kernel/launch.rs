//! Compiled kernels and their bindings.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::cache::Shader;
use super::source::Recipe;
use super::{Access, Binding, Dim, Grid, KernelError, Step, Variant, ahead, cache};
use crate::gpu::{
    Buffer, BufferRange, Gpu, GpuError, Memory, Order, TEXEL_FORMAT, TEXEL_LAYERS, Texels,
};

/// Micro-batches whose [`Step`]s are on the device at once.
pub(super) const STEP_SLOTS: u64 = 64;
/// Expressions of a shader that take a driver a tenth of a second to compile, or more.
const LONG: usize = 1 << 10;

/// The pipelines of a device, compiled at first use and shared by all launches.
#[derive(Debug)]
pub struct Kernels {
    pub(super) gpu: Arc<Gpu>,
    pub(super) steps: Buffer,
    pub(super) step_stride: u64,
    compiled: Mutex<Pipelines>,
}

/// Pipelines by what they are asked for by, and by their recipes: variants that differ in name only
/// share one, since drivers take seconds to compile some of them.
#[derive(Debug, Default)]
struct Pipelines {
    by_key: HashMap<String, Arc<Compiled>>,
    by_recipe: HashMap<String, Arc<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    pipeline: Pipeline,
    tensors: wgpu::BindGroupLayout,
    scalars: wgpu::BindGroupLayout,
}

/// A compiled variant.
#[derive(Debug, Clone)]
enum Pipeline {
    Compute(wgpu::ComputePipeline),
    Render(wgpu::RenderPipeline),
}

/// How a launch runs.
#[derive(Debug)]
pub(super) enum Work {
    /// As a compute shader over a grid.
    Dispatch(wgpu::ComputePipeline, Grid),
    /// As a render pass.
    Draw(Draw),
}

/// A render pass over a tensor in blocks.
#[derive(Debug)]
pub(super) struct Draw {
    pipeline: wgpu::RenderPipeline,
    target: Buffer,
    /// Where the tensor lies in each layer: column, row, columns, rows.
    scissors: Vec<[u32; 4]>,
}

/// A kernel bound to its buffers, ready to be recorded any number of times.
#[derive(Debug)]
pub struct Launch {
    /// The variant that runs.
    pub variant: &'static str,
    pub(super) work: Work,
    pub(super) tensors: wgpu::BindGroup,
    pub(super) scalars: wgpu::BindGroup,
}

impl Launch {
    /// Records the dispatch of `pipeline` over `columns` by `rows` workgroups, with the step at `step`.
    pub(super) fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        pipeline: &wgpu::ComputePipeline,
        (columns, rows): (u32, u32),
        step: u32,
    ) {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        pass.set_bind_group(1, &self.scalars, &[step]);
        pass.dispatch_workgroups(columns, rows, 1);
    }

    /// Records the rendering of `draw` within `scissors`, with the step at `step`.
    pub(super) fn draw(
        &self,
        pass: &mut wgpu::RenderPass<'_>,
        draw: &Draw,
        scissors: &[[u32; 4]],
        step: u32,
    ) {
        pass.set_pipeline(&draw.pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        pass.set_bind_group(1, &self.scalars, &[step]);
        for &[x, y, columns, rows] in scissors {
            pass.set_scissor_rect(x, y, columns, rows);
            pass.draw(0..3, 0..1);
        }
    }
}

impl Draw {
    /// The scissors of the whole tensor.
    pub(super) fn scissors(&self) -> &[[u32; 4]] {
        &self.scissors
    }

    /// What it writes to.
    pub(super) fn target(&self) -> &Arc<Memory> {
        &self.target.memory
    }

    /// Begins a render pass for it, and for others with the same target.
    pub(super) fn pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::RenderPassTimestampWrites<'_>>,
    ) -> wgpu::RenderPass<'a> {
        let layers = match &**self.target() {
            Memory::Texels(texels) => texels.layers.as_slice(),
            Memory::Bytes(_) => &[],
        };
        let ops = wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Store };
        let attachment = |view| {
            let (depth_slice, resolve_target) = (None, None);
            Some(wgpu::RenderPassColorAttachment { view, depth_slice, resolve_target, ops })
        };
        let attachments: Vec<_> = layers.iter().map(attachment).collect();
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &attachments,
            timestamp_writes,
            ..wgpu::RenderPassDescriptor::default()
        })
    }
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
        if let Some(range) = buffers.iter().find(|r| r.offset + r.size > r.buffer.size()) {
            // wgpu would notice of a buffer, but of texels only this is known.
            let (end, size) = (range.offset + range.size, range.buffer.size());
            let message = format!("a range that ends at {end} of {size} bytes");
            return Err(self.gpu.refused(variant.name, message).into());
        }
        let homes = homes(buffers);
        let target = self.target(variant, bindings, buffers, &homes)?;
        let compiled = self.compile(variant, bindings, &homes)?;
        let gpu = &self.gpu;
        let mut dims: Vec<u32> = variant.dims.iter().map(|(_, dim)| word(*dim)).collect();
        let in_texels = |(range, home): (&BufferRange, &Home)| {
            (*home != Home::Buffer).then_some((range.offset / 16) as u32)
        };
        dims.extend(buffers.iter().zip(&homes).filter_map(in_texels));
        let uniform = gpu.uniform("dims", (dims.len() as u64 * 4).max(16))?;
        gpu.write(&uniform.whole(), &dims)?;
        let entries: Vec<_> = bound(variant, bindings, &homes)
            .map(|(binding, _)| wgpu::BindGroupEntry {
                binding,
                resource: buffers[binding as usize].binding(),
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
        let work = match (compiled.pipeline.clone(), target) {
            (Pipeline::Compute(pipeline), _) => Work::Dispatch(pipeline, variant.grid),
            (Pipeline::Render(pipeline), Some(range)) => {
                let scissors = Texels::scissors(range.offset, range.size);
                Work::Draw(Draw { pipeline, target: range.buffer.clone(), scissors })
            }
            (Pipeline::Render(_), None) => unreachable!("what is rendered has a target"),
        };
        Ok(Launch { variant: variant.name, work, tensors, scalars })
    }

    /// The range that a rendered variant writes: of blocks, in which nothing else is bound.
    fn target<'a>(
        &self,
        variant: &Variant,
        bindings: &[Binding],
        buffers: &'a [BufferRange],
        homes: &[Home],
    ) -> Result<Option<&'a BufferRange>, GpuError> {
        let Some(name) = variant.target else { return Ok(None) };
        let place = bindings.iter().position(|binding| binding.name == name);
        let range = place.and_then(|place| buffers.get(place));
        let alone = place.is_some_and(|place| {
            let home = homes[place];
            homes.iter().enumerate().all(|(other, of)| other == place || *of != home)
        });
        match range {
            Some(range) if alone && range.order() == Some(Order::Blocks) => Ok(Some(range)),
            _ => {
                let message = format!("{name} has to lie in blocks, apart from what is read");
                Err(self.gpu.refused(variant.name, message))
            }
        }
    }

    /// Compiles those of `wanted` that are not compiled yet, on all cores.
    ///
    /// A driver that would compile in the first step does it here, if one of the pipelines is new.
    ///
    /// # Errors
    /// [`KernelError`] if a template or the device refuses.
    pub fn compile_all(&self, wanted: &[Wanted]) -> Result<(), KernelError> {
        let homes = all_homes(wanted);
        let mut missing = distinct(wanted, &homes);
        missing.retain(|(key, ..)| self.compiled(key).is_none());
        let work = missing.iter().map(|missing @ (_, variant, bindings, homes)| {
            (missing, Recipe::new(variant, bindings, homes))
        });
        let mut recipes = HashSet::new();
        let (first, same): (Vec<_>, Vec<_>) =
            work.partition(|(_, recipe)| recipes.insert(recipe.id.clone()));
        let gpu = &self.gpu;
        let loaded = on_all_cores(first, |(missing, recipe)| {
            let (shader, is_new) = cache::shader(&recipe, gpu.cache())?;
            Ok((missing, recipe, shader, is_new))
        });
        let mut loaded = loaded.into_iter().collect::<Result<Vec<_>, KernelError>>()?;
        // The longest first, lest one is left for a single core in the end.
        loaded.sort_by_key(|(.., shader, _)| Reverse(shader.size()));
        let is_new = loaded.iter().any(|(.., shader, is_new)| *is_new && shader.size() >= LONG);
        let pending: Vec<_> = loaded.iter().map(|(missing, ..)| *missing).collect();
        let made = on_all_cores(loaded, |(missing, recipe, shader, _)| {
            self.make(missing, &recipe, shader)
        });
        made.into_iter().try_for_each(|made| made.map(|_| ()))?;
        for ((key, ..), recipe) in same {
            self.share(key, &recipe);
        }
        if is_new && gpu.cache().is_some() && gpu.facts().compiles_at_first_run() {
            // What this fails to compile is compiled in the first step.
            let _ = ahead::compile(gpu, &pending);
        }
        Ok(())
    }

    /// Has the driver translate `wanted` to machine code and keep it where it keeps such things,
    /// on devices of their own, one for each core. [`Kernels::compile_all`] does it where it pays.
    ///
    /// # Errors
    /// [`KernelError`] if a template or the device refuses.
    pub fn compile_ahead(&self, wanted: &[Wanted]) -> Result<(), KernelError> {
        let homes = all_homes(wanted);
        let pending = distinct(wanted, &homes);
        ahead::compile(&self.gpu, &pending.iter().collect::<Vec<_>>())
    }

    /// Submits `launch` with no workgroups, or no texels to render.
    pub(super) fn run_over_nothing(&self, launch: &Launch) -> Result<(), GpuError> {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device.create_command_encoder(&descriptor);
        match &launch.work {
            Work::Dispatch(pipeline, _) => {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                launch.dispatch(&mut pass, pipeline, (0, 0), 0);
            }
            Work::Draw(draw) => {
                launch.draw(&mut draw.pass(&mut encoder, None), draw, &[[0; 4]], 0);
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check("compiling")
    }

    fn compile(
        &self,
        variant: &Variant,
        bindings: &[Binding],
        homes: &[Home],
    ) -> Result<Arc<Compiled>, KernelError> {
        let key = key(variant, homes);
        let recipe = || Recipe::new(variant, bindings, homes);
        let found = self.compiled(&key).or_else(|| self.share(&key, &recipe()));
        if let Some(found) = found {
            return Ok(found);
        }
        let (shader, _) = cache::shader(&recipe(), self.gpu.cache())?;
        self.make(&(key, variant, bindings, homes), &recipe(), shader)
    }

    fn compiled(&self, key: &str) -> Option<Arc<Compiled>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }

    /// The pipeline of the same recipe, from now on also under `key`.
    fn share(&self, key: &str, recipe: &Recipe<'_>) -> Option<Arc<Compiled>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let found = compiled.by_recipe.get(&recipe.id).cloned()?;
        compiled.by_key.insert(key.to_owned(), Arc::clone(&found));
        Some(found)
    }

    fn make(
        &self,
        (key, variant, bindings, homes): &Missing<'_>,
        recipe: &Recipe<'_>,
        shader: Shader,
    ) -> Result<Arc<Compiled>, KernelError> {
        let made =
            self.gpu.scoped(variant.name, 0, || self.create(variant, bindings, shader, homes))?;
        let made = Arc::new(made);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.by_recipe.insert(recipe.id.clone(), Arc::clone(&made));
        compiled.by_key.insert(key.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn create(
        &self,
        variant: &Variant,
        bindings: &[Binding],
        shader: Shader,
        homes: &[Home],
    ) -> Compiled {
        let device = &self.gpu.device;
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(variant.name),
            source: match shader {
                Shader::Module(module) => wgpu::ShaderSource::Naga(Cow::Owned(*module)),
                Shader::Source(source) => wgpu::ShaderSource::Wgsl(source.wgsl.into()),
            },
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
        let uses = if variant.target.is_some() { USES_OF_FRAGMENTS } else { USES_OF_COMPUTE };
        let storage = wgpu::BufferBindingType::Storage { read_only: uses.only };
        let tensors: Vec<_> = bound(variant, bindings, homes)
            .map(|(place, home)| match home {
                Home::Buffer => entry(place, uses.stage, storage, false),
                Home::Texels { order, .. } => texels_entry(place, uses, order),
            })
            .collect();
        let uniform = wgpu::BufferBindingType::Uniform;
        let scalars = [entry(0, uses.stage, uniform, true), entry(1, uses.stage, uniform, false)];
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
        let compilation_options = wgpu::PipelineCompilationOptions {
            // Every kernel writes workgroup memory before it reads it.
            zero_initialize_workgroup_memory: self.gpu.all_checks(),
            ..Default::default()
        };
        let (label, layout, entry_point) = (Some(variant.name), Some(&layout), Some("main"));
        let pipeline = match variant.target {
            None => Pipeline::Compute(device.create_compute_pipeline(
                &wgpu::ComputePipelineDescriptor {
                    label,
                    layout,
                    module: &module,
                    entry_point,
                    compilation_options,
                    cache: None,
                },
            )),
            Some(target) => {
                let adds = bindings.iter().any(|b| b.name == target && b.access == Access::Update);
                let state = wgpu::ColorTargetState {
                    format: TEXEL_FORMAT,
                    blend: adds.then_some(wgpu::BlendState { color: ADD, alpha: ADD }),
                    write_mask: wgpu::ColorWrites::ALL,
                };
                let targets = vec![Some(state); TEXEL_LAYERS as usize];
                Pipeline::Render(device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                    label,
                    layout,
                    vertex: wgpu::VertexState {
                        module: &module,
                        entry_point: Some("corner"),
                        compilation_options: compilation_options.clone(),
                        buffers: &[],
                    },
                    fragment: Some(wgpu::FragmentState {
                        module: &module,
                        entry_point,
                        compilation_options,
                        targets: &targets,
                    }),
                    primitive: wgpu::PrimitiveState::default(),
                    depth_stencil: None,
                    multisample: wgpu::MultisampleState::default(),
                    multiview_mask: None,
                    cache: None,
                }))
            }
        };
        Compiled { pipeline, tensors, scalars }
    }
}

/// Where a binding's elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In a storage buffer.
    Buffer,
    /// In a texture, bound once for all bindings that lie in it.
    Texels {
        /// The first of these bindings, at whose place it is bound.
        first: u32,
        /// Where its texels lie.
        order: Order,
    },
}

/// The places of bindings that have an entry of their own in the bind group: the first of those in a
/// texture, and not what is rendered.
fn bound(
    variant: &Variant,
    bindings: &[Binding],
    homes: &[Home],
) -> impl Iterator<Item = (u32, Home)> {
    let is_bound = |&(place, home): &(u32, Home)| match home {
        Home::Buffer => true,
        Home::Texels { first, .. } => first == place,
    };
    let all = (0..).zip(homes.iter().copied()).filter(is_bound);
    all.filter(|(place, _)| !variant.renders(bindings, *place))
}

fn homes(buffers: &[BufferRange]) -> Vec<Home> {
    let memory = |range: &BufferRange| Arc::as_ptr(&range.buffer.memory);
    let home = |range: &BufferRange| match &*range.buffer.memory {
        Memory::Bytes(_) => Home::Buffer,
        Memory::Texels(texels) => {
            let first = buffers.iter().position(|other| memory(other) == memory(range));
            Home::Texels { first: first.unwrap_or(0) as u32, order: texels.order }
        }
    };
    buffers.iter().map(home).collect()
}

/// What shaders of a kind do with their bindings.
#[derive(Debug, Clone, Copy)]
struct Uses {
    stage: wgpu::ShaderStages,
    /// True if they only read.
    only: bool,
}

const USES_OF_COMPUTE: Uses = Uses { stage: wgpu::ShaderStages::COMPUTE, only: false };
const USES_OF_FRAGMENTS: Uses = Uses { stage: wgpu::ShaderStages::FRAGMENT, only: true };

/// What a fragment returns is added to what there is.
const ADD: wgpu::BlendComponent = wgpu::BlendComponent {
    src_factor: wgpu::BlendFactor::One,
    dst_factor: wgpu::BlendFactor::One,
    operation: wgpu::BlendOperation::Add,
};

fn texels_entry(binding: u32, uses: Uses, order: Order) -> wgpu::BindGroupLayoutEntry {
    let access = match uses.only {
        true => wgpu::StorageTextureAccess::ReadOnly,
        false => wgpu::StorageTextureAccess::ReadWrite,
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: uses.stage,
        ty: wgpu::BindingType::StorageTexture {
            access,
            format: TEXEL_FORMAT,
            view_dimension: order.dimension(),
        },
        count: None,
    }
}

/// A variant to be compiled, its bindings, and the memory that each of them is to be bound to.
pub type Wanted = (Variant, Vec<Binding>, Vec<BufferRange>);

fn all_homes(wanted: &[Wanted]) -> Vec<Vec<Home>> {
    wanted.iter().map(|(.., buffers)| homes(buffers)).collect()
}

/// The pipelines of `wanted`, each once.
fn distinct<'a>(wanted: &'a [Wanted], homes: &'a [Vec<Home>]) -> Vec<Missing<'a>> {
    let all = wanted.iter().zip(homes);
    let mut all: Vec<_> = all.map(|((v, b, _), h)| (key(v, h), v, &b[..], &h[..])).collect();
    all.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    all.dedup_by(|(a, ..), (b, ..)| a == b);
    all
}

/// A pipeline to be made: its key, the variant, its bindings and where they lie.
pub(super) type Missing<'a> = (String, &'a Variant, &'a [Binding], &'a [Home]);

/// What pipelines are asked for by.
fn key(variant: &Variant, homes: &[Home]) -> String {
    let constants = variant.constants.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{}{} {homes:?}", variant.name, constants.collect::<String>())
}

/// Applies `work` to each item, as many at a time as there are cores, in order.
fn on_all_cores<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    if workers < 2 {
        return items.into_iter().map(work).collect();
    }
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let items = Mutex::new(items.into_iter().enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        while let Some((i, item)) = next() {
            let result = work(item);
            results.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(result);
        }
    };
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker))));
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}

fn word(dim: Dim) -> u32 {
    match dim {
        Dim::U(value) => value,
        Dim::F(value) => value.to_bits(),
    }
}

fn entry(
    binding: u32,
    visibility: wgpu::ShaderStages,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}

impl Variant {
    /// True of the place of the binding that a rendered variant writes.
    fn renders(&self, bindings: &[Binding], place: u32) -> bool {
        let name = bindings.get(place as usize).map(|binding| binding.name);
        self.target.is_some() && self.target == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whichever_core_is_faster() {
        let items: Vec<usize> = (0..100).collect();
        let slow = |i: usize| (0..(i % 7) * 1000).fold(i, |sum, j| sum + j % 2 - j % 2);
        assert_eq!(on_all_cores(items.clone(), slow), items);
        assert!(on_all_cores(Vec::new(), slow).is_empty());
    }
}
