//! What a disassembly of AMD's instructions tells: the hot loop and what it is made of.
//!
//! Mnemonics: "RDNA 2 Instruction Set Architecture" and "RDNA3 Instruction Set Architecture", AMD.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Instructions of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// All of them; a dual-issue instruction counts as two.
    pub instructions: usize,
    /// Multiply-adds of floats among them, fused ones where the GPU has them.
    pub fmas: usize,
}

impl Loop {
    /// The share of the instructions that are fused multiply-adds, 0 to 1.
    pub fn share(&self) -> f64 {
        self.fmas as f64 / (self.instructions as f64).max(1.0)
    }
}

/// The innermost loop with the most fused multiply-adds, if there is a loop.
///
/// A loop is a label with everything up to the last branch back to it; an innermost one has no other
/// loop inside. Compilers lay loops out without gaps, but cold code within one would count too.
pub fn hot_loop(assembly: &str) -> Option<Loop> {
    let lines: Vec<&str> = assembly.lines().map(code).collect();
    let labels: HashMap<&str, usize> = lines
        .iter()
        .enumerate()
        .filter_map(|(i, line)| Some((line.strip_suffix(':')?, i)))
        .collect();
    let mut ends: HashMap<usize, usize> = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        if let Some(&begin) = target(line).and_then(|label| labels.get(label))
            && begin < i
        {
            ends.insert(begin, i);
        }
    }
    let has_inner = |begin: usize, end: usize| ends.keys().any(|&it| begin < it && it <= end);
    let innermost = ends.iter().filter(|&(&begin, &end)| !has_inner(begin, end));
    let loops = innermost.map(|(&begin, &end)| count(&lines[begin..=end]));
    loops.max_by_key(|found| (found.fmas, std::cmp::Reverse(found.instructions)))
}

/// Lanes of a wave: 32 if the mask of active lanes is used by its lower half alone.
pub fn lanes(assembly: &str) -> u32 {
    let operands = assembly.lines().map(code).flat_map(|line| line.split([' ', ',']));
    let mut lanes = 64;
    for operand in operands {
        match operand {
            "exec_lo" | "vcc_lo" => lanes = 32,
            "exec" | "vcc" => return 64,
            _ => {}
        }
    }
    lanes
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split(';').next().unwrap_or(line).trim()
}

/// The label that a branch names.
fn target(line: &str) -> Option<&str> {
    let (mnemonic, label) = line.split_once(char::is_whitespace)?;
    (mnemonic == "s_branch" || mnemonic.starts_with("s_cbranch_")).then(|| label.trim())
}

fn count(lines: &[&str]) -> Loop {
    // `v_dual_fmac_f32 v0, v1, v2 :: v_dual_mul_f32 v3, v4, v5` is two instructions in one.
    let instructions = lines.iter().filter(|line| !line.is_empty() && !line.ends_with(':'));
    let halves: Vec<&str> = instructions.flat_map(|line| line.split("::")).map(str::trim).collect();
    // The last two are what GPUs before RDNA2 have, which round the product.
    let forms = ["v_fma", "v_pk_fma", "v_dual_fma", "v_mac_f", "v_mad_f"];
    let fma = |half: &&&str| forms.iter().any(|form| half.starts_with(form));
    Loop { instructions: halves.len(), fmas: halves.iter().filter(fma).count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_loop_of_a_real_disassembly_is_found() {
        let assembly = include_str!("../tests/navi21.s");
        // BB2 holds two other loops, of which BB16 has four fused of its nine instructions.
        assert_eq!(hot_loop(assembly), Some(Loop { instructions: 9, fmas: 4 }));
        assert_eq!(lanes(assembly), 64);
    }

    #[test]
    fn both_halves_of_a_dual_issue_count() {
        let text = "BB1:\n\
            \tv_dual_fmac_f32 v0, v1, v2 :: v_dual_mul_f32 v3, v4, v5 ; c8000000 00000000\n\
            \tv_dual_fmac_f32 v0, v1, v2 :: v_dual_fmaak_f32 v3, v4, v5, 0x0\n\
            \tv_pk_fma_f16 v0, v1, v2, v3\n\
            \tv_mul_f32_e32 v0, v1, v2\n\
            \ts_cbranch_vccnz BB1\n";
        let found = hot_loop(text).unwrap();
        assert_eq!(found, Loop { instructions: 7, fmas: 4 });
        assert!((found.share() - 4.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn two_branches_to_one_label_are_one_loop() {
        let text = "BB1:\n\tv_fma_f32 v0, v1, v2, v3\n\ts_cbranch_scc1 BB1\n\
            \tv_fmac_f32_e32 v0, v1, v2\n\ts_branch BB1\nBB2:\n\ts_endpgm\n";
        assert_eq!(hot_loop(text), Some(Loop { instructions: 4, fmas: 2 }));
    }

    #[test]
    fn code_without_a_branch_back_has_no_loop() {
        assert_eq!(
            hot_loop("BB0:\n\ts_cbranch_scc0 BB1\n\tv_fma_f32 v0, v1, v2, v3\nBB1:\n"),
            None
        );
        assert_eq!(hot_loop(""), None);
    }

    #[test]
    fn a_wave_of_32_masks_with_half_a_register() {
        assert_eq!(
            lanes("\tv_cmp_gt_u32_e32 vcc_lo, s0, v1\n\ts_and_b32 exec_lo, exec_lo, vcc_lo"),
            32
        );
        assert_eq!(lanes("\ts_and_b64 exec, exec, vcc"), 64);
    }
}
