"""The widget that segments."""

import csv

import numpy as np
import pytest
import unet_wgpu
from napari_unet_wgpu import SegmentWidget, sample_discs, sample_stack

WAIT = 120_000


@pytest.fixture
def widget(qtbot, viewer, open_sample):
    def make(sample=None):
        if sample is not None:
            open_sample(sample)
        made = SegmentWidget(viewer)
        qtbot.addWidget(made)
        return made

    return make


def finish(qtbot, widget):
    """Presses the button and waits for the result."""
    with qtbot.waitSignal(widget.run.finished, timeout=WAIT):
        widget.run.button.click()
    assert "Error" not in widget.run.status.text(), widget.run.status.text()


def error(qtbot, widget):
    """Presses the button and waits for an error; returns its text."""
    widget.run.button.click()
    qtbot.waitUntil(lambda: widget.run.job is None, timeout=WAIT)
    text = widget.run.status.text()
    assert text.startswith("<b>Error:</b> "), text
    return text


def test_labels_are_those_of_the_package(qtbot, viewer, widget):
    made = widget(sample_discs)
    image = viewer.layers["discs"]
    image.translate, image.rotate = (3, 5), 20
    finish(qtbot, made)
    layer = viewer.layers["discs instances"]
    expected = unet_wgpu.segment(image.data)
    np.testing.assert_array_equal(layer.data, expected.labels)
    assert expected.count > 60 and f"{expected.count} instances" in made.run.status.text()
    # The result lies on its image, also after it was moved.
    for corner in [(0, 0), (383, 0), (100, 511)]:
        np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(corner))
    assert made.device.line.text() == expected.device

    table = expected.table()
    np.testing.assert_array_equal(layer.features["area"], table["area"])
    assert layer.features["index"].tolist() == list(range(1, expected.count + 1))
    model = made.table.view.model()
    assert (model.rowCount(), model.columnCount()) == (expected.count, len(table))


