//! Mesa's RADV as a compiler for GPUs that are not there: it opens a device of the family that
//! `RADV_FORCE_FAMILY` names, compiles pipelines for it, and tells about them through
//! `VK_KHR_pipeline_executable_properties`.

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};

use ash::khr::pipeline_executable_properties as executable;
use ash::{ext, vk};
use thiserror::Error;

/// What the driver says about a compiled pipeline.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// Its statistics: name and value.
    pub statistics: Vec<(String, u64)>,
    /// The disassembly.
    pub assembly: String,
}

/// Why the driver cannot be asked.
#[derive(Debug, Error)]
pub enum RadvError {
    /// The file that names the driver is not there.
    #[error("RADV is not installed: there is no {}", .0.display())]
    Missing(PathBuf),
    /// There is no Vulkan loader.
    #[error("the Vulkan loader cannot be loaded")]
    Loader(#[from] ash::LoadingError),
    /// The driver does not know the family.
    #[error("this RADV knows no GPU family '{family}'")]
    Family {
        /// The family asked for.
        family: String,
    },
    /// The driver is too old.
    #[error("{driver} has no VK_KHR_pipeline_executable_properties")]
    Extension {
        /// The device's name.
        driver: String,
    },
    /// A Vulkan call failed.
    #[error("{what} failed")]
    Call {
        /// What was tried.
        what: &'static str,
        /// The result.
        #[source]
        source: vk::Result,
    },
}

/// The file that names the driver to the Vulkan loader.
///
/// # Errors
/// [`RadvError::Missing`] if it is not there.
pub fn driver_file() -> Result<PathBuf, RadvError> {
    let folder = Path::new("/usr/share/vulkan/icd.d");
    let names = [format!("radeon_icd.{}.json", std::env::consts::ARCH), "radeon_icd.json".into()];
    let files = names.iter().map(|name| folder.join(name));
    files.into_iter().find(|file| file.is_file()).ok_or(RadvError::Missing(folder.join(&names[0])))
}

/// An open device of the family forced.
pub struct Radv {
    // The loader's library must outlive what it loaded.
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    executable: executable::Device,
    /// The device's name, with its driver's version.
    pub name: String,
}

fn call(what: &'static str) -> impl FnOnce(vk::Result) -> RadvError {
    move |source| RadvError::Call { what, source }
}

impl Radv {
    /// Opens the first device there is: the process was started with `RADV_FORCE_FAMILY=family`.
    ///
    /// # Errors
    /// [`RadvError`] if there is none, or it lacks what is needed.
    pub fn open(family: &str) -> Result<Self, RadvError> {
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the Vulkan loader's initialisers are sound to run; the structures passed here and
        // below live to the end of each call, and every handle comes from its parent.
        let entry = unsafe { ash::Entry::load()? };
        let unknown = || RadvError::Family { family: family.to_owned() };
        // RADV refuses a family that it does not know, and the loader then has no driver left.
        let instance = match unsafe { entry.create_instance(&info, None) } {
            Err(vk::Result::ERROR_INCOMPATIBLE_DRIVER) => return Err(unknown()),
            other => other.map_err(call("creating an instance"))?,
        };
        let found = unsafe { instance.enumerate_physical_devices() };
        let found = found.map_err(call("listing devices"))?;
        let physical = *found.first().ok_or_else(unknown)?;
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
        let name = text(&properties.properties.device_name);
        let name = format!("{name}, {}", text(&driver.driver_info));
        let offered = unsafe { instance.enumerate_device_extension_properties(physical) };
        let offered = offered.map_err(call("listing extensions"))?;
        if !offered.iter().any(|it| it.extension_name_as_c_str() == Ok(executable::NAME)) {
            return Err(RadvError::Extension { driver: name });
        }
        let device = open_device(&instance, physical)?;
        let executable = executable::Device::new(&instance, &device);
        Ok(Self { _entry: entry, instance, device, executable, name })
    }

    /// Compiles the entry point `main` of a module whose buffers are `storage` storage buffers in
    /// group 0 and, in group 1, a uniform buffer with a dynamic offset and one without.
    ///
    /// # Errors
    /// [`RadvError::Call`] if the driver refuses.
    pub fn compile(&self, spirv: &[u32], storage: u32) -> Result<Compiled, RadvError> {
        let layout = self.layout(storage)?;
        let device = &self.device;
        let info = vk::ShaderModuleCreateInfo::default().code(spirv);
        let module = unsafe { device.create_shader_module(&info, None) };
        let module = module.map_err(call("creating a shader module"))?;
        // As wgpu does where shaders may use subgroups.
        let flags = vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(flags)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        let info =
            vk::ComputePipelineCreateInfo::default().flags(flags).layout(layout).stage(stage);
        let none = vk::PipelineCache::null();
        let made = unsafe { device.create_compute_pipelines(none, &[info], None) };
        let pipelines = made.map_err(|(_, error)| call("compiling a pipeline")(error))?;
        let compiled = self.ask(pipelines[0]);
        unsafe {
            device.destroy_pipeline(pipelines[0], None);
            device.destroy_shader_module(module, None);
        }
        compiled
    }

