//! Every shader variant that a registered op case lowers to: parsed, validated, its bindings compared with what the op
//! binds, and written as SPIR-V, MSL and HLSL. No GPU needed.

use std::collections::BTreeMap;
use unet_wgpu::kernel::{BindingKind, Caps, Dispatch, IMAGES, KernelKey, Operand, compose, may_be_image, parse};
use unet_wgpu::ops::{Lowering, registry};
use unet_wgpu::tensor::Precision;
use unet_wgpu::testing::{family_caps, matrix_caps, tile_caps};

/// Caps that make ops choose each of their kernel families.
fn caps() -> Vec<Caps> {
    let plain = Caps::default();
    let subgroup = Caps { class: unet_wgpu::kernel::AdapterClass::Cpu, subgroup: Some(8), ..Caps::default() };
    let mut all: Vec<Caps> = [&plain, &subgroup].into_iter().flat_map(family_caps).map(|c| c.1).collect();
    all.extend(tile_caps(&plain).into_iter().map(|c| c.1));
    all.extend([plain, subgroup]);
    let halves = all.clone().into_iter().map(|c| Caps { f16: true, precision: Precision::F16, ..c });
    all.extend(halves);
    all
}

fn dispatches() -> Vec<(String, Dispatch)> {
    let mut all = Vec::new();
    for case in registry() {
        let inputs: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
        let outputs = case.op.infer(&inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for caps in caps() {
            let mut cx = Lowering::new(&case.name, &caps, &inputs, &outputs);
            case.op.lower(&mut cx).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            all.extend(cx.finish().dispatches.into_iter().map(|d| (case.name.clone(), d)));
        }
    }
    for (shader, bindings) in [
        ("peak_fma", vec![Operand::Output(0)]),
        ("peak_copy", vec![Operand::Input(0), Operand::Output(0)]),
        ("gather", vec![Operand::Weights(0), Operand::Input(0), Operand::ScratchWrite(0)]),
        // In training, where a parameter of batch normalisation is a state.
        ("batch_norm_coefficients", (1..5).map(Operand::Input).chain([Operand::ScratchWrite(0)]).collect()),
        ("winograd_weights", vec![Operand::Weights(0), Operand::Input(0), Operand::ScratchWrite(0)]),
    ] {
        let kernel = KernelKey::new(shader);
        let dispatch = Dispatch { kernel, params: vec![0; 4], bindings, workgroups: [1; 3] };
        all.push(("planner's own".into(), dispatch));
    }
    all
}

#[test]
fn bindings_are_what_the_ops_bind() {
    for (case, d) in dispatches() {
        let r = parse(&d.kernel).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(r.bindings.first(), Some(&BindingKind::Uniform), "{case} {}: binding 0", d.kernel);
        assert_eq!(r.bindings.len(), d.bindings.len() + 1, "{case} {}: number of bindings", d.kernel);
        for (i, (kind, operand)) in r.bindings[1..].iter().zip(&d.bindings).enumerate() {
            let want = if operand.writes() { BindingKind::ReadWrite } else { BindingKind::Read };
            assert_eq!(*kind, want, "{case} {}: binding {}", d.kernel, i + 1);
        }
        let uniform = r
            .module
            .global_variables
            .iter()
            .find(|v| v.1.space == naga::AddressSpace::Uniform)
            .map(|v| r.module.types[v.1.ty].inner.size(r.module.to_ctx()))
            .unwrap();
        assert_eq!(uniform as usize, d.params.len() * 4, "{case} {}: bytes of Params", d.kernel);
    }
}

/// The first place where operators stand side by side that WGSL's grammar wants apart by parentheses; naga does not mind, browsers
/// do. Shifts stand alone, `&`, `|` and `^` among their like.
fn mixed_operators(text: &str) -> Option<String> {
    let code: Vec<&str> = text.lines().map(|l| l.split("//").next().unwrap_or(l)).collect();
    let code =
        code.join("\n").replace(['(', '['], " ( ").replace([')', ']'], " ) ").replace([',', ';', '{', '}'], " , ");
    let mut open: Vec<Vec<&str>> = vec![Vec::new()];
    let mut near = std::collections::VecDeque::new();
    for word in code.split_whitespace() {
        near.push_back(word);
        if near.len() > 12 {
            near.pop_front();
        }
        match word {
            "(" => open.push(Vec::new()),
            ")" => drop(open.pop()),
            "<<" | ">>" | "&" | "|" | "^" | "+" | "-" | "*" | "/" | "%" => {
                let level = open.last_mut()?;
                level.push(word);
                let alone = level.iter().any(|o| ["<<", ">>"].contains(o)) && level.len() > 1;
                let like = level.iter().any(|o| ["&", "|", "^"].contains(o)) && level.iter().any(|o| o != &word);
                if alone || like {
                    return Some(near.iter().copied().collect::<Vec<_>>().join(" "));
                }
            }
            "," | "=" | "==" | "!=" | "<" | ">" | "<=" | ">=" | "&&" | "||" | "+=" | "-=" | "return" => {
                open.last_mut()?.clear();
            }
            _ => {}
        }
    }
    None
}

#[test]
fn operators_are_parenthesised_as_the_grammar_wants() {
    for (text, wrong) in [
        ("let a = b / c << d;", true),
        ("let a = (b / c) << d;", false),
        ("let a = b >> c & d;", true),
        ("let a = b & 1u | c;", true),
        ("f(a << 1u, b + c) // a + b << c", false),
        ("if (a & 1u) == 1u && b + c < d { x[a + b] = c >> 2u; }", false),
    ] {
        assert_eq!(mixed_operators(text).is_some(), wrong, "{text}");
    }
    let variants: BTreeMap<KernelKey, String> = dispatches().into_iter().map(|(c, d)| (d.kernel, c)).collect();
    for (key, case) in variants {
        let text = compose(&key).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(mixed_operators(&text), None, "{case} {key}");
    }
}

#[test]
fn every_variant_on_images_becomes_spirv_and_binds_what_the_ops_bind() {
    let variants: BTreeMap<KernelKey, (String, Dispatch)> =
        dispatches().into_iter().map(|(c, d)| (d.kernel.clone(), (c, d))).collect();
    let mut images = 0;
    for (key, (case, d)) in variants {
        let possible: Vec<usize> = (1..=d.bindings.len()).filter(|&b| may_be_image(&key, b)).collect();
        let mask: u32 = possible.iter().map(|&b| 1 << b).sum();
        if mask == 0 {
            continue;
        }
        images += 1;
        let key = key.with(IMAGES, mask);
        let r = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}"));
        for b in possible {
            let BindingKind::Image { loads, stores } = r.bindings[b] else { panic!("{case} {key}: binding {b}") };
            assert_eq!(stores, d.bindings[b - 1].writes(), "{case} {key}: binding {b}");
            assert!(loads || stores, "{case} {key}: binding {b}");
        }
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&r.module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
        naga::back::spv::write_vec(&r.module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{case} {key}: SPIR-V: {e}"));
    }
    assert!(images > 50, "only {images} variants bind images");
}

#[test]
fn every_variant_becomes_spirv_msl_and_hlsl() {
    let variants: BTreeMap<KernelKey, String> = dispatches().into_iter().map(|(c, d)| (d.kernel, c)).collect();
    for (key, case) in variants {
        let module = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}")).module;
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
        naga::back::spv::write_vec(&module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{case} {key}: SPIR-V: {e}"));
        naga::back::msl::write_string(
            &module,
            &info,
            &naga::back::msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..Default::default() },
            &naga::back::msl::PipelineOptions::default(),
        )
        .unwrap_or_else(|e| panic!("{case} {key}: MSL: {e}"));
        let mut text = String::new();
        let options = naga::back::hlsl::Options {
            fake_missing_bindings: true,
            shader_model: naga::back::hlsl::ShaderModel::V6_2,
            ..Default::default()
        };
        let pipeline = naga::back::hlsl::PipelineOptions::default();
        naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{case} {key}: HLSL: {e}"));
    }
}

