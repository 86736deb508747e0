//! Every variant of every example as complete WGSL: valid, expressible in all back ends, and with
//! the declarations that the host side takes for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;
use std::path::Path;
use std::sync::OnceLock;
use std::{fs, thread};

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess, TypeInner};
use vgg_wgpu::gpu::{AdapterFacts, AdapterKind};
use vgg_wgpu::kernel::{Binding, Dim, Source, Step, Variant};
use vgg_wgpu::ops::{PROBES, REGISTRY};

/// Bytes of workgroup memory and invocations of a workgroup that every adapter has.
const WORKGROUP_BYTES: u32 = 16384;
const INVOCATIONS: u32 = 128;

/// A variant and its source.
struct Shader {
    variant: Variant,
    bindings: Vec<Binding>,
    wgsl: String,
    /// The module it is, or what is wrong with it.
    module: Result<(Module, ModuleInfo), String>,
}

/// Facts of an adapter that does not exist.
fn facts(kind: AdapterKind, subgroups: Option<(u32, u32)>) -> AdapterFacts {
    let (subgroup_min, subgroup_max) = subgroups.unwrap_or_default();
    AdapterFacts {
        index: 0,
        name: "pretended".to_owned(),
        backend: "none".to_owned(),
        kind,
        driver: String::new(),
        max_binding: 128 << 20,
        max_buffer: 256 << 20,
        storage_alignment: 256,
        uniform_alignment: 256,
        workgroup_memory: WORKGROUP_BYTES,
        max_invocations: 256,
        max_workgroups: 65535,
        max_storage_buffers: 8,
        subgroups: subgroups.is_some(),
        subgroup_min,
        subgroup_max,
        timestamps: false,
        f16: false,
        texels: false,
        blocks: kind == AdapterKind::Software,
        max_tensors: 1 << 31,
    }
}

/// All different shaders that the examples lead to, on adapters with and without subgroups.
fn shaders() -> &'static [Shader] {
    static SHADERS: OnceLock<Vec<Shader>> = OnceLock::new();
    SHADERS.get_or_init(|| {
        let adapters = [
            facts(AdapterKind::Software, Some((8, 8))),
            facts(AdapterKind::Software, Some((4, 4))),
            facts(AdapterKind::Discrete, Some((32, 64))),
            facts(AdapterKind::Integrated, None),
        ];
        let mut found = BTreeMap::new();
        for op in REGISTRY.iter().chain(PROBES).flat_map(|entry| (entry.examples)()) {
            let bindings = op.bindings();
            for variant in adapters.iter().flat_map(|facts| op.variants(facts)) {
                let source = Source::build(&variant, &bindings, &[])
                    .unwrap_or_else(|error| panic!("{}: {error:?}", variant.name));
                found.entry(source.wgsl).or_insert((variant, bindings.clone()));
            }
        }
        let found: Vec<_> = found.into_iter().collect();
        on_all_cores(&found, |(wgsl, (variant, bindings))| Shader {
            variant: variant.clone(),
            bindings: bindings.clone(),
            wgsl: wgsl.clone(),
            module: module(wgsl),
        })
    })
}

fn module(wgsl: &str) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.emit_to_string(wgsl))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP);
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(wgsl))?;
    Ok((module, info))
}

/// Applies `test` to every shader's module and panics with all that it reports.
fn for_every_shader(test: impl Fn(&Shader, &Module, &ModuleInfo) -> Result<(), String> + Sync) {
    let results = on_all_cores(shaders(), |shader| {
        let name = shader.variant.name;
        let (module, info) = shader.module.as_ref().map_err(|error| format!("{name}: {error}"))?;
        test(shader, module, info).map_err(|problem| format!("{name}: {problem}"))
    });
    // Many examples fail alike.
    let problems: BTreeSet<_> = results.into_iter().filter_map(Result::err).collect();
    let problems: Vec<_> = problems.into_iter().collect();
    assert!(problems.is_empty(), "of {} shaders:\n{}", shaders().len(), problems.join("\n"));
}

fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, |count| count.get());
    let work = &work;
    let part = move |part: &[T]| part.iter().map(work).collect::<Vec<_>>();
    thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(workers).max(1));
        let running: Vec<_> = parts.map(|items| scope.spawn(move || part(items))).collect();
        running.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    })
}

fn uses_subgroups(shader: &Shader) -> bool {
    shader.wgsl.contains("subgroup")
}

#[test]
fn only_shuffle_variants_use_subgroups() {
    for shader in shaders() {
        // The one that is rendered with them is not offered without them.
        let name = shader.variant.name;
        let wanted = name.ends_with("_shuffle") || name == "dense_backward_update_rendered";
        assert_eq!(uses_subgroups(shader), wanted, "{name}");
    }
}

#[test]
fn every_shader_becomes_spirv() {
    for_every_shader(|_, module, info| {
        for policy in [BoundsCheckPolicy::Restrict, BoundsCheckPolicy::Unchecked] {
            let bounds_check_policies =
                BoundsCheckPolicies { index: policy, buffer: policy, ..Default::default() };
            // SPIR-V 1.3 is Vulkan 1.1's, which has subgroup operations.
            let options =
                spv::Options { lang_version: (1, 3), bounds_check_policies, ..Default::default() };
            let words = spv::write_vec(module, info, &options, None);
            words.map_err(|error| format!("SPIR-V: {error}"))?;
        }
        Ok(())
    });
}

#[test]
fn every_shader_becomes_metal() {
    for_every_shader(|shader, module, info| {
        let options = msl::Options { lang_version: (2, 1), ..Default::default() };
        let pipeline = msl::PipelineOptions::default();
        let (_, translated) = msl::write_string(module, info, &options, &pipeline)
            .map_err(|error| format!("MSL: {error}"))?;
        names("MSL", shader, translated.entry_point_names)
    });
}

#[test]
fn every_shader_becomes_hlsl() {
    for_every_shader(|shader, module, info| {
        // Model 5.1 is what every DX12 device takes; wave operations came with 6.0.
        let shader_model = match uses_subgroups(shader) {
            true => hlsl::ShaderModel::V6_0,
            false => hlsl::ShaderModel::V5_1,
        };
        let options = hlsl::Options { shader_model, ..Default::default() };
        let pipeline = hlsl::PipelineOptions::default();
        let mut text = String::new();
        let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
        let reflection = writer.write(module, info, None);
        let reflection = reflection.map_err(|error| format!("HLSL: {error}"))?;
        names("HLSL", shader, reflection.entry_point_names)
    });
}

#[test]
fn every_shader_becomes_gl_es() {
    for_every_shader(|shader, module, info| {
        // OpenGL ES 3.1 is the first with compute shaders. Subgroup operations are an extension
        // there, which naga asks for; wgpu offers the shuffle variants only where it exists.
        let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: match shader.variant.target {
                Some(_) => ShaderStage::Fragment,
                None => ShaderStage::Compute,
            },
            entry_point: "main".to_owned(),
            multiview: None,
        };
        let mut text = String::new();
        let policies = BoundsCheckPolicies::default();
        glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
            .and_then(|mut writer| writer.write())
            .map_err(|error| format!("GLSL: {error}"))?;
        let extension = text.contains("GL_KHR_shader_subgroup_shuffle : require");
        equal("whether GLSL asks for subgroups", extension, uses_subgroups(shader))
    });
}

/// The entry points of a shader.
fn entry_points(shader: &Shader) -> &'static [&'static str] {
    if shader.variant.target.is_some() { &["corner", "main"] } else { &["main"] }
}

/// Whether the writer made the entry points.
fn names<E: std::fmt::Display>(
    target: &str,
    shader: &Shader,
    names: Vec<Result<String, E>>,
) -> Result<(), String> {
    equal("the number of entry points", names.len(), entry_points(shader).len())?;
    let failed = names.into_iter().find_map(Result::err);
    failed.map_or(Ok(()), |error| Err(format!("{target}: {error}")))
}

