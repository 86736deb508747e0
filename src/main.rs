//! The program: parses its arguments, runs the subcommand and reports how it ended.

mod cli;

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if cfg!(target_os = "linux") {
        let is_set = |name: &str| env::var_os(name).is_some();
        for (name, value) in for_drivers(is_set, Path::new("/dev/dri").exists()) {
            // SAFETY: this is the first thing that `main` does: no other thread is there to read the
            // environment at the same time.
            unsafe { env::set_var(name, value) };
        }
    }
    match cli::Cli::read().and_then(|cli| cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::failed(&error),
    }
}

/// What drivers on Linux are to find in the environment, unless users have set it. Child processes never see
/// it: the program starts none.
///
/// Mesa looks for a Wayland display although nothing is shown, and libwayland then complains on the standard
/// error where `XDG_RUNTIME_DIR` is not set, as in containers and over SSH. In a folder that does not exist
/// it finds no display and says nothing.
///
/// Where the kernel has no graphics devices, Mesa's drivers for GPUs find none either, and to load them all the
/// same takes a twentieth to a tenth of a start. Only those that look nowhere else are named, by the names of
/// their manifests; RADV can be told to do without.
fn for_drivers(
    is_set: impl Fn(&str) -> bool,
    has_devices: bool,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let display = (!is_set("XDG_RUNTIME_DIR")).then_some(("XDG_RUNTIME_DIR", "/nonexistent"));
    let unused = !has_devices && !CHOSEN.into_iter().any(is_set);
    display.into_iter().chain(unused.then_some((CHOSEN[0], OF_GPUS)))
}

/// By what users choose drivers themselves.
const CHOSEN: [&str; 5] = [
    "VK_LOADER_DRIVERS_DISABLE",
    "VK_LOADER_DRIVERS_SELECT",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "RADV_FORCE_FAMILY",
];

/// Mesa's drivers that take their devices from `/dev/dri`.
const OF_GPUS: &str = "asahi_*,broadcom_*,intel_*,nouveau_*,panfrost_*,radeon_*,virtio_*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_left_out_only_where_they_can_find_nothing() {
        let names = |set: &[&str], has_devices| {
            let settings = for_drivers(|name| set.contains(&name), has_devices);
            settings.map(|(name, _)| name).collect::<Vec<_>>()
        };
        let (display, drivers) = ("XDG_RUNTIME_DIR", CHOSEN[0]);
        assert_eq!(names(&[], false), [display, drivers]);
        assert_eq!(names(&[], true), [display]);
        assert_eq!(names(&[display], false), [drivers]);
        for chosen in CHOSEN {
            assert_eq!(names(&[chosen], false), [display], "{chosen}");
        }
        // None of a software rasterizer.
        for manifest in ["lvp_icd.json", "vk_swiftshader_icd.json", "dzn_icd.json"] {
            let left_out = |glob: &str| manifest.starts_with(glob.trim_end_matches('*'));
            assert!(!OF_GPUS.split(',').any(left_out), "{manifest}");
        }
    }
}
