"""Draws the picture of the manual: `xvfb-run python integrations/napari/screenshot.py docs/images/napari.png`."""

import sys

import napari
from napari_unet_wgpu import sample_discs
from qtpy.QtWidgets import QApplication


def main(path: str) -> None:
    viewer = napari.Viewer(show=False)
    (data, options, _), *_ = sample_discs()
    viewer.add_image(data, **options)
    _, train = viewer.window.add_plugin_dock_widget("napari-unet-wgpu", "Train on labels", tabify=False)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unet-wgpu", "Segment", tabify=True)
    viewer.window._qt_window.resize(1400, 900)
    viewer.window._qt_window.show()
    dock.raise_()
    widget.run.button.click()
    while widget.run.job is not None:
        QApplication.processEvents()
    viewer.layers[-1].opacity = 0.5
    widget.table.view.selectRow(3)
    for _ in range(50):
        QApplication.processEvents()
    viewer.reset_view()
    # Only the PNG file is wanted, not a flash of the window.
    viewer.screenshot(path, canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main(sys.argv[1])
