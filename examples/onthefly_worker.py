"""A reference with an interpreter of its own: it computes what a run of learning asks for over ASE's socket.

It needs ASE and the calculator, nothing else. The run of learning has a `SocketIOCalculator`:

    reference = SocketIOCalculator(unixsocket="learn")
    found = learn_barrier(start, end, reference, store="run", reference_name="GPAW PBE 350 eV")

and here, in a second terminal, GPAW as Debian installs it computes:

    /usr/bin/python3 examples/onthefly_worker.py start.xyz --socket learn --options gpaw.json

with gpaw.json, for example: {"mode": {"name": "pw", "ecut": 350}, "xc": "PBE", "kpts": {"density": 4, "gamma": true},
"txt": "gpaw.txt"}. Another calculator: --calculator module:Class.
"""

import argparse
import importlib
import json
import sys

from ase.calculators.socketio import SocketClient
from ase.io import read


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Compute what a run of learning asks for, over a socket.")
    parser.add_argument("structure", help="file with the atoms, in the order of the run")
    parser.add_argument("--socket", default="learn", help="name of the unix socket (default: learn)")
    parser.add_argument("--calculator", default="gpaw:GPAW", help="module:Class (default: gpaw:GPAW)")
    parser.add_argument("--options", metavar="FILE", help="JSON: keyword arguments of the calculator")
    parser.add_argument("--no-stress", action="store_true", help="leave stresses out")
    options = parser.parse_args(arguments)
    keywords = {}
    if options.options:
        with open(options.options, encoding="utf-8") as file:
            keywords = json.load(file)
    module, _, name = options.calculator.partition(":")
    atoms = read(options.structure)
    atoms.calc = getattr(importlib.import_module(module), name)(**keywords)
    client = SocketClient(unixsocket=options.socket)
    client.run(atoms, use_stress=not options.no_stress and bool(atoms.pbc.all()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
