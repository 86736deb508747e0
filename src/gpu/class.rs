//! Kinds of hardware that the same kernels suit.

use std::fmt;

use super::{AdapterFacts, AdapterKind};

/// Hardware that differs in what its kernels are good at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A rasterizer on the processor: registers and shuffles are cheap, barriers are not.
    Software,
    /// A GPU that shares the host's memory, and whatever does not say what it is.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
    /// One of Apple's, which share the host's memory and yield far more of it.
    Apple,
}

impl AdapterFacts {
    /// The class of the adapter. Metal also runs GPUs of other vendors: those are told by their kind.
    pub fn class(&self) -> AdapterClass {
        let apple = self.backend == "Metal" && self.name.contains("Apple");
        match self.kind {
            AdapterKind::Software => AdapterClass::Software,
            _ if apple => AdapterClass::Apple,
            AdapterKind::Discrete => AdapterClass::Discrete,
            AdapterKind::Integrated | AdapterKind::Virtual | AdapterKind::Unknown => {
                AdapterClass::Integrated
            }
        }
    }
}

impl fmt::Display for AdapterClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Software => "software",
            Self::Integrated => "integrated",
            Self::Discrete => "discrete",
            Self::Apple => "Apple",
        })
    }
}

#[cfg(test)]
impl AdapterFacts {
    /// An adapter that has everything, for tests without one. A software one has its tensors in
    /// texels.
    pub(crate) fn example(kind: AdapterKind) -> Self {
        let software = kind == AdapterKind::Software;
        Self {
            index: 0,
            name: "an example".to_owned(),
            backend: "Vulkan".to_owned(),
            kind,
            driver: "1.0".to_owned(),
            max_binding: 1 << 30,
            max_buffer: 1 << 30,
            storage_alignment: 16,
            uniform_alignment: 16,
            workgroup_memory: 32 << 10,
            max_invocations: 1024,
            max_workgroups: 65535,
            max_storage_buffers: 8,
            subgroups: true,
            subgroup_min: if software { 8 } else { 32 },
            subgroup_max: if software { 8 } else { 64 },
            timestamps: true,
            f16: true,
            texels: software,
            blocks: software,
            max_tensors: 1 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metal_alone_makes_no_apple_gpu() {
        let class = |kind, backend: &str, name: &str| {
            let facts = AdapterFacts::example(kind);
            AdapterFacts { backend: backend.to_owned(), name: name.to_owned(), ..facts }.class()
        };
        use AdapterKind::{Discrete, Integrated, Software, Unknown};
        assert_eq!(class(Integrated, "Metal", "Apple M1"), AdapterClass::Apple);
        assert_eq!(class(Discrete, "Metal", "AMD Radeon Pro 5500M"), AdapterClass::Discrete);
        assert_eq!(class(Integrated, "Metal", "Intel(R) Iris"), AdapterClass::Integrated);
        assert_eq!(class(Software, "Vulkan", "llvmpipe"), AdapterClass::Software);
        assert_eq!(class(Unknown, "GL", "whatever"), AdapterClass::Integrated);
    }
}
