"""The table of instances."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QPushButton, QTableView, QVBoxLayout, QWidget


class _Columns(QAbstractTableModel):
    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__()
        self.names = list(columns)
        self.columns = [np.asarray(c) for c in columns.values()]

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        return len(self.columns[0]) if self.columns and not parent.isValid() else 0

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self.columns[index.column()][index.row()]
        return f"{value:.6g}" if isinstance(value, np.floating) else str(value)

    def headerData(self, at: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self.names[at] if orientation == Qt.Orientation.Horizontal else None


class Table(QWidget):
    """Measurements of instances; a click on a row tells which one."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.columns: dict[str, Any] = {}
        self.view = QTableView()
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.clicked.connect(lambda index: self.chosen.emit(index.row()))
        self.button = QPushButton("Save table…")
        self.button.clicked.connect(self._browse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        column.addWidget(self.button)
        self.show_columns({})

    def show_columns(self, columns: dict[str, Any]) -> None:
        self.columns = columns
        self._model = _Columns(columns)
        self.view.setModel(self._model)
        self.view.resizeColumnsToContents()
        self.button.setEnabled(bool(columns))

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", "instances.csv", "Tables (*.csv)")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the table as CSV, unrounded."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(zip(*(np.asarray(c).tolist() for c in self.columns.values())))
