//! Random networks as a folder of fixtures, which `scripts/check_export.sh` compares with onnxruntime.

use super::generator::Case;
use super::seeds;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use unet_wgpu::low_level::model::{INPUT, whole_graph};
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::testing::random_input;

#[test]
#[ignore = "writes files for scripts/check_random_export.sh"]
fn random_architectures_as_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random_architectures");
    std::fs::create_dir_all(&folder).unwrap();
    let mut cases = Vec::new();
    for seed in seeds(0..20) {
        let case = Case::new(seed);
        let model = case.model().unwrap_or_else(|e| panic!("{case}: {e}"));
        let [n, c, h, w] = case.input;
        // A native file of these fixtures names no target for instances.
        let graph = whole_graph(&*model.architecture, n, h, w).unwrap();
        let input = random_input(&format!("input {seed}"), Shape::new(n, c, h, w)).unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), input.clone())]);
        let outputs = graph.run_reference(&inputs, model.stored(), |_, _| Ok(())).unwrap();
        let weights = model.weights().iter().map(|(name, t)| (format!("param/{name}"), t.clone()));
        let outputs = outputs.into_iter().map(|(name, t)| (format!("out/{name}"), t));
        let tensors: BTreeMap<String, HostTensor> =
            weights.chain(outputs).chain([("input".to_string(), input)]).collect();
        let views = tensors.iter().map(|(name, t)| {
            let view = TensorView::new(Dtype::F32, t.dims().to_vec(), bytemuck::cast_slice(t.data()));
            (name, view.unwrap())
        });
        std::fs::write(folder.join(format!("seed_{seed}.safetensors")), safetensors::serialize(views, None).unwrap())
            .unwrap();
        let case = json!({"arch": case.arch, "config": case.config});
        cases.push(json!({"name": format!("seed_{seed}"), "kind": "model", "case": case}));
    }
    std::fs::write(folder.join("manifest.json"), json!({ "cases": cases }).to_string()).unwrap();
    println!("folder: {}", folder.display());
}
