"""What ASE's registry of plugins lists: ``ase info --plugins``, from ASE 3.29 on.

The entry point `ase.plugins` names this module. Older versions of ASE never ask for it.
"""

from typing import Any

__ase_plugins__: set[Any] = set()

try:
    from ase._4.plugins.plugin import CalculatorPlugin
except ImportError:
    pass
else:
    __ase_plugins__.add(
        CalculatorPlugin(
            name="scattering",
            citation="P. Sinz et al., J. Chem. Phys. 153, 084109 (2020), doi:10.1063/5.0016020",
            implementation="ase_scatter.calculator.ScatteringCalculator",
        )
    )