def test_the_table_is_saved_and_leads_to_instances(qtbot, viewer, widget, tmp_path):
    made = widget(sample_discs)
    finish(qtbot, made)
    made.table.save(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = unet_wgpu.segment(viewer.layers["discs"].data).table()
    assert [float(r["centroid_x"]) for r in rows] == table["centroid_x"].tolist()
    made.table.chosen.emit(4)
    layer = viewer.layers["discs instances"]
    assert layer.selected_label == 5
    np.testing.assert_allclose(viewer.camera.center[-2:], [table["centroid_y"][4], table["centroid_x"][4]])


def test_the_shown_plane_of_a_stack(qtbot, viewer, widget):
    made = widget(sample_stack)
    image = viewer.layers["stack"]
    viewer.dims.set_current_step(0, 3)
    finish(qtbot, made)
    layer = viewer.layers["stack instances"]
    expected = unet_wgpu.segment(image.data[3], pixel_size=0.325)
    assert layer.data.shape == (1, 192, 256)
    np.testing.assert_array_equal(layer.data[0], expected.labels)
    np.testing.assert_allclose(layer.data_to_world((0, 7, 9)), image.data_to_world((3, 7, 9)))
    np.testing.assert_allclose(layer.features["area_um2"], layer.features["area"] * 0.325**2)


def test_all_planes_of_a_stack(qtbot, viewer, widget):
    made = widget(sample_stack)
    made.every.setChecked(True)
    made.probability.setChecked(True)
    finish(qtbot, made)
    image, layer = viewer.layers["stack"], viewer.layers["stack instances"]
    assert layer.data.shape == image.data.shape
    np.testing.assert_allclose(layer.scale, image.scale)
    numbers = np.unique(layer.data)
    assert numbers.tolist() == list(range(len(numbers))), "numbers are unique in the stack"
    for k in range(5):
        expected = unet_wgpu.segment(image.data[k])
        np.testing.assert_array_equal(layer.data[k] > 0, expected.labels > 0)
        assert (layer.features["plane_0"] == k).sum() == expected.count
    assert viewer.layers["stack probability"].data.shape == image.data.shape


def test_channels(qtbot, viewer, widget):
    image = sample_discs()[0][0]
    dark = np.full_like(image, 300)
    viewer.add_image((np.stack([dark, image, dark], -1) // 16).astype(np.uint8), rgb=True, name="colour")
    made = widget()
    assert [made.channel.itemText(i) for i in range(made.channel.count())] == ["all", "red", "green", "blue"]
    made.channel.setCurrentText("green")
    finish(qtbot, made)
    expected = unet_wgpu.segment((image // 16).astype(np.uint8))
    np.testing.assert_array_equal(viewer.layers["colour instances"].data, expected.labels)
    # A network of one channel refuses two, in words.
    viewer.add_image(np.stack([image, dark]), name="two")
    made.layer.choose(viewer.layers["two"])
    made.channel.setCurrentText("axis 0 (2 channels)")
    assert "2 channels" in error(qtbot, made)
    # The plane shown is a channel.
    made.channel.setCurrentText("as it is")
    viewer.dims.set_current_step(0, 0)
    finish(qtbot, made)
    np.testing.assert_array_equal(viewer.layers["two instances"].data[0], unet_wgpu.segment(image).labels)


def test_options(qtbot, viewer, widget, tmp_path):
    made = widget(sample_discs)
    path = tmp_path / "own.safetensors"
    unet_wgpu.Model.open("nuclei-unet++").convert(path)
    made.model.add_file(str(path))
    made.instances.setCurrentText("watershed")
    made.tile.setValue(256)
    made.diameter.setText("18")
    finish(qtbot, made)
    image = viewer.layers["discs"].data
    expected = unet_wgpu.segment(image, path, instances="watershed", tile=256, diameter=18)
    np.testing.assert_array_equal(viewer.layers["discs instances"].data, expected.labels)
    made.instances.setCurrentText("none: classes only")
    finish(qtbot, made)
    np.testing.assert_array_equal(viewer.layers["discs classes"].data, expected.mask)
    assert made.table.columns == {}
    # The other widget's box has the file too.
    assert made.model.box.findText("own.safetensors") >= 0


def test_cancel(qtbot, viewer, widget):
    viewer.add_image(np.tile(sample_discs()[0][0], (4, 4)), name="large")
    made = widget()
    made.tile.setValue(256)
    made.run.button.click()
    assert not made.run.button.isEnabled()
    qtbot.waitUntil(lambda: made.run.bar.value() > 0, timeout=WAIT)
    made.run.cancel.click()
    qtbot.waitUntil(lambda: made.run.job is None, timeout=WAIT)
    assert made.run.status.text() == "Cancelled." and len(viewer.layers) == 1
    assert made.run.button.isEnabled() and not made.run.cancel.isEnabled()


def test_messages(qtbot, viewer, widget):
    made = widget()
    assert "open an image first" in error(qtbot, made)
    layer = viewer.add_image(np.full((64, 64), np.nan, np.float32), name="nothing")
    assert "NaN" in error(qtbot, made)
    viewer.layers.remove(layer)
    viewer.add_image(np.zeros((3, 40, 40, 40), np.uint8), name="4-D")
    viewer.dims.ndisplay = 3
    assert "switch it to 2D" in error(qtbot, made)
    viewer.dims.ndisplay = 2
    viewer.dims.order = (3, 0, 1, 2)
    assert "roll them back" in error(qtbot, made)
    made.diameter.setText("big")
    viewer.dims.order = (0, 1, 2, 3)
    assert "big" in error(qtbot, made)


def test_layers_come_and_go(viewer, widget):
    made = widget()
    assert made.layer.layer() is None
    first = viewer.add_image(np.zeros((32, 32)), name="a")
    viewer.add_labels(np.zeros((32, 32), int))
    second = viewer.add_image(np.zeros((32, 32, 3), np.uint8), name="b")
    assert made.layer.count() == 2 and made.layer.layer() is first
    made.layer.choose(second)
    second.name = "renamed"
    assert made.layer.currentText() == "renamed" and made.channel.count() == 4
    viewer.layers.remove(first)
    assert made.layer.layer() is second


def test_a_closed_widget_ends_its_work(qtbot, viewer):
    viewer.add_image(np.tile(sample_discs()[0][0], (4, 4)), name="large")
    made = SegmentWidget(viewer)
    made.tile.setValue(256)
    made.run.button.click()
    job = made.run.job
    made.close()
    made.deleteLater()
    qtbot.waitUntil(lambda: job.is_cancelled, timeout=WAIT)
    assert job.wait(60)
