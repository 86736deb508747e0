//! The device: adapter choice, buffers, submission, readback and timing. The only raw device calls.

mod adapter;
mod buffer;
mod class;
mod error;
mod ring;
mod texels;
mod timing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use adapter::{AdapterFacts, AdapterKind, list, preferred};
pub(crate) use buffer::Memory;
pub use buffer::{Buffer, BufferRange, Readback};
pub use class::AdapterClass;
pub use error::GpuError;
pub use ring::ReadRing;
pub use texels::{BLOCK_BYTES, Order};
pub(crate) use texels::{FORMAT as TEXEL_FORMAT, LAYERS as TEXEL_LAYERS, Texels};
pub use timing::{Clock, Span, Timestamps};

/// How a [`Gpu`] is opened.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// An adapter's index or part of its name; `None` takes the best there is.
    pub adapter: Option<String>,
    /// Run every shader with all bounds and loop checks, also those whose indices are proven in
    /// range by construction. Slower; for tests and for hunting faults.
    pub all_checks: bool,
    /// A folder to keep parsed shaders in, for the next start; made at need. `None` keeps none.
    pub cache: Option<PathBuf>,
}

/// An open device with its queue.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    facts: AdapterFacts,
    options: GpuOptions,
    fault: Arc<Mutex<Option<Fault>>>,
}

/// The first asynchronous error the device reported.
#[derive(Debug, Clone)]
enum Fault {
    OutOfMemory,
    Refused(String),
    Lost(String),
}

impl Gpu {
    /// Opens the adapter that `options` name with the limits it offers, and no feature that it
    /// lacks.
    ///
    /// # Errors
    /// [`GpuError`] if there is no such adapter, or it is too small for the kernels.
    pub fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        let (facts, adapter) = adapter::choose(options.adapter.as_deref())?;
        check_minimum(&facts)?;
        let mut useful = wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
        if facts.texels {
            useful |= adapter::TEXELS;
        }
        if facts.blocks {
            useful |= adapter::BLOCKS;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("vgg-wgpu"),
            required_features: adapter.features() & useful,
            // All that the adapter offers, never more.
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) =
            opened.map_err(|source| GpuError::Request { adapter: facts.name.clone(), source })?;
        let fault = Arc::new(Mutex::new(None));
        watch(&device, &fault);
        Ok(Self { device, queue, facts, options: options.clone(), fault })
    }

    /// The same adapter once more, with a queue of its own.
    ///
    /// # Errors
    /// [`GpuError`] if the adapter gives no other device.
    pub(crate) fn again(&self) -> Result<Self, GpuError> {
        Self::open(&self.options)
    }

    /// The facts of the adapter in use.
    pub fn facts(&self) -> &AdapterFacts {
        &self.facts
    }

    /// True if no shader may run with checks off.
    pub fn all_checks(&self) -> bool {
        self.options.all_checks
    }

    /// The folder that parsed shaders are kept in.
    pub fn cache(&self) -> Option<&Path> {
        self.options.cache.as_deref()
    }

    /// Blocks until all submitted work is done.
    ///
    /// # Errors
    /// [`GpuError`] if the device reported a fault meanwhile.
    pub fn wait(&self) -> Result<(), GpuError> {
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            return Err(self.refused("waiting for the queue", error.to_string()));
        }
        self.check("running the queue")
    }

    /// Lets finished read-backs deliver without blocking.
    ///
    /// # Errors
    /// [`GpuError`] if the device reported a fault.
    pub fn poll(&self) -> Result<(), GpuError> {
        if let Err(error) = self.device.poll(wgpu::PollType::Poll) {
            return Err(self.refused("polling the queue", error.to_string()));
        }
        self.check("running the queue")
    }

    /// Hands what was written so far to the device, which frees what it was copied to on the host when it
    /// is done with it.
    ///
    /// # Errors
    /// [`GpuError`] if the device reported a fault.
    pub fn flush(&self) -> Result<(), GpuError> {
        self.queue.submit([]);
        self.check("writing to the device")
    }

    /// Reports the first fault the device raised since it was opened, if any.
    ///
    /// # Errors
    /// [`GpuError`] with the device's own message.
    pub fn check(&self, what: &str) -> Result<(), GpuError> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let adapter = || self.facts.name.clone();
        match fault {
            None => Ok(()),
            Some(Fault::OutOfMemory) => {
                Err(GpuError::OutOfMemory { adapter: adapter(), what: what.to_owned(), bytes: 0 })
            }
            Some(Fault::Refused(message)) => Err(self.refused(what, message)),
            Some(Fault::Lost(message)) => Err(GpuError::Lost { adapter: adapter(), message }),
        }
    }

    /// Runs `make` and turns an error that the device raises in it into a typed one.
    pub(crate) fn scoped<T>(
        &self,
        what: &str,
        bytes: u64,
        make: impl FnOnce() -> T,
    ) -> Result<T, GpuError> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = make();
        let internal = pollster::block_on(internal.pop());
        let memory = pollster::block_on(memory.pop());
        let validation = pollster::block_on(validation.pop());
        if memory.is_some() {
            let (adapter, what) = (self.facts.name.clone(), what.to_owned());
            return Err(GpuError::OutOfMemory { adapter, what, bytes });
        }
        match internal.or(validation) {
            Some(error) => Err(self.refused(what, error.to_string())),
            None => Ok(made),
        }
    }

    pub(crate) fn refused(&self, what: &str, message: String) -> GpuError {
        GpuError::Refused { adapter: self.facts.name.clone(), what: what.to_owned(), message }
    }
}

/// Keeps the first error that no scope catches, instead of wgpu's default, a panic.
fn watch(device: &wgpu::Device, fault: &Arc<Mutex<Option<Fault>>>) {
    let keep = |slot: &Mutex<Option<Fault>>, fault| {
        slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    };
    let slot = Arc::clone(fault);
    device.on_uncaptured_error(Arc::new(move |error| {
        let fault = match error {
            wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
            other => Fault::Refused(other.to_string()),
        };
        keep(&slot, fault);
    }));
    let slot = Arc::clone(fault);
    device.set_device_lost_callback(move |reason, message| {
        if reason != wgpu::DeviceLostReason::Destroyed {
            keep(&slot, Fault::Lost(message));
        }
    });
}

/// What every kernel takes for granted; the numbers are WebGPU's least guarantees, less where
/// fewer suffice.
fn check_minimum(facts: &AdapterFacts) -> Result<(), GpuError> {
    let needs = [
        ("storage buffers in a shader", u64::from(facts.max_storage_buffers), 6),
        ("bytes of workgroup memory", u64::from(facts.workgroup_memory), 16384),
        ("invocations in a workgroup", u64::from(facts.max_invocations), 128),
        ("bytes in a storage binding", facts.max_binding, 16 << 20),
    ];
    match needs.into_iter().find(|(_, offered, needed)| offered < needed) {
        Some((what, offered, needed)) => {
            Err(GpuError::TooSmall { adapter: facts.name.clone(), what, offered, needed })
        }
        None => Ok(()),
    }
}
