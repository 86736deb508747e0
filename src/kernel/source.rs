//! From a template to complete WGSL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use sha2::{Digest as _, Sha256};

use super::{Binding, Dim, Home, KernelError, Variant};
use crate::gpu::{BLOCK_BYTES, Order};
use crate::shape::Layout;

/// Files that shaders include by name.
const COMMON: &[(&str, &str)] = &[
    ("common/step.wgsl", include_str!("../../shaders/common/step.wgsl")),
    ("common/grid.wgsl", include_str!("../../shaders/common/grid.wgsl")),
    (
        "common/conv_forward_store.wgsl",
        include_str!("../../shaders/common/conv_forward_store.wgsl"),
    ),
    (
        "common/conv_backward_data_store.wgsl",
        include_str!("../../shaders/common/conv_backward_data_store.wgsl"),
    ),
    ("common/winograd_shuffle.wgsl", include_str!("../../shaders/common/winograd_shuffle.wgsl")),
    ("common/winograd_tiled.wgsl", include_str!("../../shaders/common/winograd_tiled.wgsl")),
    (
        "common/winograd_weights_tiled.wgsl",
        include_str!("../../shaders/common/winograd_weights_tiled.wgsl"),
    ),
    ("common/winograd_store.wgsl", include_str!("../../shaders/common/winograd_store.wgsl")),
    ("common/winograd_matrices.wgsl", include_str!("../../shaders/common/winograd_matrices.wgsl")),
    ("common/partial_sums.wgsl", include_str!("../../shaders/common/partial_sums.wgsl")),
    ("common/conv_shuffle.wgsl", include_str!("../../shaders/common/conv_shuffle.wgsl")),
    ("common/conv_tiled.wgsl", include_str!("../../shaders/common/conv_tiled.wgsl")),
    (
        "common/dense_weights_shuffle.wgsl",
        include_str!("../../shaders/common/dense_weights_shuffle.wgsl"),
    ),
    ("common/optimizer.wgsl", include_str!("../../shaders/common/optimizer.wgsl")),
    ("common/render.wgsl", include_str!("../../shaders/common/render.wgsl")),
    ("common/panel_rows.wgsl", include_str!("../../shaders/common/panel_rows.wgsl")),
    ("common/dense_tiled.wgsl", include_str!("../../shaders/common/dense_tiled.wgsl")),
    ("common/unpooled.wgsl", include_str!("../../shaders/common/unpooled.wgsl")),
    ("common/slots.wgsl", include_str!("../../shaders/common/slots.wgsl")),
    ("common/dropout.wgsl", include_str!("../../shaders/common/dropout.wgsl")),
    ("common/pictures.wgsl", include_str!("../../shaders/common/pictures.wgsl")),
    ("common/pictures_window.wgsl", include_str!("../../shaders/common/pictures_window.wgsl")),
    ("common/source_place.wgsl", include_str!("../../shaders/common/source_place.wgsl")),
];

/// Texels of a block of [`Order::Blocks`].
const BLOCK_TEXELS: u64 = BLOCK_BYTES / 16;

/// The complete WGSL of a kernel: declarations generated from the operation's bindings and the
/// variant's constants and dimensions, then the rendered template.
///
/// Templates are WGSL in which lines that start with `//@` are minijinja statements (loops that
/// unroll at build time, includes) and `${name}` inserts a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The kernel's name.
    pub name: &'static str,
    /// WGSL with one entry point, `main`.
    pub wgsl: String,
}

impl Source {
    /// Renders `variant` for an operation that binds `bindings`, which lie in `homes`: all in buffers
    /// where `homes` is empty.
    ///
    /// # Errors
    /// [`KernelError::Template`] if the template does not render.
    pub fn build(
        variant: &Variant,
        bindings: &[Binding],
        homes: &[Home],
    ) -> Result<Self, KernelError> {
        Recipe::new(variant, bindings, homes).render()
    }
}

/// What a [`Source`] is made of. Rendering takes milliseconds; this tells without it whether two
/// sources are the same.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    variant: &'a Variant,
    declarations: String,
    /// Names what is rendered, comments and the variant's name aside: the SHA-256 of the declarations,
    /// the template and all that templates include, in hexadecimal.
    pub id: String,
}

