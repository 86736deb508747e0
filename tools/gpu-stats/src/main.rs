//! Judges the kernels of vgg-wgpu for AMD GPUs that are not there: compiles every pipeline that a
//! network uses with Mesa's RADV, and prints what the driver tells about the result.

mod compile;
mod isa;
mod radv;
mod report;

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use vgg_wgpu::graph::{Architecture, NetworkOptions};
use vgg_wgpu::ops::Optimizer;

use report::Family;

/// Compile the kernels of a network with Mesa's RADV for GPUs that are not there, and print registers,
/// occupancy and the share of fused multiply-adds in the hot loops
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  gpu-stats --arch vgg16 --resize 224 --batch 32 --check"
)]
struct Args {
    /// vgg11, vgg13, vgg16, vgg19, or blocks as CONVOLUTIONSxCHANNELS: 1x64,1x128,2x256
    #[arg(long, value_name = "TABLE", default_value = "vgg11")]
    arch: String,
    /// Divide the channels of every block by this
    #[arg(long, value_name = "N", default_value_t = 1)]
    ratio: usize,
    /// Resolution of the images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    resize: usize,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// Channels of the input: 1 (grey) or 3 (RGB)
    #[arg(long, value_name = "N", default_value_t = 1)]
    channels: usize,
    /// Kernel variant to prefer for its operation: winograd_forward_2x2_tiled, for instance; may be
    /// repeated
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<String>,
    /// GPU family as RADV names it; may be repeated
    #[arg(long = "family", value_name = "NAME", default_values = ["NAVI21", "GFX1100"])]
    families: Vec<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Fail if a kernel of a convolution or a dense layer spills registers, leaves room for fewer
    /// than 4 waves a SIMD, or has less than 70 % fused multiply-adds in its hot loop
    #[arg(long)]
    check: bool,
    /// Write each pipeline's disassembly to this folder
    #[arg(long, value_name = "DIR")]
    disassembly: Option<PathBuf>,
    /// Set in the processes that this one starts: RADV reads its variables once
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let architecture = Architecture::builder()
        .table(&args.arch)?
        .ratio(args.ratio)
        .input(args.channels, args.resize, args.resize)
        .build()?;
    if let (true, [family]) = (args.child, args.families.as_slice()) {
        let options = NetworkOptions {
            batch: args.batch,
            optimizer: Optimizer::sgd(0.9),
            variants: args.variants.clone(),
            ..NetworkOptions::default()
        };
        let folder = args.disassembly.as_deref();
        let found = compile::family(family, &architecture, &options, folder)?;
        println!("{}", serde_json::to_string(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &args.disassembly {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    // All are started before the first is waited for.
    let children = args.families.iter().map(|family| Ok((family, start(family, args)?)));
    let children = children.collect::<Result<Vec<_>>>()?;
    let families = children.into_iter().map(|(family, child)| finish(family, child));
    let families = families.collect::<Result<Vec<_>>>()?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&families)?),
        false => print!("{}", report::tables(&families)),
    }
    let faults = report::faults(&families);
    if !args.check || faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nbelow what is required:\n{}", faults.join("\n"));
    Ok(ExitCode::FAILURE)
}

/// Starts this program again where RADV stands for `family` and is the only driver.
fn start(family: &str, args: &Args) -> Result<Child> {
    let driver = radv::driver_file().context(
        "hint: install Mesa's drivers, for instance with 'apt install mesa-vulkan-drivers'",
    )?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--child", "--family", family, "--arch", &args.arch])
        .args(["--ratio", &args.ratio.to_string(), "--resize", &args.resize.to_string()])
        .args(["--batch", &args.batch.to_string(), "--channels", &args.channels.to_string()])
        .args(args.variants.iter().flat_map(|name| ["--variant", name]))
        .env("RADV_FORCE_FAMILY", family)
        .env("VK_DRIVER_FILES", &driver)
        // The name that loaders before 1.3.207 know.
        .env("VK_ICD_FILENAMES", &driver)
        .env("WGPU_BACKEND", "vulkan")
        .env_remove("RADV_DEBUG")
        .env_remove("RADV_PERFTEST")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(folder) = &args.disassembly {
        command.arg("--disassembly").arg(folder);
    }
    Ok(command.spawn()?)
}

fn finish(family: &str, child: Child) -> Result<Family> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        // RADV ends the process where it does not know a family.
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{family}: {}", said.trim().trim_start_matches("error: "));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
