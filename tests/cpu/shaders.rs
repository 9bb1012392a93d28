//! Every shader variant that a registered op case lowers to: parsed, validated, its bindings compared with what the op
//! binds, and written as SPIR-V, MSL and HLSL. No GPU needed.

use std::collections::{BTreeMap, BTreeSet};
use unet_wgpu::low_level::frame::example_kernels;
use unet_wgpu::low_level::gpu::peak_params;
use unet_wgpu::low_level::graph::{Graph, training};
use unet_wgpu::low_level::kernel::{
    BindingKind, Dispatch, KernelKey, Member, Operand, ParamType, TEXTURES, Target, compose, may_be_texture, parse,
};
use unet_wgpu::low_level::ops::{Conv2d, ExportNchw, ImportNchw, Lowering, halo, registry};
use unet_wgpu::low_level::plan::{Plan, Resource};
use unet_wgpu::low_level::tensor::{Precision, Shape, TensorDesc};
use unet_wgpu::testing::{family_caps, matrix_caps, tile_caps};

/// Targets for which ops choose each of their kernel families.
fn targets() -> Vec<Target> {
    let plain = Target::default();
    let subgroup = Target::typical(unet_wgpu::low_level::kernel::AdapterClass::Cpu);
    let mut all: Vec<Target> = [&plain, &subgroup].into_iter().flat_map(family_caps).map(|c| c.1).collect();
    all.extend(tile_caps(&plain).into_iter().map(|c| c.1));
    all.extend([plain, subgroup]);
    let halves = all.clone().into_iter().map(|mut t| {
        t.caps.f16 = true;
        t.with_precision(Precision::F16)
    });
    all.extend(halves);
    all
}

fn dispatches() -> Vec<(String, Dispatch)> {
    let mut all = Vec::new();
    for case in registry() {
        let inputs: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
        let outputs = case.op.infer(&inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for target in targets() {
            // In training, some ops repack parameters on the device.
            let lower = |training: bool| {
                let mut cx = Lowering::new(&case.name, &target, &inputs, &outputs);
                cx.training = training;
                case.op.lower(&mut cx).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                cx.finish().dispatches
            };
            let usual = lower(false);
            if target.options.precision == Precision::F32 {
                let others = lower(true).into_iter().filter(|d| !usual.contains(d));
                all.extend(others.map(|d| (case.name.clone(), d)));
            }
            all.extend(usual.into_iter().map(|d| (case.name.clone(), d)));
        }
    }
    for (shader, params) in peak_params() {
        let reads = (shader == "peak_copy").then_some(Operand::Input(0));
        let bindings = reads.into_iter().chain([Operand::Output(0)]).collect();
        let kernel = KernelKey::new(shader);
        all.push(("peak".into(), Dispatch { kernel, params, bindings, workgroups: [1; 3] }));
    }
    for (kernel, params, writes) in example_kernels() {
        let operand = |(i, writes): (usize, bool)| if writes { Operand::Output(0) } else { Operand::Input(i) };
        let bindings = writes.into_iter().enumerate().map(operand).collect();
        all.push(("frame".into(), Dispatch { kernel, params, bindings, workgroups: [1; 3] }));
    }
    let halo = halo(TensorDesc::blocked(Shape::new(1, 5, 6, 7)), Operand::ScratchWrite(0), None);
    all.push(("planner's own".into(), halo));
    all.extend(gathers().into_iter().map(|d| ("planner's own".into(), d)));
    all
}

/// The planner's kernels that repack weights in training, with one input and with two.
fn gathers() -> Vec<Dispatch> {
    let mut all = Vec::new();
    for bias in [false, true] {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::linear(Shape::new(1, 4, 8, 8)));
        let x = graph.node("import", ImportNchw, &[x]).unwrap();
        let mut inputs = vec![x, graph.parameter("weight", &[4, 4, 3, 3]).unwrap()];
        if bias {
            inputs.push(graph.parameter("bias", &[4]).unwrap());
        }
        let y = graph.node("conv", Conv2d { bias, ..Conv2d::new(4, 3, 1) }, &inputs).unwrap();
        let y = graph.node("export", ExportNchw, &[y]).unwrap();
        graph.output("y", y);
        let plan = Plan::new(&training(&graph, &[]).unwrap(), &Target::default()).unwrap();
        let operand = |r: &Resource| match r {
            Resource::Slot { writes: true, .. } => Operand::ScratchWrite(0),
            _ => Operand::Input(0),
        };
        all.extend(plan.dispatches.into_iter().filter(|d| d.kernel.shader == "gather").map(|d| {
            let bindings = d.bindings.iter().map(operand).collect();
            Dispatch { kernel: d.kernel, params: d.params, bindings, workgroups: d.workgroups }
        }));
    }
    assert_eq!(all.len(), 2);
    all
}