impl<'a> Recipe<'a> {
    /// As [`Source::build`], without rendering.
    pub fn new(variant: &'a Variant, bindings: &[Binding], homes: &[Home]) -> Self {
        let declarations = declarations(variant, bindings, homes);
        let id = hash([
            without_comments(&declarations).as_str(),
            without_comments(variant.template).as_str(),
            common_hash(),
        ]);
        Self { variant, declarations, id }
    }

    /// The source.
    pub fn render(&self) -> Result<Source, KernelError> {
        let name = self.variant.name;
        let failed = |source| KernelError::Template { kernel: name, source };
        let body = render(self.variant).map_err(failed)?;
        let wgsl = [&self.declarations, COMMON[0].1, COMMON[1].1, &body].concat();
        Ok(Source { name, wgsl })
    }
}

/// A hash of what `variants` are made from: their names, constants and templates, and all that templates
/// include. The same on every machine (SHA-256, its first 64 bits in hexadecimal).
pub fn fingerprint(variants: &[Variant]) -> String {
    let constants: Vec<_> = variants.iter().map(|v| format!("{:?}", v.constants)).collect();
    let each = variants.iter().zip(&constants);
    let texts = each.flat_map(|(variant, constants)| [variant.name, constants, variant.template]);
    let mut fingerprint = hash(texts.chain([common_hash()]));
    fingerprint.truncate(16);
    fingerprint
}

/// A hash of all that templates include.
fn common_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(COMMON.iter().flat_map(|&(name, text)| [name, text])))
}

/// The SHA-256 of texts one after another, in hexadecimal.
fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        // The length keeps what follows apart from it.
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// WGSL, or a template of it, without comments.
fn without_comments(wgsl: &str) -> String {
    let code = |line: &'_ str| match line.trim() {
        statement if statement.starts_with("//@") => statement.len(),
        line => line.find("//").unwrap_or(line.len()),
    };
    let lines = wgsl.lines().map(|line| line.trim()[..code(line)].trim_end());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn render(variant: &Variant) -> Result<String, minijinja::Error> {
    // Parsed once: it takes longer than all rendering.
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    let environment = match ENVIRONMENT.get() {
        Some(environment) => environment,
        None => {
            let made = environment()?;
            ENVIRONMENT.get_or_init(|| made)
        }
    };
    let template = environment.template_from_named_str(variant.name, variant.template)?;
    let constants: BTreeMap<_, _> = variant.constants.iter().copied().collect();
    template.render(minijinja::Value::from(constants))
}

