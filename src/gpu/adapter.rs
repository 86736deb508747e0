//! Which adapters there are, what they offer, and which one to take.

use std::fmt;

use super::GpuError;
use super::texels::{self, BLOCK_BYTES, Texels};

/// What kind of hardware an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU behind a hypervisor.
    Virtual,
    /// A software rasterizer on the CPU.
    Software,
    /// The driver does not say.
    Unknown,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Software => "software",
            Self::Unknown => "unknown",
        })
    }
}

/// The facts about an adapter that kernels and the memory plan depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterFacts {
    /// Place in the list that [`list`] gives, for `--adapter`.
    pub index: usize,
    /// The adapter's name as its driver reports it.
    pub name: String,
    /// Vulkan, Metal, DX12 or GL.
    pub backend: String,
    /// What kind of hardware it is.
    pub kind: AdapterKind,
    /// The driver's name and version.
    pub driver: String,
    /// Bytes that one storage binding may span.
    pub max_binding: u64,
    /// Bytes that one buffer may have.
    pub max_buffer: u64,
    /// Alignment of a storage binding's offset in bytes.
    pub storage_alignment: u64,
    /// Alignment of a uniform binding's offset in bytes.
    pub uniform_alignment: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Storage buffers that one shader may bind.
    pub max_storage_buffers: u32,
    /// True if shaders may use subgroup operations.
    pub subgroups: bool,
    /// The smallest subgroup a shader may get (meaningless without `subgroups`).
    pub subgroup_min: u32,
    /// The largest subgroup a shader may get (meaningless without `subgroups`).
    pub subgroup_max: u32,
    /// True if passes can be timed on the device.
    pub timestamps: bool,
    /// True if shaders may compute in 16 bits.
    pub f16: bool,
    /// True if tensors lie in textures: a software rasterizer loads from them in a quarter of the
    /// time that a storage buffer takes.
    pub texels: bool,
    /// True if weights that each step rewrites lie in [`Order::Blocks`](super::Order::Blocks), where a
    /// render pass adds to them.
    pub blocks: bool,
    /// Bytes of tensors that one piece of device memory may hold: a buffer, or a texture.
    pub max_tensors: u64,
}

/// Lets shaders read and write the same texture of four floats a texel.
pub(super) const TEXELS: wgpu::Features = wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES;

/// Lets a render pass add to such a texture.
pub(super) const BLOCKS: wgpu::Features = wgpu::Features::FLOAT32_BLENDABLE;

impl AdapterFacts {
    pub(super) fn of(index: usize, adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let format = adapter.get_texture_format_features(texels::FORMAT).flags;
        let texels = kind_of(&info) == AdapterKind::Software
            && features.contains(TEXELS)
            && format.contains(wgpu::TextureFormatFeatureFlags::STORAGE_READ_WRITE);
        let attachment_bytes = texels::LAYERS * 16;
        let blocks = texels
            && features.contains(BLOCKS | wgpu::Features::SUBGROUP)
            && format.contains(wgpu::TextureFormatFeatureFlags::BLENDABLE)
            && limits.max_color_attachments >= texels::LAYERS
            && limits.max_color_attachment_bytes_per_sample >= attachment_bytes;
        let most_texels = Texels::most(limits.max_texture_dimension_2d);
        let driver = [info.driver.as_str(), info.driver_info.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            index,
            kind: kind_of(&info),
            backend: backend_name(info.backend).to_owned(),
            driver,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            storage_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment),
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            subgroup_min: info.subgroup_min_size,
            subgroup_max: info.subgroup_max_size,
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            f16: features.contains(wgpu::Features::SHADER_F16),
            texels,
            blocks,
            max_tensors: if texels { most_texels } else { limits.max_buffer_size },
            name: info.name,
        }
    }

    /// True for a rasterizer that runs on the CPU.
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }

    /// What places of tensors are multiples of, in bytes: those that a binding's offset has to be, and where
    /// weights may lie in blocks whole ones; at least whole quads.
    pub fn tensor_alignment(&self) -> u64 {
        self.storage_alignment.max(if self.blocks { BLOCK_BYTES } else { 16 })
    }

    /// True if the driver compiles a pipeline when it first runs, on the thread of its queue.
    pub(crate) fn compiles_at_first_run(&self) -> bool {
        self.backend == "Vulkan" && self.driver.contains("llvmpipe")
    }
}

impl fmt::Display for AdapterFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.kind)?;
        if self.driver.is_empty() { Ok(()) } else { write!(f, ", driver {}", self.driver) }
    }
}

fn kind_of(info: &wgpu::AdapterInfo) -> AdapterKind {
    // The GL backend cannot always tell what it runs on: Mesa's rasterizers say so in their names.
    let name = info.name.to_lowercase();
    if ["llvmpipe", "softpipe", "swiftshader", "warp"].iter().any(|known| name.contains(known)) {
        return AdapterKind::Software;
    }
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Unknown,
    }
}

fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "DX12",
        wgpu::Backend::Gl => "GL",
        wgpu::Backend::BrowserWebGpu => "WebGPU",
        wgpu::Backend::Noop => "none",
    }
}