/// The first difference between the parameters that an op fills and those that the shader declares.
fn difference(module: &naga::Module, ty: naga::Handle<naga::Type>, filled: ParamType) -> Option<String> {
    let declared = &module.types[ty].inner;
    let scalar = |s: naga::Scalar| match (s.kind, s.width) {
        (naga::ScalarKind::Uint, 4) => Some(ParamType::U32),
        (naga::ScalarKind::Sint, 4) => Some(ParamType::I32),
        (naga::ScalarKind::Float, 4) => Some(ParamType::F32),
        _ => None,
    };
    let same = match (declared, filled) {
        (naga::TypeInner::Struct { members, .. }, ParamType::Struct(fields)) => {
            for i in 0..members.len().max(fields.len()) {
                let (Some(m), Some(f)) = (members.get(i), fields.get(i)) else {
                    let name = |n: Option<&str>| n.unwrap_or("nothing").to_string();
                    let declared = name(members.get(i).and_then(|m| m.name.as_deref()));
                    return Some(format!(
                        "member {i} is {declared}, filled is {}",
                        name(fields.get(i).map(|f| f.name))
                    ));
                };
                if m.name.as_deref() != Some(f.name) || m.offset as usize != f.offset {
                    let declared = format!("{:?} at {}", m.name, m.offset);
                    return Some(format!("member {i} is {declared}, filled is {:?} at {}", f.name, f.offset));
                }
                if let Some(inner) = difference(module, m.ty, f.ty) {
                    return Some(format!("{}: {inner}", f.name));
                }
            }
            true
        }
        (naga::TypeInner::Scalar(s), filled) => scalar(*s) == Some(filled),
        (naga::TypeInner::Vector { size, scalar: s }, ParamType::Vector(element, count)) => {
            *size as usize == count && scalar(*s) == Some(*element)
        }
        (naga::TypeInner::Array { base, size: naga::ArraySize::Constant(n), .. }, ParamType::Array(element, count)) => {
            n.get() as usize == count && difference(module, *base, *element).is_none()
        }
        _ => false,
    };
    (!same).then(|| format!("is {declared:?}, filled is {filled:?}"))
}

fn uniform(module: &naga::Module) -> naga::Handle<naga::Type> {
    module.global_variables.iter().find(|v| v.1.space == naga::AddressSpace::Uniform).unwrap().1.ty
}

#[test]
fn params_match_the_shaders_declarations() {
    let mut seen = BTreeSet::new();
    for (case, d) in dispatches() {
        // A shader's struct depends on its constants only.
        if !seen.insert((d.kernel.clone(), d.params.members().iter().map(|m| m.name).collect::<Vec<_>>())) {
            continue;
        }
        let module = parse(&d.kernel).unwrap_or_else(|e| panic!("{case}: {e}")).module;
        let wrong = difference(&module, uniform(&module), ParamType::Struct(d.params.members()));
        assert_eq!(wrong, None, "{case} {}: Params", d.kernel);
    }
    let checked: BTreeSet<_> = seen.iter().map(|s| s.0.shader).collect();
    let all: BTreeSet<_> = unet_wgpu::low_level::kernel::all_shaders().collect();
    assert_eq!(checked, all, "shaders whose parameters are checked");
}

