//! The program on a small network, where RADV is installed.

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let small = ["--arch", "1x16,1x32", "--resize", "16", "--batch", "4"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-stats"));
    command.args(small).args(arguments).output().expect("the program starts")
}

/// True, with a word about it, where the driver is not installed.
fn without_radv() -> bool {
    let file = format!("/usr/share/vulkan/icd.d/radeon_icd.{}.json", std::env::consts::ARCH);
    let missing = !std::path::Path::new(&file).is_file();
    if missing {
        let output = run(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("RADV is not installed"));
        eprintln!("skipped: RADV is not installed");
    }
    missing
}

#[test]
fn every_pipeline_of_a_network_is_compiled_for_two_families() {
    if without_radv() {
        return;
    }
    let output = run(&["--family", "NAVI10", "--family", "NAVI21", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let families: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (family, name) in families.as_array().expect("a list").iter().zip(["NAVI10", "NAVI21"]) {
        assert_eq!(family["name"], name);
        assert!(family["device"].as_str().is_some_and(|device| device.contains(name)), "{family}");
        let pipelines = family["pipelines"].as_array().expect("a list");
        let of = |op: &str| pipelines.iter().find(|it| it["op"] == op);
        for op in ["winograd_forward", "conv_backward_weights", "dense_backward_data", "update"] {
            let pipeline = of(op).unwrap_or_else(|| panic!("no {op}"));
            for positive in ["vgprs", "waves", "instructions", "inverse_throughput"] {
                assert!(pipeline[positive].as_u64().is_some_and(|it| it > 0), "{op}: {positive}");
            }
        }
        let conv = of("winograd_forward").expect("found before");
        assert!(conv["workgroup_bytes"].as_u64() > Some(0), "{conv}");
        assert!(conv["hot_loop"]["instructions"].as_u64() > Some(0), "{conv}");
    }
}

#[test]
fn the_main_kernels_meet_what_is_required_and_on_small_gpus_do_not() {
    if without_radv() {
        return;
    }
    let output = run(&["--check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let tables = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(tables.matches("dense_backward_weights_tiled").count(), 2, "{tables}");
    // Before RDNA a SIMD had half the registers.
    let output = run(&["--check", "--family", "VEGA10"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("VEGA10 dense_forward_tiled"), "{said}");
    assert!(said.contains("waves a SIMD, 4 needed"), "{said}");
}

#[test]
fn direct_convolutions_in_workgroup_memory_meet_what_is_required() {
    if without_radv() {
        return;
    }
    let names = ["conv_forward_tiled", "conv_backward_data_tiled", "conv_backward_weights_tiled"];
    let flags: Vec<_> = names.iter().flat_map(|name| ["--variant", name]).collect();
    let output = run(&[&["--check"], &flags[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let tables = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in names {
        assert!(tables.matches(name).count() >= 2, "{name}: {tables}");
    }
    let output = run(&[&["--check", "--family", "VEGA10"], &flags[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("VEGA10 conv_forward_tiled"), "{said}");
}

#[test]
fn winograds_kernels_in_workgroup_memory_meet_what_is_required() {
    if without_radv() {
        return;
    }
    for tile in ["2x2", "4x4"] {
        let of = |pass| format!("winograd_{pass}_{tile}_tiled");
        let names = ["forward", "backward_data", "backward_weights"].map(of);
        let flags: Vec<_> = names.iter().flat_map(|name| ["--variant", name]).collect();
        let output = run(&[&["--check"], &flags[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let tables = String::from_utf8_lossy(&output.stdout).into_owned();
        for name in &names {
            assert!(tables.matches(name).count() >= 2, "{name}: {tables}");
        }
    }
    // Before RDNA a SIMD had half the registers: the check is of these kernels too.
    let variant = ["--variant", "winograd_forward_2x2_tiled"];
    let output = run(&[&["--check", "--family", "VEGA10"], &variant[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("VEGA10 winograd_forward_2x2_tiled"), "{said}");
}

#[test]
fn a_variant_that_the_network_does_not_use_is_named() {
    if without_radv() {
        return;
    }
    let output = run(&["--family", "NAVI21", "--variant", "conv_forward_typo"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("does not use the variant conv_forward_typo"), "{said}");
}

#[test]
fn disassemblies_are_written_where_asked() {
    if without_radv() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("gpu-stats-{}", std::process::id()));
    let path = folder.to_str().expect("UTF-8");
    let output = run(&["--family", "NAVI21", "--disassembly", path]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(folder.join("NAVI21-sum_partials.s")).expect("written");
    assert!(text.contains("s_endpgm"), "{text}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn an_unknown_family_is_named() {
    if without_radv() {
        return;
    }
    let output = run(&["--family", "NAVI999"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("NAVI999: radv: Unknown family"), "{said}");
}