/// The syntax of templates, and what they include.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.line_statement_prefix("//@").variable_delimiters("${", "}");
    environment.set_syntax(syntax.build()?);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for (name, text) in COMMON {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

/// Declares constants, dimensions and bindings. Each binding of quads gets a function that loads one
/// and one that stores one, so that a kernel need not know whether they lie in a buffer or in texels.
fn declarations(variant: &Variant, bindings: &[Binding], homes: &[Home]) -> String {
    let mut wgsl = String::new();
    let home = |place: usize| homes.get(place).copied().unwrap_or(Home::Buffer);
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(wgsl, "{text}");
    };
    for (name, value) in &variant.constants {
        line(format_args!("const {name} = {value}u;"));
    }
    line(format_args!("struct Dims {{"));
    for (name, dim) in &variant.dims {
        let ty = match dim {
            Dim::U(_) => "u32",
            Dim::F(_) => "f32",
        };
        line(format_args!("    {name}: {ty},"));
    }
    let is_target = |name: &str| variant.target == Some(name);
    for (place, Binding { name, .. }) in bindings.iter().enumerate() {
        if home(place) != Home::Buffer || is_target(name) {
            line(format_args!("    {name}_texels: u32, // the first texel of {name}"));
        }
    }
    line(format_args!("}}\n@group(1) @binding(1) var<uniform> dims: Dims;"));
    // One arena holds inputs and outputs, and a buffer bound twice in a dispatch must be bound with one
    // usage; so all are read_write. What is rendered is no binding, and all others are only read.
    let access = if variant.target.is_some() { "read" } else { "read_write" };
    let bound = || bindings.iter().enumerate().filter(|(_, binding)| !is_target(binding.name));
    for (place, Binding { name, ty, layout, .. }) in bound() {
        match home(place) {
            Home::Buffer => line(format_args!(
                "@group(0) @binding({place}) var<storage, {access}> {name}: {ty}; // {layout}"
            )),
            Home::Texels { first, order } if first as usize == place => line(format_args!(
                "@group(0) @binding({place}) var texels_{place}: {}<rgba32float, {access}>;",
                order.wgsl_type(),
            )),
            Home::Texels { .. } => {}
        }
    }
    for (place, binding) in bound().filter(|(_, b)| b.is_quads()) {
        let name = binding.name;
        if let Layout::Panels { .. } = binding.layout {
            let body = match home(place) {
                Home::Texels { first, order: Order::Blocks } => format!(
                    "let block = dims.{name}_texels / {BLOCK_TEXELS}u + i;\n    \
                     return textureLoad(texels_{first}, {});",
                    Order::place_in_block()
                ),
                _ => format!(
                    "return load_{name}(i * {BLOCK_TEXELS}u + group * 8u + row * 4u + column);"
                ),
            };
            line(format_args!(
                "// In the `i`-th block of {BLOCK_TEXELS} quads that in group 0 to 7, row 0 or 1 and column 0 to 3.\n\
                 fn load_{name}_in_block(i: u32, group: u32, row: u32, column: u32) -> vec4<f32> {{\n    \
                     {body}\n}}"
            ));
        }
        match home(place) {
            Home::Buffer => {
                line(format_args!("fn load_{name}(i: u32) -> vec4<f32> {{ return {name}[i]; }}"));
                if variant.target.is_none() {
                    line(format_args!(
                        "fn store_{name}(i: u32, value: vec4<f32>) {{ {name}[i] = value; }}"
                    ));
                }
            }
            Home::Texels { first, order } => {
                let at = order.place();
                line(format_args!(
                    "fn load_{name}(i: u32) -> vec4<f32> {{ // {}\n    \
                         let at = dims.{name}_texels + i;\n    \
                         return textureLoad(texels_{first}, {at});\n}}",
                    binding.layout
                ));
                if variant.target.is_none() {
                    line(format_args!(
                        "fn store_{name}(i: u32, value: vec4<f32>) {{\n    \
                             let at = dims.{name}_texels + i;\n    \
                             textureStore(texels_{first}, {at}, value);\n}}"
                    ));
                }
            }
        }
    }
    if let Some(target) = variant.target {
        let block = Order::block_of("position");
        line(format_args!(
            "// The block of {target} that a fragment belongs to, counted from its first.\n\
             fn block_of(position: vec4<f32>) -> u32 {{\n    \
                 return {block} - dims.{target}_texels / {BLOCK_TEXELS}u;\n}}"
        ));
    }
    wgsl
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Grid;

    #[test]
    fn a_fingerprint_follows_from_all_that_makes_a_kernel() {
        let variant = Variant {
            name: "one",
            template: "fn main() {}",
            constants: vec![("TILE", 4)],
            dims: Vec::new(),
            grid: Grid::fixed(1),
            target: None,
            proven: false,
            supported: Ok(()),
        };
        let of = |variant: &Variant| fingerprint(std::slice::from_ref(variant));
        let known = of(&variant);
        assert_eq!(known.len(), 16);
        assert_eq!(known, of(&variant.clone()));
        // Shapes are in the key of what is tuned.
        assert_eq!(known, of(&Variant { grid: Grid::fixed(2), ..variant.clone() }));
        for other in [
            Variant { name: "two", ..variant.clone() },
            Variant { template: "fn main() { }", ..variant.clone() },
            Variant { constants: vec![("TILE", 8)], ..variant.clone() },
        ] {
            assert_ne!(known, of(&other), "{other:?}");
        }
        assert_ne!(known, fingerprint(&[variant.clone(), variant]));
    }
}
