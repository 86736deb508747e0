use crate::{fails, succeeds};

#[test]
fn every_kernel_of_the_registry_is_listed() {
    let list = succeeds(&["shaders", "--all"]);
    for entry in vgg_wgpu::ops::REGISTRY {
        let listed = list.lines().any(|line| line.starts_with(&format!("{} ", entry.name)));
        assert!(listed, "{} is missing in:\n{list}", entry.name);
    }
    assert!(list.contains("conv_forward_tiled") && list.contains("conv_forward_shuffle"), "{list}");
}

#[test]
fn a_kernel_is_printed_in_every_language() {
    let print =
        |language: &str| succeeds(&["shaders", "conv_forward_tiled", "--all", "--to", language]);
    assert!(print("wgsl").contains("@compute"));
    assert!(print("msl").contains("#include <metal_stdlib>"));
    assert!(print("hlsl").contains("[numthreads("));
    assert!(print("glsl").starts_with("#version 310 es"));
    assert_eq!(print("wgsl"), succeeds(&["shaders", "conv_forward_tiled", "--all"]));
}

#[test]
fn an_unknown_kernel_is_answered_with_those_there_are() {
    let words = ["no kernel is named 'conv'", "conv_forward_tiled", "update"];
    fails(&["shaders", "conv", "--all"], 1, &words);
}
