//! What a kernel is: a WGSL template with tile constants, run-time dimensions and a dispatch grid;
//! how it becomes a pipeline, and how launches are recorded and submitted.
//!
//! Shapes reach a shader as a uniform (`dims`), tile sizes as constants. So a network needs one
//! pipeline a variant, not one a layer, and the first step does not wait for dozens of compilations.

mod ahead;
mod cache;
mod launch;
mod recorder;
mod source;
mod step;
mod timer;

use thiserror::Error;

use crate::gpu::{AdapterFacts, GpuError};
use crate::shape::Layout;

pub use launch::{Home, Kernels, Launch, Wanted};
pub use recorder::Recorder;
pub use source::{Source, fingerprint};
pub use step::Step;

/// What can go wrong while a kernel is built.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The template does not render.
    #[error("the template of {kernel} does not render")]
    Template {
        /// The kernel's name.
        kernel: &'static str,
        /// The template engine's reason.
        #[source]
        source: minijinja::Error,
    },
    /// No variant of the operation runs on this adapter.
    #[error("{op}: no kernel variant runs on {adapter}: {reasons}")]
    NoVariant {
        /// The operation.
        op: &'static str,
        /// The adapter's name.
        adapter: String,
        /// Each variant with the reason why not.
        reasons: String,
    },
    /// The user asked for a variant that does not exist or does not run here.
    #[error("{op} has no usable variant '{wanted}' here; there are: {available}")]
    NoSuchVariant {
        /// The operation.
        op: &'static str,
        /// The variant asked for.
        wanted: String,
        /// The variants there are.
        available: String,
    },
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// A buffer that an operation binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its name in WGSL.
    pub name: &'static str,
    /// Its WGSL type, such as `array<vec4<f32>>`.
    pub ty: &'static str,
    /// What it holds.
    pub layout: Layout,
    /// How the operation uses it.
    pub access: Access,
}

/// How an operation uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Every element (but halos) is overwritten.
    Write,
    /// Read, then written.
    Update,
}

/// The WGSL type of tensors that kernels read four channels at a time.
const QUADS: &str = "array<vec4<f32>>";

impl Binding {
    /// A buffer of `vec4<f32>`.
    pub const fn quads(name: &'static str, layout: Layout, access: Access) -> Self {
        Self { name, ty: QUADS, layout, access }
    }

    /// True for a buffer of `vec4<f32>`: one that may lie in texels.
    pub fn is_quads(&self) -> bool {
        self.ty == QUADS
    }

    /// A buffer of `f32`.
    pub const fn floats(name: &'static str, layout: Layout, access: Access) -> Self {
        Self { name, ty: "array<f32>", layout, access }
    }

    /// A buffer of `u32`.
    pub const fn words(name: &'static str, layout: Layout, access: Access) -> Self {
        Self { name, ty: "array<u32>", layout, access }
    }
}

/// A run-time dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dim {
    /// A count or an index.
    U(u32),
    /// A factor.
    F(f32),
}

/// How many workgroups a dispatch has, as a function of the images in the micro-batch:
/// `tiles * ceil(images * items / per_group)`, or `tiles` where `items` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Workgroups for each group of items.
    pub tiles: u64,
    /// Items of one image.
    pub items: u64,
    /// Items that one workgroup takes.
    pub per_group: u64,
}

impl Grid {
    /// A grid that does not depend on the number of images.
    pub const fn fixed(groups: u64) -> Self {
        Self { tiles: groups, items: 0, per_group: 1 }
    }

    /// Workgroups for `images` images.
    pub const fn groups(&self, images: u64) -> u64 {
        match self.items {
            0 => self.tiles,
            items => self.tiles * (images * items).div_ceil(self.per_group),
        }
    }
}

/// One way to compute an operation of a certain shape on a certain adapter.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The name: file, registry entry, pipeline label and bench id.
    pub name: &'static str,
    /// The WGSL template.
    pub template: &'static str,
    /// Tile sizes, fixed in the source.
    pub constants: Vec<(&'static str, u32)>,
    /// Shapes, given at run time.
    pub dims: Vec<(&'static str, Dim)>,
    /// The dispatch grid. A rendered variant has none: it runs for each texel of its target.
    pub grid: Grid,
    /// For a rendered variant the binding that it writes, which has to lie in blocks
    /// ([`crate::gpu::Order`]): what a fragment returns is added to what it updates, or takes the place of
    /// what it writes. `None` of a compute shader.
    pub target: Option<&'static str>,
    /// True if all indices are in range by construction, so that checks may be off.
    pub proven: bool,
    /// `Err` with the reason where the variant cannot run here.
    pub supported: Result<(), String>,
}

/// Builds a [`Variant`] of a compute shader whose template is the file of its name under `shaders/`.
macro_rules! variant {
    ($name:literal, $($field:tt)*) => {
        $crate::kernel::Variant {
            name: $name,
            template: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            target: None,
            $($field)*
        }
    };
}
pub(crate) use variant;

/// Builds a rendered [`Variant`], see [`Variant::target`], in the same way. All its indices have to be
/// proven.
macro_rules! rendered {
    ($name:literal, $($field:tt)*) => {
        $crate::kernel::Variant {
            name: $name,
            template: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            grid: $crate::kernel::Grid::fixed(0),
            proven: true,
            $($field)*
        }
    };
}
pub(crate) use rendered;

/// Lanes that subgroup variants share values over, and the workgroup that holds whole subgroups.
///
/// A kernel broadcasts only from lanes below [`Lanes::shared`], which every subgroup of the adapter
/// has, so its results are right for any subgroup size from there to `group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Lanes that broadcast: 4 or 8, at most the smallest subgroup.
    pub shared: u32,
    /// Invocations of a workgroup: the largest subgroup, at least `shared`.
    pub group: u32,
}

impl Lanes {
    /// The lanes of an adapter, and whether subgroup variants run there. Where they do not, they are
    /// not offered, and their numbers are still defined.
    pub fn or_least(facts: &AdapterFacts) -> (Self, Result<(), String>) {
        match Self::of(facts) {
            Ok(lanes) => (lanes, Ok(())),
            Err(why) => (Self { shared: 4, group: 8 }, Err(why)),
        }
    }

    /// The lanes of an adapter.
    ///
    /// # Errors
    /// The reason why subgroup variants cannot run there.
    pub fn of(facts: &AdapterFacts) -> Result<Self, String> {
        if !facts.subgroups {
            return Err("the adapter offers no subgroup operations".to_owned());
        }
        if facts.subgroup_min < 4 {
            return Err(format!("subgroups may have {} lanes, 4 needed", facts.subgroup_min));
        }
        let shared = if facts.subgroup_min >= 8 { 8 } else { 4 };
        Ok(Self { shared, group: facts.subgroup_max.clamp(8, 64) })
    }
}