/// Every adapter of this machine with its facts; first those of Vulkan, Metal and DX12, then GL's.
/// `WGPU_BACKEND` (a list of `vulkan`, `metal`, `dx12`, `gl`) narrows the search.
pub fn list() -> Vec<AdapterFacts> {
    enumerate(all_backends()).into_iter().map(|(facts, _)| facts).collect()
}

fn all_backends() -> wgpu::Backends {
    wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY | wgpu::Backends::GL)
}

fn enumerate(backends: wgpu::Backends) -> Vec<(AdapterFacts, wgpu::Adapter)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| adapter.get_info().backend == wgpu::Backend::Gl);
    let numbered = adapters.into_iter().enumerate();
    numbered.map(|(index, adapter)| (AdapterFacts::of(index, &adapter), adapter)).collect()
}

/// Finds an adapter: by index or part of its name (any case) where `wanted` is given, else a
/// discrete GPU before an integrated one, a virtual one and a software rasterizer.
///
/// # Errors
/// [`GpuError::NoAdapter`] if there is none at all, [`GpuError::NoSuchAdapter`] if none matches.
pub(super) fn choose(wanted: Option<&str>) -> Result<(AdapterFacts, wgpu::Adapter), GpuError> {
    // GL is a last resort and slow to open: it is looked at only when asked for, or when nothing
    // better answers.
    let all = all_backends();
    let better = all.difference(wgpu::Backends::GL);
    let mut found = enumerate(if wanted.is_some() { all } else { better });
    if found.is_empty() && wanted.is_none() && better != all {
        found = enumerate(all);
    }
    if found.is_empty() {
        let searched = all.iter_names().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>();
        return Err(GpuError::NoAdapter { searched: searched.join(", "), hint: install_hint() });
    }
    let place = match wanted {
        None => Some(best(found.iter().map(|(facts, _)| facts))),
        Some(text) => matching(text, found.iter().map(|(facts, _)| facts)),
    };
    match place {
        Some(place) => Ok(found.swap_remove(place)),
        None => Err(GpuError::NoSuchAdapter {
            wanted: wanted.unwrap_or_default().to_owned(),
            available: found
                .iter()
                .map(|(facts, _)| format!("{} {} ({})", facts.index, facts.name, facts.backend))
                .collect::<Vec<_>>()
                .join("; "),
        }),
    }
}

fn matching<'a>(text: &str, found: impl Iterator<Item = &'a AdapterFacts>) -> Option<usize> {
    let text = text.to_lowercase();
    let index = text.parse::<usize>().ok();
    let mut found = found.enumerate();
    match index {
        Some(index) => found.find(|(_, facts)| facts.index == index),
        None => found.find(|(_, facts)| facts.name.to_lowercase().contains(&text)),
    }
    .map(|(place, _)| place)
}

fn best<'a>(found: impl Iterator<Item = &'a AdapterFacts>) -> usize {
    let rank = |kind| match kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Virtual | AdapterKind::Unknown => 2,
        AdapterKind::Software => 3,
    };
    found.enumerate().min_by_key(|(_, facts)| rank(facts.kind)).map_or(0, |(place, _)| place)
}

/// The index of the adapter among `found` (as [`list`] gives them) that is taken where the user
/// names none: one of GL only if there is no other.
pub fn preferred(found: &[AdapterFacts]) -> Option<usize> {
    let better: Vec<&AdapterFacts> = found.iter().filter(|facts| facts.backend != "GL").collect();
    let among = if better.is_empty() { found.iter().collect() } else { better };
    among.get(best(among.iter().copied())).map(|facts| facts.index)
}

fn install_hint() -> &'static str {
    if cfg!(target_os = "linux") {
        "Install your GPU's Vulkan driver, or Mesa's software one: 'apt install libvulkan1 \
         mesa-vulkan-drivers' (Debian, Ubuntu), 'dnf install vulkan-loader mesa-vulkan-drivers' \
         (Fedora), 'pacman -S vulkan-icd-loader vulkan-swrast' (Arch)"
    } else if cfg!(target_os = "macos") {
        "Metal needs macOS 10.13 or newer"
    } else {
        "Install your GPU's driver; DX12 needs Windows 10 or newer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(index: usize, name: &str, kind: AdapterKind) -> AdapterFacts {
        AdapterFacts { index, name: name.to_owned(), ..AdapterFacts::example(kind) }
    }

    #[test]
    fn a_real_gpu_comes_before_a_software_one() {
        let found = [
            facts(0, "llvmpipe", AdapterKind::Software),
            facts(1, "Iris", AdapterKind::Integrated),
            facts(2, "Radeon", AdapterKind::Discrete),
        ];
        assert_eq!(best(found.iter()), 2);
        assert_eq!(best(found[..2].iter()), 1);
        assert_eq!(best(found[..1].iter()), 0);
    }

    #[test]
    fn an_adapter_is_named_by_index_or_part_of_its_name() {
        let found = [
            facts(0, "llvmpipe", AdapterKind::Software),
            facts(3, "Arc A770", AdapterKind::Discrete),
        ];
        assert_eq!(matching("3", found.iter()), Some(1));
        assert_eq!(matching("LLVM", found.iter()), Some(0));
        assert_eq!(matching("geforce", found.iter()), None);
        assert_eq!(matching("7", found.iter()), None);
    }
}
