//! The report for people.

use anyhow::Result;
use vgg_wgpu::gpu::AdapterFacts;

use super::super::common::{bytes, columns, say};
use super::super::network::PassArg;
use super::report::{LayerReport, Report};

/// Prints the report as text of at most 100 columns.
pub fn print(report: &Report, facts: &AdapterFacts) -> Result<()> {
    head(report, facts)?;
    say(format!("\none step by layer, timed by {}\n", report.timed_by))?;
    let step = report.step_ms.median;
    let mut rows: Vec<_> = report.layers.iter().map(|layer| row(layer, step)).collect();
    let total = |what: &str, ms: f64| {
        let share = format!("{:.1}", 100.0 * ms / step);
        vec![what.to_owned(), String::new(), format!("{ms:.2}"), share]
    };
    rows.push(total("all kernels", report.kernels_ms));
    rows.push(total("outside them", step - report.kernels_ms));
    let titles = ["layer", "kernel", ">ms", ">%", ">GFLOP/s", ">GB/s", "bound by", ">% of ceiling"];
    say(columns(&titles, &rows).trim_end())?;
    match &report.compare {
        Some(comparison) => comparison.print(),
        None => Ok(()),
    }
}

fn head(report: &Report, facts: &AdapterFacts) -> Result<()> {
    let Report { config, step_ms, memory, ceilings, .. } = report;
    say(format!("adapter       {facts}"))?;
    say(format!(
        "ceilings      {:.1} GFLOP/s in registers, {:.1} GB/s copied",
        ceilings.gflops, ceilings.gb_per_s
    ))?;
    say(format!(
        "network       {} / {}, {} px, batch {} in micro-batches of {}, {}",
        config.arch,
        config.ratio,
        config.resize,
        config.batch,
        config.micro_batch,
        if config.pass == PassArg::Train { "training" } else { "inference" },
    ))?;
    if report.tuned > 0 {
        say(format!("tuned         {} choices of kernels by `vgg-wgpu tune`", report.tuned))?;
    }
    let worst = report.checked.iter().map(|checked| checked.deviation).fold(0.0, f64::max);
    say(format!(
        "checked       {} kernels on small shapes, off by at most {worst:.1e} of the largest value",
        report.checked.len()
    ))?;
    say(format!(
        "start         {:.0} ms, first step {:.0} ms",
        report.startup_ms, report.first_step_ms
    ))?;
    say(format!(
        "step          {:.1} ms (median of {}; {:.1} to {:.1})",
        step_ms.median, config.steps, step_ms.min, step_ms.max
    ))?;
    say(format!(
        "speed         {:.1} images/s, {:.1} GFLOP/s, {:.0} % of the ceiling",
        report.images_per_s,
        report.gflops,
        100.0 * report.gflops / ceilings.gflops
    ))?;
    let peak = memory.peak_rss_bytes.map(|peak| format!(", process at most {}", bytes(peak)));
    Ok(say(format!(
        "memory        planned {}{}",
        bytes(memory.planned_bytes),
        peak.unwrap_or_default()
    ))?)
}

fn row(layer: &LayerReport, step: f64) -> Vec<String> {
    let gflops = if layer.gflops > 0.0 { format!("{:.1}", layer.gflops) } else { String::new() };
    vec![
        layer.name.clone(),
        layer.variant.to_owned(),
        format!("{:.2}", layer.ms),
        format!("{:.1}", 100.0 * layer.ms / step),
        gflops,
        format!("{:.1}", layer.gb_per_s),
        layer.bound.to_owned(),
        format!("{:.0}", 100.0 * layer.of_ceiling),
    ]
}