#[test]
fn differences_of_params_are_found() {
    const U: ParamType = ParamType::U32;
    const VIEW: &[Member] = &[Member { name: "origin", ty: U, offset: 0 }, Member { name: "row", ty: U, offset: 4 }];
    const REVERSED: &[Member] = &[VIEW[1], VIEW[0]];
    const RIGHT: [Member; 4] = [
        Member { name: "x", ty: ParamType::Struct(VIEW), offset: 0 },
        Member { name: "w", ty: U, offset: 8 },
        Member { name: "slope", ty: ParamType::F32, offset: 12 },
        Member { name: "dims", ty: ParamType::Array(&ParamType::Vector(&ParamType::I32, 4), 2), offset: 16 },
    ];
    let wgsl = "struct View { origin: u32, row: u32 }
        struct Params { x: View, w: u32, slope: f32, dims: array<vec4<i32>, 2> }
        @group(0) @binding(0) var<storage> p: Params;";
    let module = naga::front::wgsl::parse_str(wgsl).unwrap();
    let ty = module.global_variables.iter().next().unwrap().1.ty;
    let found = |members: &[Member]| difference(&module, ty, ParamType::Struct(members.to_vec().leak()));
    assert_eq!(found(&RIGHT), None);
    let with = |i: usize, m: Member| {
        let mut members = RIGHT;
        members[i] = m;
        found(&members)
    };
    let swapped = Member { name: "slope", ty: ParamType::F32, offset: 8 };
    assert!(with(1, swapped).unwrap().contains("member 1"));
    assert!(with(1, Member { offset: 12, ..RIGHT[1] }).unwrap().contains("at 12"));
    assert!(with(2, Member { ty: U, ..RIGHT[2] }).unwrap().contains("slope"));
    assert!(with(0, Member { ty: ParamType::Vector(&U, 2), ..RIGHT[0] }).unwrap().starts_with("x: "));
    assert!(with(0, Member { ty: ParamType::Struct(REVERSED), ..RIGHT[0] }).is_some());
    assert!(with(3, Member { ty: ParamType::Array(&ParamType::Vector(&U, 4), 2), ..RIGHT[3] }).is_some());
    assert!(found(&RIGHT[..3]).unwrap().contains("filled is nothing"));
}

#[test]
fn bindings_match_the_ops() {
    let mut parsed = BTreeMap::new();
    for (case, d) in dispatches() {
        let r = parsed
            .entry(d.kernel.clone())
            .or_insert_with(|| parse(&d.kernel).unwrap_or_else(|e| panic!("{case}: {e}")));
        assert_eq!(r.bindings.first(), Some(&BindingKind::Uniform), "{case} {}: binding 0", d.kernel);
        assert_eq!(r.bindings.len(), d.bindings.len() + 1, "{case} {}: number of bindings", d.kernel);
        for (i, (kind, operand)) in r.bindings[1..].iter().zip(&d.bindings).enumerate() {
            let expected = if operand.writes() { BindingKind::ReadWrite } else { BindingKind::Read };
            assert_eq!(*kind, expected, "{case} {}: binding {}", d.kernel, i + 1);
        }
        let bytes = r.module.types[uniform(&r.module)].inner.size(r.module.to_ctx());
        assert_eq!(bytes as usize, d.params.len() * 4, "{case} {}: bytes of Params", d.kernel);
    }
}

/// The first mix of operators that WGSL's grammar requires parentheses for. naga accepts them, browsers do not. Shifts
/// cannot be mixed with any operator, `&`, `|` and `^` only with themselves.
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
fn operators_are_parenthesised_as_wgsl_requires() {
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

/// The first float in a WGSL text that is larger than any of 32 bits, as decimals go: browsers refuse it.
fn too_large(text: &str) -> Option<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
    let number = |word: &&str| word.strip_suffix('f').and_then(|n| n.parse::<f64>().ok());
    words.into_iter().find(|w| number(w).is_some_and(|n| n > f64::from(f32::MAX)))
}

/// In a browser wgpu hands over what naga writes, which is not what we wrote.
#[test]
fn browsers_get_floats_that_they_can_read() {
    assert_eq!(
        too_large("x = 340282350000000000000000000000000000000f;"),
        Some("340282350000000000000000000000000000000f")
    );
    assert_eq!(too_large("x = 3.5f + 340282330000000000000000000000000000000f * 0xff7fffffu"), None);
    let variants: BTreeMap<KernelKey, String> = dispatches().into_iter().map(|(c, d)| (d.kernel, c)).collect();
    for (key, case) in variants {
        let module = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}")).module;
        let flags = naga::valid::ValidationFlags::all();
        let info = naga::valid::Validator::new(flags, naga::valid::Capabilities::all()).validate(&module).unwrap();
        let text = naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty());
        assert_eq!(too_large(&text.unwrap_or_else(|e| panic!("{case} {key}: {e}"))), None, "{case} {key}");
    }
}