#[test]
fn step_lies_in_wgsl_as_in_rust() {
    let fields: [(&str, &str, usize); 16] = [
        ("images", "u32", offset_of!(Step, images)),
        ("image_base", "u32", offset_of!(Step, image_base)),
        ("sample_base", "u32", offset_of!(Step, sample_base)),
        ("slot", "u32", offset_of!(Step, slot)),
        ("accumulate", "u32", offset_of!(Step, accumulate)),
        ("seed", "u32", offset_of!(Step, seed)),
        ("number", "u32", offset_of!(Step, number)),
        ("learning_rate", "f32", offset_of!(Step, learning_rate)),
        ("momentum", "f32", offset_of!(Step, momentum)),
        ("loss_scale", "f32", offset_of!(Step, loss_scale)),
        ("weight_decay", "f32", offset_of!(Step, weight_decay)),
        ("label_smoothing", "f32", offset_of!(Step, label_smoothing)),
        ("beta2", "f32", offset_of!(Step, beta2)),
        ("adam_rate", "f32", offset_of!(Step, adam_rate)),
        ("adam_epsilon", "f32", offset_of!(Step, adam_epsilon)),
        ("max_norm", "f32", offset_of!(Step, max_norm)),
    ];
    let wanted: Vec<_> = fields.map(|(name, ty, at)| format!("{name}: {ty} at {at}")).into();
    for_every_shader(|_, module, _| {
        let step = global(module, "step", 1, 0)?;
        equal("the size of step", size(module, step), size_of::<Step>() as u32)?;
        equal("step", members(module, step)?, wanted.clone())
    });
}

#[test]
fn dims_lie_in_wgsl_as_the_host_writes_them() {
    for_every_shader(|shader, module, _| {
        let dims = global(module, "dims", 1, 1)?;
        if dims.space != AddressSpace::Uniform {
            return Err("dims is no uniform".to_owned());
        }
        let member = |(i, (name, dim)): (usize, &(&str, Dim))| match dim {
            Dim::U(_) => format!("{name}: u32 at {}", i * 4),
            Dim::F(_) => format!("{name}: f32 at {}", i * 4),
        };
        let dims_of = &shader.variant.dims;
        let mut wanted: Vec<_> = dims_of.iter().enumerate().map(member).collect();
        let target = shader.variant.target.iter();
        wanted.extend(target.map(|name| format!("{name}_texels: u32 at {}", dims_of.len() * 4)));
        equal("dims", members(module, dims)?, wanted)
    });
}

#[test]
fn bindings_are_those_of_the_operation() {
    for_every_shader(|shader, module, _| {
        let group = |variable: &&GlobalVariable| variable.binding.as_ref().map(|b| b.group);
        let bound = module.global_variables.iter().map(|(_, variable)| variable);
        let count = bound.filter(|variable| group(variable) == Some(0)).count();
        // What is rendered is no binding, and nothing else is written.
        let target = shader.variant.target;
        let wanted = shader.bindings.len() - usize::from(target.is_some());
        equal("the number of bindings", count, wanted)?;
        let access = match target {
            Some(_) => StorageAccess::LOAD,
            None => StorageAccess::LOAD | StorageAccess::STORE,
        };
        let bindings = (0..).zip(&shader.bindings);
        for (i, binding) in bindings.filter(|(_, binding)| target != Some(binding.name)) {
            let variable = global(module, binding.name, 0, i)?;
            if variable.space != (AddressSpace::Storage { access }) {
                return Err(format!("{} is in {:?}", binding.name, variable.space));
            }
            let TypeInner::Array { base, .. } = module.types[variable.ty].inner else {
                return Err(format!("{} is no array", binding.name));
            };
            equal(binding.name, format!("array<{}>", name_of(module, base)), binding.ty.into())?;
        }
        Ok(())
    });
}

