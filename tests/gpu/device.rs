//! The devices that the tests of this process share.

use std::env;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use vgg_wgpu::gpu::{Gpu, GpuError, GpuOptions};
use vgg_wgpu::kernel::Kernels;

/// One adapter, opened twice.
pub struct Devices {
    /// As users have it: checks off where indices are proven in range.
    pub usual: Kernels,
    /// With all checks on.
    pub checked: Kernels,
}

/// The devices, for one test at a time; `None`, with a line that says so, where there is no adapter.
pub fn open() -> Option<MutexGuard<'static, Devices>> {
    static DEVICES: OnceLock<Option<Mutex<Devices>>> = OnceLock::new();
    let devices = DEVICES.get_or_init(|| make().map(Mutex::new)).as_ref();
    if devices.is_none() {
        println!("skipped: no GPU adapter");
    }
    // A test that failed leaves nothing behind: every test makes its own buffers.
    devices.map(|devices| devices.lock().unwrap_or_else(PoisonError::into_inner))
}

fn make() -> Option<Devices> {
    let adapter = env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let open =
        |all_checks| Gpu::open(&GpuOptions { adapter: adapter.clone(), all_checks, cache: None });
    let usual = match open(false) {
        Err(GpuError::NoAdapter { searched, .. }) => {
            let required = env::var("VGG_REQUIRE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "VGG_REQUIRE_GPU=1, but no adapter answered to {searched}");
            return None;
        }
        opened => opened.unwrap_or_else(|error| panic!("no device: {error}")),
    };
    println!("adapter: {}", usual.facts());
    let kernels = |gpu: Gpu| Kernels::new(Arc::new(gpu)).expect("a buffer for steps");
    let checked = open(true).unwrap_or_else(|error| panic!("no second device: {error}"));
    Some(Devices { usual: kernels(usual), checked: kernels(checked) })
}