    /// The bindings that [`vgg_wgpu::kernel::Kernels`] declares for every kernel. A handful of small
    /// objects a pipeline, which end with the device.
    fn layout(&self, storage: u32) -> Result<vk::PipelineLayout, RadvError> {
        let binding = |binding, ty| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(ty)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let storage = (0..storage).map(|i| binding(i, vk::DescriptorType::STORAGE_BUFFER));
        let uniforms = [
            binding(0, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC),
            binding(1, vk::DescriptorType::UNIFORM_BUFFER),
        ];
        let set = |bindings: &[_]| {
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(bindings);
            let made = unsafe { self.device.create_descriptor_set_layout(&info, None) };
            made.map_err(call("creating a descriptor set layout"))
        };
        let sets = [set(&storage.collect::<Vec<_>>())?, set(&uniforms)?];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        let made = unsafe { self.device.create_pipeline_layout(&info, None) };
        made.map_err(call("creating a pipeline layout"))
    }

    fn ask(&self, pipeline: vk::Pipeline) -> Result<Compiled, RadvError> {
        // A compute pipeline has one executable.
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        let found = unsafe { self.executable.get_pipeline_executable_statistics(&info) };
        let found = found.map_err(call("asking for statistics"))?;
        let statistic = |it: &vk::PipelineExecutableStatisticKHR<'_>| {
            // SAFETY: the format says which member of the union is set.
            let value = unsafe {
                match it.format {
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => it.value.u64,
                    vk::PipelineExecutableStatisticFormatKHR::INT64 => it.value.i64.max(0) as u64,
                    vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => it.value.f64 as u64,
                    _ => u64::from(it.value.b32),
                }
            };
            (text(&it.name), value)
        };
        let statistics = found.iter().map(statistic).collect();
        Ok(Compiled { statistics, assembly: self.assembly(&info)? })
    }

    /// The representation named "Assembly": asked for twice, first for its size.
    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String, RadvError> {
        let ask = call("asking for the disassembly");
        let found =
            unsafe { self.executable.get_pipeline_executable_internal_representations(info) };
        let mut found = match found {
            Ok(found) => found,
            Err(error) => return Err(ask(error)),
        };
        let mut texts: Vec<Vec<u8>> = found.iter().map(|it| vec![0; it.data_size]).collect();
        for (it, text) in found.iter_mut().zip(&mut texts) {
            it.p_data = text.as_mut_ptr().cast::<c_void>();
        }
        let mut count = found.len() as u32;
        // SAFETY: each representation points to as many bytes as the driver asked for, in `texts`.
        let result = unsafe {
            (self.executable.fp().get_pipeline_executable_internal_representations_khr)(
                self.device.handle(),
                info,
                &mut count,
                found.as_mut_ptr(),
            )
        };
        result.result().map_err(ask)?;
        let place = found.iter().position(|it| text(&it.name) == "Assembly");
        let bytes = place.map(|place| texts.swap_remove(place)).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }
}

impl Drop for Radv {
    fn drop(&mut self) {
        // SAFETY: nothing made from either is used any more.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

fn open_device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
) -> Result<ash::Device, RadvError> {
    let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
    let extensions = [executable::NAME.as_ptr(), ext::robustness2::NAME.as_ptr()];
    // As wgpu does: the driver keeps shaders inside their buffers, which costs it freedom.
    let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
    let mut robust =
        vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
    let mut info = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
        .pipeline_executable_info(true);
    let mut control =
        vk::PhysicalDeviceSubgroupSizeControlFeatures::default().subgroup_size_control(true);
    let mut memory = vk::PhysicalDeviceVulkanMemoryModelFeatures::default()
        .vulkan_memory_model(true)
        .vulkan_memory_model_device_scope(true);
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queue)
        .enabled_extension_names(&extensions)
        .enabled_features(&features)
        .push_next(&mut robust)
        .push_next(&mut info)
        .push_next(&mut control)
        .push_next(&mut memory);
    let device = unsafe { instance.create_device(physical, &info, None) };
    device.map_err(call("opening the device"))
}

/// A string in an array that ends with zeros.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| String::new(), |s| s.to_string_lossy().into())
}