#[test]
fn workgroups_fit_every_adapter() {
    for_every_shader(|shader, module, _| {
        let names: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        equal("the entry points", names.as_slice(), entry_points(shader))?;
        let sizes = module.entry_points.iter().map(|entry| entry.workgroup_size);
        let invocations: u32 = sizes.map(|size| size.iter().product::<u32>()).sum();
        let shared = module.global_variables.iter().map(|(_, variable)| variable);
        let shared = shared.filter(|variable| variable.space == AddressSpace::WorkGroup);
        let bytes: u32 = shared.map(|variable| size(module, variable)).sum();
        if invocations <= INVOCATIONS && bytes <= WORKGROUP_BYTES {
            return Ok(());
        }
        Err(format!("{invocations} invocations, {bytes} bytes of workgroup memory"))
    });
}

#[test]
fn every_file_is_used_and_every_variant_has_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let stems = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("the folder of shaders");
        let paths = entries.map(|entry| entry.expect("a folder's entry").path());
        let shaders = paths.filter(|path| path.extension().is_some_and(|end| end == "wgsl"));
        shaders.map(|path| path.file_stem().expect("a name").display().to_string()).collect()
    };
    let shaders = shaders();
    let variants: BTreeSet<_> = shaders.iter().map(|s| s.variant.name.to_owned()).collect();
    assert_eq!(stems(&folder), variants);
    let folder = folder.join("common");
    let common = stems(&folder);
    let text = |stem: &String| fs::read_to_string(folder.join(stem).with_extension("wgsl"));
    let texts = common.iter().map(|stem| text(stem).expect("a shader"));
    let texts: Vec<_> =
        shaders.iter().map(|shader| shader.variant.template.to_owned()).chain(texts).collect();
    let included = |stem: &&String| {
        let statements = ["include", "from"].map(|it| format!("//@ {it} \"common/{stem}.wgsl\""));
        texts.iter().any(|text| statements.iter().any(|statement| text.contains(statement)))
    };
    // These two are part of every shader.
    let always = |stem: &String| ["grid", "step"].contains(&stem.as_str());
    let unused: Vec<_> = common.iter().filter(|s| !always(s) && !included(s)).collect();
    assert!(unused.is_empty(), "no shader includes {unused:?}");
}

/// The global at a binding, which must have this name.
fn global<'a>(
    module: &'a Module,
    name: &str,
    group: u32,
    binding: u32,
) -> Result<&'a GlobalVariable, String> {
    let at = naga::ResourceBinding { group, binding };
    let mut globals = module.global_variables.iter().map(|(_, variable)| variable);
    match globals.find(|variable| variable.binding == Some(at)) {
        Some(variable) if variable.name.as_deref() == Some(name) => Ok(variable),
        found => Err(format!("at {at:?} is {:?}, not {name}", found.map(|v| &v.name))),
    }
}

fn size(module: &Module, variable: &GlobalVariable) -> u32 {
    module.types[variable.ty].inner.size(module.to_ctx())
}

/// The members of a struct as `name: type at offset`.
fn members(module: &Module, variable: &GlobalVariable) -> Result<Vec<String>, String> {
    let TypeInner::Struct { members, .. } = &module.types[variable.ty].inner else {
        return Err(format!("{:?} is no struct", variable.name));
    };
    let member = |member: &naga::StructMember| {
        let name = member.name.as_deref().unwrap_or("?");
        format!("{name}: {} at {}", name_of(module, member.ty), member.offset)
    };
    Ok(members.iter().map(member).collect())
}

/// A scalar's or vector's name in WGSL.
fn name_of(module: &Module, ty: naga::Handle<naga::Type>) -> String {
    let scalar = |scalar: naga::Scalar| match scalar {
        naga::Scalar::U32 => "u32",
        naga::Scalar::F32 => "f32",
        _ => "another scalar",
    };
    match module.types[ty].inner {
        TypeInner::Scalar(it) => scalar(it).to_owned(),
        TypeInner::Vector { size, scalar: it } => format!("vec{}<{}>", size as u8, scalar(it)),
        ref other => format!("{other:?}"),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found:?}, not {wanted:?}")) }
}
