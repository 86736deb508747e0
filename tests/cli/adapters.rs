use serde_json::Value;

use crate::{end, fails, fails_as, has_adapter, program, succeeds};

#[test]
fn adapters_are_listed_with_what_matters() {
    if !has_adapter("adapters_are_listed_with_what_matters") {
        return;
    }
    let text = succeeds(&["adapters"]);
    let words = ["(default)", "backend", "driver", "a binding", "subgroups", "timestamps", "f16"];
    for word in words {
        assert!(text.contains(word), "no '{word}' in:\n{text}");
    }
    assert!(text.contains("variants run here"), "{text}");
}

#[test]
fn the_json_tells_the_same() {
    if !has_adapter("the_json_tells_the_same") {
        return;
    }
    let adapters: Value = serde_json::from_str(&succeeds(&["adapters", "--json"])).unwrap();
    let adapters = adapters.as_array().unwrap();
    let found = vgg_wgpu::gpu::list();
    assert_eq!(adapters.len(), found.len());
    let defaults = adapters.iter().filter(|adapter| adapter["default"] == true);
    assert_eq!(defaults.count(), 1);
    for (adapter, facts) in adapters.iter().zip(&found) {
        assert_eq!(adapter["index"], facts.index);
        assert_eq!(adapter["name"], facts.name);
        assert_eq!(adapter["backend"], facts.backend);
        assert_eq!(adapter["type"], facts.kind.to_string());
        assert_eq!(adapter["driver"], facts.driver);
        assert_eq!(adapter["limits"]["binding_bytes"], facts.max_binding);
        assert_eq!(adapter["features"]["subgroups"], facts.subgroups);
        check_variants(adapter["variants"].as_array().unwrap());
    }
}

/// Each operation that the adapter can run has one preferred variant, and it can run all that have no
/// stand-in; a variant that is not available says why.
fn check_variants(variants: &[Value]) {
    for entry in vgg_wgpu::ops::REGISTRY {
        let of_op = || variants.iter().filter(|variant| variant["op"] == entry.name);
        assert!(of_op().count() > 0, "{}", entry.name);
        let available = of_op().any(|variant| variant["available"] == true);
        let preferred = of_op().filter(|variant| variant["preferred"] == true);
        assert_eq!(preferred.count(), usize::from(available), "{}", entry.name);
        let has_stand_in =
            entry.name.starts_with("winograd") || entry.name == "dense_backward_update";
        assert!(available || has_stand_in, "{}", entry.name);
    }
    for variant in variants {
        assert_eq!(variant["available"] == true, variant["reason"].is_null(), "{variant}");
    }
}

#[test]
fn an_unknown_adapter_is_answered_with_those_there_are() {
    if !has_adapter("an_unknown_adapter_is_answered_with_those_there_are") {
        return;
    }
    let first = vgg_wgpu::gpu::list().remove(0);
    let known = format!("0 {} ({})", first.name, first.backend);
    for command in ["plan", "bench", "shaders"] {
        let words = ["no adapter matches 'no-such-adapter'", &known];
        fails(&[command, "--adapter", "no-such-adapter"], 1, &words);
    }
    fails(&["plan", "--adapter", "99"], 1, &["no adapter matches '99'"]);
}

#[test]
fn without_any_adapter_the_error_says_what_to_install() {
    for args in [["adapters"].as_slice(), &["adapters", "--json"], &["plan"], &["bench"]] {
        let mut command = program(args);
        command.env("WGPU_BACKEND", "vulkan");
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(variable, "/nonexistent");
        }
        command.env_remove("VK_ADD_DRIVER_FILES");
        let mut words = vec!["no GPU adapter was found", "searched: vulkan"];
        if cfg!(target_os = "linux") {
            words.extend(["apt install", "dnf install", "pacman -S", "mesa-vulkan-drivers"]);
        }
        fails_as(&mut command, 1, &words);
    }
}

#[test]
fn drivers_do_not_complain_where_there_is_no_desktop() {
    if !has_adapter("drivers_do_not_complain_where_there_is_no_desktop") {
        return;
    }
    let mut command = program(&["adapters"]);
    for variable in ["XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "DISPLAY"] {
        command.env_remove(variable);
    }
    let ended = end(&mut command);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stderr.contains("XDG_RUNTIME_DIR"), "{}", ended.stderr);
}
