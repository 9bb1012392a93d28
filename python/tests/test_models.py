"""Models, devices, evaluation, training."""

import numpy as np
import pytest
import unet_wgpu
from conftest import read_safetensors
from unet_wgpu import Model, segment


def test_inspect_is_the_programs(program):
    for name in ["nuclei", "nuclei-unet3+"]:
        theirs = program("inspect", name)
        ours = Model.open(name).inspect()
        shared = ours.keys() & theirs.keys() - {"receptive_field", "import"}
        assert len(shared) >= 14
        for key in shared:
            assert ours[key] == theirs[key], key
        assert theirs["receptive_field"].startswith(f"{ours['receptive_field']['pixels']} pixels")
    assert Model.open("nuclei").inspect((512, 640))["size"] == [512, 640]


def test_convert(cells, tmp_path, two_classes):
    model = Model.open(two_classes)
    expected = model.segment(cells).labels
    assert expected.max() > 1
    onnx, again = tmp_path / "nuclei.onnx", tmp_path / "again.safetensors"
    assert model.convert(onnx) == onnx.stat().st_size
    np.testing.assert_array_equal(Model.open(onnx).segment(cells, instances="watershed").mask, model.segment(cells).mask)
    Model.open(onnx).convert(again)
    np.testing.assert_array_equal(segment(cells, again).labels, expected)
    half = tmp_path / "half.safetensors"
    assert model.convert(half, f16=True) < 0.6 * again.stat().st_size
    with pytest.raises(unet_wgpu.InvalidFileError, match="would replace"):
        Model.open(again).convert(again)
    with pytest.raises(unet_wgpu.InvalidFileError, match="extension"):
        model.convert(tmp_path / "nuclei.h5")


def test_geometry_in_onnx_is_for_other_programs(tmp_path):
    onnx = tmp_path / "nuclei.onnx"
    Model.open("nuclei").convert(onnx)
    with pytest.raises(unet_wgpu.InvalidFileError, match="multi cannot be read from an ONNX network"):
        Model.open(onnx)


def test_from_torch(cells, two_classes):
    state = read_safetensors(two_classes)[0]
    model = Model.from_torch(state)
    assert model.in_channels == 1 and model.assumed
    rule = "percentile:1,99.8:0,1.5"
    expected = segment(cells, two_classes, probability=True)
    found = model.segment(cells, normalise=rule, probability=True)
    np.testing.assert_array_equal(found.probability, expected.probability)
    assert model.name == "state dict"
    with pytest.raises(ValueError, match="does not state the one .*; scale= resizes"):
        model.segment(cells, diameter=3)

    class Module:
        def state_dict(self):
            return state

    np.testing.assert_array_equal(Model.from_torch(Module()).segment(cells, normalise=rule).mask, expected.mask)
    with pytest.raises(ValueError, match="int is neither a torch module nor a state dict"):
        Model.from_torch(3)
    with pytest.raises(ValueError, match="`a`: str is no tensor"):
        Model.from_torch({"a": "b"})
    del state[next(k for k in state if k.endswith("conv1.weight"))]
    with pytest.raises(unet_wgpu.UnetError, match="conv1.weight|names"):
        Model.from_torch(state)


def test_from_a_torch_module(cells, two_classes):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(value) for name, value in read_safetensors(two_classes)[0].items()}
    rule = "percentile:1,99.8:0,1.5"
    found = Model.from_torch(state).segment(cells, normalise=rule)
    np.testing.assert_array_equal(found.mask, segment(cells, two_classes).mask)


@pytest.mark.parametrize("name", ["nuclei", "nuclei-unet++", "nuclei-unet3+"])
def test_a_state_dict_and_back(name, cells):
    model = Model.open(name)
    state = model.to_torch_state_dict()
    for value in state.values():
        value[...] = value + 0  # its owner may write to it
    again = Model.from_torch(state)
    about, expected = again.inspect(), model.inspect()
    for key in expected.keys() - {"model"}:
        assert about[key] == expected[key], key
    assert again.assumed == []
    a, b = (m.segment(cells, probability=True) for m in (again, model))
    np.testing.assert_array_equal(a.probability, b.probability)
    np.testing.assert_array_equal(a.labels, b.labels)
    second = again.to_torch_state_dict()
    assert list(second) == list(state)
    for key in state:
        np.testing.assert_array_equal(np.asarray(second[key]), np.asarray(state[key]), err_msg=key)


