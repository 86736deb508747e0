//! What is printed, and what is required.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::isa::Loop;

/// Waves that a SIMD must have room for, so that one computes while others wait for memory.
const WAVES: u64 = 4;
/// The least share of fused multiply-adds in the hot loop.
const SHARE: f64 = 0.7;

/// All pipelines of a network on a family of GPUs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Family {
    /// As RADV names it.
    pub name: String,
    /// The device that stands for it, and the driver's version.
    pub device: String,
    /// In the order of first use.
    pub pipelines: Vec<Pipeline>,
}

/// A compiled pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pipeline {
    /// The operation.
    pub op: String,
    /// The variant that the program runs, or was asked for.
    pub variant: String,
    /// The constants of its shader.
    pub constants: String,
    /// The layers that use it, one each use.
    pub layers: Vec<String>,
    /// Lanes of a wave.
    pub lanes: u32,
    /// Vector registers.
    pub vgprs: u64,
    /// Scalar registers.
    pub sgprs: u64,
    /// Vector registers that did not fit.
    pub spilled_vgprs: u64,
    /// Scalar registers that did not fit.
    pub spilled_sgprs: u64,
    /// Bytes of memory that a lane uses in place of registers.
    pub scratch_bytes: u64,
    /// Waves that a SIMD has room for at once.
    pub waves: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
    /// Instructions.
    pub instructions: u64,
    /// The compiler's estimate of the cycles that a wave keeps the busiest unit busy, loops included.
    pub inverse_throughput: u64,
    /// The innermost loop with the most fused multiply-adds.
    pub hot_loop: Option<Loop>,
}

impl Pipeline {
    /// True if nearly all time goes here: convolutions and dense layers.
    pub fn is_main(&self) -> bool {
        let passes = ["forward", "backward_data", "backward_weights"];
        match self.op.split_once('_') {
            Some(("conv" | "winograd", pass)) => passes.contains(&pass),
            Some((kind, _)) => kind == "dense",
            None => false,
        }
    }

    /// What it lacks of what a main pipeline must have.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let spilled = self.spilled_vgprs + self.spilled_sgprs;
        if spilled > 0 || self.scratch_bytes > 0 {
            faults.push(format!("spills {spilled} registers, {} B scratch", self.scratch_bytes));
        }
        if self.waves < WAVES {
            faults.push(format!("{} waves a SIMD, {WAVES} needed", self.waves));
        }
        match self.hot_loop {
            Some(found) if found.share() >= SHARE => {}
            Some(found) => {
                let share = found.share() * 100.0;
                faults.push(format!("{share:.0} % FMA in its loop, {:.0} % needed", SHARE * 100.0));
            }
            None => faults.push("no loop".to_owned()),
        }
        faults
    }
}

/// The main pipelines that lack something, a line each.
pub fn faults(families: &[Family]) -> Vec<String> {
    let mut lines = Vec::new();
    for family in families {
        for pipeline in family.pipelines.iter().filter(|pipeline| pipeline.is_main()) {
            let faults = pipeline.faults();
            if !faults.is_empty() {
                let Pipeline { variant, constants, .. } = pipeline;
                lines.push(format!("{} {variant}{constants}: {}", family.name, faults.join("; ")));
            }
        }
    }
    lines
}

/// A table for each family.
pub fn tables(families: &[Family]) -> String {
    families.iter().map(table).collect::<Vec<_>>().join("\n")
}

const TITLES: [&str; 12] = [
    "pipeline",
    "uses",
    "wave",
    "VGPR",
    "SGPR",
    "spills",
    "waves",
    "LDS",
    "instr",
    "loop",
    "FMA %",
    "inv. thr.",
];

fn table(family: &Family) -> String {
    let rows: Vec<[String; 12]> = family.pipelines.iter().map(row).collect();
    let mut text = format!("{}: {}\n\n", family.name, family.device);
    let titles = TITLES.map(str::to_owned);
    let width =
        |i: usize| std::iter::once(&titles).chain(&rows).map(|row| row[i].len()).max().unwrap_or(0);
    let widths: [usize; 12] = std::array::from_fn(width);
    for row in std::iter::once(&titles).chain(&rows) {
        let _ = write!(text, "{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

fn row(pipeline: &Pipeline) -> [String; 12] {
    let (instructions, share) = match pipeline.hot_loop {
        Some(it) => (it.instructions.to_string(), format!("{:.1}", it.share() * 100.0)),
        None => ("-".to_owned(), "-".to_owned()),
    };
    [
        format!("{}{}", pipeline.variant, pipeline.constants),
        pipeline.layers.len().to_string(),
        pipeline.lanes.to_string(),
        pipeline.vgprs.to_string(),
        pipeline.sgprs.to_string(),
        (pipeline.spilled_vgprs + pipeline.spilled_sgprs).to_string(),
        pipeline.waves.to_string(),
        pipeline.workgroup_bytes.to_string(),
        pipeline.instructions.to_string(),
        instructions,
        share,
        pipeline.inverse_throughput.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Pipeline {
        Pipeline {
            op: "dense_forward".to_owned(),
            variant: "dense_forward_tiled".to_owned(),
            constants: " TILE=64".to_owned(),
            layers: vec!["dense1".to_owned()],
            lanes: 64,
            vgprs: 84,
            sgprs: 128,
            spilled_vgprs: 0,
            spilled_sgprs: 0,
            scratch_bytes: 0,
            waves: 4,
            workgroup_bytes: 8192,
            instructions: 700,
            inverse_throughput: 1000,
            hot_loop: Some(Loop { instructions: 100, fmas: 70 }),
        }
    }

    #[test]
    fn every_requirement_is_checked_and_only_of_the_main_pipelines() {
        assert!(good().faults().is_empty());
        let bad = [
            Pipeline { spilled_vgprs: 1, ..good() },
            Pipeline { spilled_sgprs: 1, ..good() },
            Pipeline { scratch_bytes: 4, ..good() },
            Pipeline { waves: 3, ..good() },
            Pipeline { hot_loop: Some(Loop { instructions: 100, fmas: 69 }), ..good() },
            Pipeline { hot_loop: None, ..good() },
        ];
        for pipeline in &bad {
            assert_eq!(pipeline.faults().len(), 1, "{pipeline:?}");
        }
        let other = Pipeline { op: "conv_filter_flip".to_owned(), waves: 1, ..good() };
        let pipelines = bad.into_iter().chain([other, good()]).collect();
        let family = Family { name: "NAVI21".to_owned(), device: String::new(), pipelines };
        let lines = faults(&[family]);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[3], "NAVI21 dense_forward_tiled TILE=64: 3 waves a SIMD, 4 needed");
    }

    #[test]
    fn a_table_has_a_row_for_each_pipeline() {
        let family =
            Family { name: "A".to_owned(), device: "B".to_owned(), pipelines: vec![good()] };
        let text = table(&family);
        assert!(text.starts_with("A: B\n\npipeline "), "{text}");
        assert!(text.lines().nth(3).unwrap().ends_with(" 70.0       1000"), "{text}");
    }
}
