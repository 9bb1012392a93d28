"""The widget that trains."""

import numpy as np
import pytest
from napari_unet_wgpu import SegmentWidget, TrainWidget, sample_discs
from napari_unet_wgpu._sample import discs
from napari_unet_wgpu._train import UNKNOWN, known_pixels, pieces

WAIT = 300_000


def painted():
    """An image, and labels of its left part as a user paints them: 1 is background, discs from 2 on, the rest unlabelled."""
    image, labels = discs((160, 240), 24, 3)
    paint = np.where(labels > 0, labels + 1, 1)
    paint[:, 130:] = 0
    return image, paint


@pytest.fixture
def widget(qtbot, viewer):
    image, paint = painted()
    viewer.add_image(image, name="image")
    viewer.add_labels(paint, name="paint")
    made = TrainWidget(viewer)
    qtbot.addWidget(made)
    made.steps.setValue(4)
    made.batch.setValue(1)
    made.crop.setValue(64)
    return made


def test_partial_labels():
    labels = np.array([[0, 1, 2], [5, 0, 1]])
    assert known_pixels(labels, True, "labels").tolist() == [[UNKNOWN, 0, 2], [5, UNKNOWN, 0]]
    assert known_pixels(labels, True, "masks").tolist() == [[UNKNOWN, 0, 1], [4, UNKNOWN, 0]]
    assert known_pixels(labels, False, "masks").tolist() == labels.tolist()


def test_pieces_cover_what_is_labelled():
    truth = np.full((100, 300), UNKNOWN)
    truth[10:90, 20:200] = 0
    truth[40:60, 30:60] = 3
    found = pieces(truth, 64)
    assert len(found) >= 2
    seen = np.zeros_like(truth)
    for part in found:
        seen[part] += 1
    assert seen.max() == 1 and (seen[truth != UNKNOWN] == 1).all()


def test_train_then_segment(qtbot, viewer, widget, tmp_path):
    segment = SegmentWidget(viewer)
    qtbot.addWidget(segment)
    with qtbot.waitSignal(widget.run.finished, timeout=WAIT):
        widget.run.button.click()
    assert widget.run.status.text().startswith("Done. dice"), widget.run.status.text()
    path = tmp_path / "mine.safetensors"
    widget.save(str(path))
    assert path.exists() and "Saved" in widget.run.status.text()
    # Four gentle steps from the built-in model: it still finds the discs.
    segment.model.choose("my model")
    assert segment.model.name() == "my model"
    with qtbot.waitSignal(segment.run.finished, timeout=WAIT):
        segment.run.button.click()
    assert "Error" not in segment.run.status.text(), segment.run.status.text()
    mask = viewer.layers["image instances"].data > 0
    truth = discs((160, 240), 24, 3)[1] > 0
    assert (mask & truth).sum() > 0.7 * truth.sum()


def test_cancel_keeps_what_was_evaluated(qtbot, widget):
    widget.steps.setValue(100_000)
    widget.start.box.setCurrentIndex(0)
    assert widget.start.name() is None
    widget.run.button.click()
    qtbot.waitUntil(lambda: "loss" in widget.run.status.text(), timeout=WAIT)
    widget.run.cancel.click()
    qtbot.waitUntil(lambda: widget.run.job is None, timeout=WAIT)
    text = widget.run.status.text()
    assert text == "Cancelled." or text.startswith("Stopped early."), text


def test_messages(qtbot, viewer, widget):
    def error():
        widget.run.button.click()
        qtbot.waitUntil(lambda: widget.run.job is None, timeout=WAIT)
        return widget.run.status.text()

    layer = viewer.layers["paint"]
    layer.data = np.zeros_like(layer.data)
    assert "no pixel is labelled" in error()
    layer.data = np.zeros((10, 10), int)
    assert "of one size" in error()
    layer.data = painted()[1]
    widget.kind.setCurrentText("classes: a number for each class")
    assert "start from new weights" in error()
    viewer.layers.clear()
    assert "needs an image layer" in error()
