"""The errors that a user can cause, each one raised with a sentence that says what to do."""


class InputError(ValueError):
    """Something the user gave cannot be used: a structure, a data file, an option."""


class UnknownElementError(InputError):
    """An element that the model has not been trained for."""


class ModelFileError(InputError):
    """A file that is not a model, is damaged, or was written by a newer version."""


class DeviceError(RuntimeError):
    """The device that was asked for is not there."""


class DataWarning(UserWarning):
    """Data that a potential is fitted to are very likely wrong."""


class ExtrapolationWarning(UserWarning):
    """What was computed is uncertain, or unlike what the model was trained on."""