def test_a_replaced_file_is_read_again(cells, tmp_path):
    path = tmp_path / "model.safetensors"
    Model.open("nuclei").convert(path)
    before = segment(cells, path, probability=True).probability
    Model.open("nuclei-unet3+").convert(path)
    after = segment(cells, path, probability=True).probability
    assert before.shape == after.shape and not np.array_equal(before, after)


def test_devices():
    found = unet_wgpu.devices()
    assert found[-1]["device"] == "cpu" and found[-1]["backend"] is None
    assert sum(d["auto"] for d in found) == (len(found) > 1)
    # The CPU reference agrees with the GPU.
    image = np.zeros((48, 48), np.uint16)
    image[16:32, 16:32] = 500
    np.testing.assert_array_equal(segment(image, device="cpu").labels, segment(image).labels)


def test_selftest():
    report = unet_wgpu.selftest(filter="sigmoid")
    assert report["failed"] == 0 < report["passed"]
    assert len(report["checks"]) == report["passed"] + report["skipped"]


def discs(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.int32)
    for i, (cy, cx) in enumerate([(16, 16), (16, 46), (46, 20), (46, 46)], 1):
        cy, cx = cy + rng.integers(-4, 5), cx + rng.integers(-4, 5)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 64] = i
    return (rng.normal(200, 10, (64, 64)) + 1500 * (labels > 0)).astype(np.uint16), labels


def test_evaluate_is_the_programs(program, tmp_path):
    pairs = [discs(i) for i in range(3)]
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i, (image, labels) in enumerate(pairs):
        np.save(tmp_path / "images" / f"image_{i:06}.npy", image)
        np.save(tmp_path / "labels" / f"image_{i:06}.npy", labels)
    theirs = program("eval", "--data", tmp_path)
    ours = unet_wgpu.evaluate(pairs)
    assert ours["instances"]["true"] == 12
    for key in ours.keys() - {"device", "model", "notes"}:
        assert ours[key] == theirs[key], key
    of_folder = unet_wgpu.evaluate(tmp_path)
    assert of_folder["instances"] == ours["instances"]
    as_masks = unet_wgpu.evaluate([(i, l > 0) for i, l in pairs], ground_truth="masks")
    assert "instances" not in as_masks and as_masks["mean_dice"] == ours["mean_dice"]


SMALL = {"steps": 4, "eval_every": 2, "crop": 32, "batch": 2, "config": {"width": 4, "depth": 2, "padding": "same"}, "seed": 3}


def test_train(tmp_path):
    pairs = [discs(i) for i in range(5)]
    images, labels = [p[0] for p in pairs], [p[1] for p in pairs]
    events = []
    model = Model.train(images, labels, SMALL, events.append, out=tmp_path / "run")
    assert events[0]["event"] == "ready" and events[0]["training_images"] == 4
    steps = [e for e in events if e["event"] == "step"]
    assert [e["step"] for e in steps] == [1, 2, 3, 4] and all(np.isfinite(e["loss"]) for e in steps)
    assert [e["step"] for e in events if e["event"] == "evaluated"] == [2, 4]
    assert (tmp_path / "run" / "config.toml").exists()
    assert model.inspect()["config"]["width"] == 4
    assert model.segment(images[0], instances=False).mask.shape == (64, 64)

    longer = []
    Model.train(images, labels, {**SMALL, "steps": 6}, longer.append, out=tmp_path / "run", resume=True)
    assert [e["step"] for e in longer if e["event"] == "step"] == [5, 6]


def test_training_stops_when_told(tmp_path):
    pairs = [discs(i) for i in range(5)]
    steps = []

    def callback(event):
        if event["event"] == "step":
            steps.append(event["step"])
        return len(steps) < 3

    model = Model.train(*zip(*pairs), {**SMALL, "steps": 10_000, "eval_every": 2}, callback)
    assert len(steps) < 1000 and model.classes

    def fails(event):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        Model.train(*zip(*pairs), {**SMALL, "steps": 10_000}, fails)
