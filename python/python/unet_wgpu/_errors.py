"""The exceptions of the package."""

from __future__ import annotations


class UnetError(Exception):
    """Base class of all exceptions of this package. The text is one line that names what it is about."""


class InvalidArgumentError(UnetError, ValueError):
    """An argument, or a combination of them, is wrong.

    Attributes
    ----------
    what : str
        The argument or what it describes.
    reason : str
        What is wrong with it.
    """

    what: str = ""
    reason: str = ""


class ImageShapeError(UnetError, ValueError):
    """An array does not have the shape of an image.

    Attributes
    ----------
    shape : tuple of int
        The shape of the array.
    """

    shape: tuple[int, ...] = ()


class ImageTypeError(UnetError, TypeError):
    """An array's dtype does not hold samples of an image, or an object is no array."""


class InvalidFileError(UnetError, ValueError):
    """A file was read but its content is invalid.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        What is wrong with it.
    """

    path: str = ""
    reason: str = ""


class FileAccessError(UnetError, OSError):
    """A file could not be read or written.

    Attributes
    ----------
    path : str
        The file or folder.
    errno : int or None
        The system's error number.
    """

    path: str = ""


class MissingFileError(FileAccessError, FileNotFoundError):
    """A file does not exist.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        More about it, if there is more.
    """

    reason: str = ""


class ParameterError(UnetError, ValueError):
    """A parameter of a checkpoint is missing, or has another shape than the network needs.

    Attributes
    ----------
    key : str
        The name of the parameter.
    """

    key: str = ""


class UnsupportedModelError(UnetError, ValueError):
    """An operation of a network does not support the given shapes or attributes."""


class DeviceNotFoundError(UnetError, RuntimeError):
    """There is no GPU driver, or no device of the requested name.

    Attributes
    ----------
    available : list of str
        The devices that there are, each as ``index: name``.
    """

    available: list[str] = []


class DeviceError(UnetError, RuntimeError):
    """The GPU or its driver failed. A lost device is opened again by itself; if that fails, the next call tries again."""


class LimitError(UnetError, MemoryError):
    """Something exceeds a limit of the device or the ``memory`` argument.

    Attributes
    ----------
    needed, limit : str
        What is needed and what there is, with units.
    """

    needed: str = ""
    limit: str = ""


class CancelledError(UnetError):
    """The work was cancelled."""


class NotRequestedError(UnetError, AttributeError):
    """A result was not computed, since the call did not ask for it."""