/// Run on few machines, if any: naga has no HLSL for it, and Metal has matrices of 8 only.
#[test]
fn kernels_with_cooperative_matrices_are_valid_and_become_spirv() {
    let mut variants = BTreeMap::new();
    for case in registry() {
        let inputs: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
        let outputs = case.op.infer(&inputs).unwrap();
        for (name, caps) in matrix_caps(&Caps::default()) {
            let mut cx = Lowering::new(&case.name, &caps, &inputs, &outputs);
            case.op.lower(&mut cx).unwrap_or_else(|e| panic!("{}, {name}: {e}", case.name));
            variants.extend(cx.finish().dispatches.into_iter().map(|d| (d.kernel.clone(), (case.name.clone(), d))));
        }
    }
    variants.retain(|k, _| k.value("MATRIX").is_some());
    assert!(variants.len() >= 8, "only {} variants", variants.len());
    for (key, (case, d)) in variants {
        let r = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(r.bindings.len(), d.bindings.len() + 1, "{case} {key}: number of bindings");
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&r.module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
        naga::back::spv::write_vec(&r.module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{case} {key}: SPIR-V: {e}"));
    }
}

#[test]
fn every_shader_file_is_used_by_a_case() {
    // Kernels that no op lowers to: the planner's own, and those that measure a device.
    let by_planner = ["halo"];
    let used: std::collections::BTreeSet<_> = dispatches().iter().map(|d| d.1.kernel.shader).collect();
    for name in unet_wgpu::kernel::all_shaders().filter(|n| !by_planner.contains(n)) {
        assert!(used.contains(name), "{name}.wgsl: no op case lowers to it");
    }
}