#[test]
fn texture_variants_become_spirv_and_match_the_ops() {
    let variants: BTreeMap<KernelKey, (String, Dispatch)> =
        dispatches().into_iter().map(|(c, d)| (d.kernel.clone(), (c, d))).collect();
    let mut textures = 0;
    for (key, (case, d)) in variants {
        let possible: Vec<usize> = (1..=d.bindings.len()).filter(|&b| may_be_texture(&key, b)).collect();
        let mask: u32 = possible.iter().map(|&b| 1 << b).sum();
        if mask == 0 {
            continue;
        }
        textures += 1;
        let key = key.with(TEXTURES, mask);
        let r = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}"));
        for b in possible {
            let BindingKind::Texture { loads, stores } = r.bindings[b] else { panic!("{case} {key}: binding {b}") };
            assert_eq!(stores, d.bindings[b - 1].writes(), "{case} {key}: binding {b}");
            assert!(loads || stores, "{case} {key}: binding {b}");
        }
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&r.module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
        naga::back::spv::write_vec(&r.module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{case} {key}: SPIR-V: {e}"));
    }
    assert!(textures > 50, "only {textures} variants bind textures");
}

/// Any dispatch may be divided: the kernel of a part is valid, and its parameters end with the part's first workgroup.
#[test]
fn every_kernel_runs_in_parts() {
    let variants: BTreeMap<KernelKey, (String, Dispatch)> =
        dispatches().into_iter().map(|(c, d)| (d.kernel.clone(), (c, d))).collect();
    let mut numbered = 0;
    for (key, (case, d)) in variants {
        let key = key.in_parts();
        let module = match parse(&key) {
            Ok(parsed) => parsed.module,
            // A kernel of one workgroup need not know its number.
            Err(e) => {
                assert!(e.to_string().contains("without the number") && d.workgroups == [1; 3], "{case}: {e}");
                continue;
            }
        };
        numbered += 1;
        let naga::TypeInner::Struct { members, span } = &module.types[uniform(&module)].inner else {
            panic!("{case} {key}: Params")
        };
        let (last, words) = (members.last().unwrap(), d.params.of_part([0; 3], false).len());
        assert_eq!(last.name.as_deref(), Some("first_workgroup"), "{case} {key}");
        assert_eq!((last.offset as usize, *span as usize), (4 * words - 16, 4 * words), "{case} {key}");
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
    }
    assert!(numbered > 300, "only {numbered} kernels");
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

/// Few devices run these: naga has no HLSL for cooperative matrices, and Metal has 8x8 only.
#[test]
fn kernels_with_cooperative_matrices_are_valid_and_become_spirv() {
    let mut variants = BTreeMap::new();
    for case in registry() {
        let inputs: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
        let outputs = case.op.infer(&inputs).unwrap();
        for (name, target) in matrix_caps(&Target::default()) {
            let mut cx = Lowering::new(&case.name, &target, &inputs, &outputs);
            case.op.lower(&mut cx).unwrap_or_else(|e| panic!("{}, {name}: {e}", case.name));
            variants.extend(cx.finish().dispatches.into_iter().map(|d| (d.kernel.clone(), (case.name.clone(), d))));
        }
    }
    variants.retain(|k, _| k.value("MATRIX").is_some());
    assert!(variants.len() >= 8, "only {} variants", variants.len());
    for (key, (case, d)) in variants {
        let r = parse(&key).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(r.bindings.len(), d.bindings.len() + 1, "{case} {key}: number of bindings");
        let wrong = difference(&r.module, uniform(&r.module), ParamType::Struct(d.params.members()));
        assert_eq!(wrong, None, "{case} {key}: Params");
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .validate(&r.module)
            .unwrap_or_else(|e| panic!("{case} {key}: {:?}", e.into_inner()));
        naga::back::spv::write_vec(&r.module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{case} {key}: SPIR-V: {e}"));
    }
}

#[test]
fn every_shader_file_is_used_by_a_case() {
    let used: BTreeSet<_> = dispatches().iter().map(|d| d.1.kernel.shader).collect();
    for name in unet_wgpu::low_level::kernel::all_shaders() {
        assert!(used.contains(name), "{name}.wgsl: no op case lowers to it");
    }
}
