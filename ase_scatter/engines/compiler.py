"""Options of compilers."""

from __future__ import annotations

import os


def processor_option(march: str) -> str:
    """The option that compiles for one kind of processor.

    Parameters
    ----------
    march : str
        As the compiler's ``-march`` takes it, which is ``-mcpu`` for ARM.

    Returns
    -------
    str
    """
    return f"{'-mcpu' if os.uname().machine in ('aarch64', 'arm64') else '-march'}={march}"
