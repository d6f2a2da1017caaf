"""The atom-centred transform in plain array code: NumPy, CuPy, or anything like them.

PaddedEnvironments are padded to the same number of neighbours, so that everything is a batched matrix product
or elementwise. This is the reference for the compiled passes, what runs on a device, and what makes the
derivatives of every column, for training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compute.backend import Array, Backend
from ...compute.functions import modulus, switched
from ...structures.neighbors import Neighbors
from ...structures.system import System
from ..harmonics import solid_harmonics_of
from .columns import Field, Term
from .plan import Layout, clamp


class _Pairs(NamedTuple):
    """Environments of all atoms, padded to n_most neighbours.

    Parameters
    ----------
    vectors : array, shape (N, n_most, 3)
        Vectors of the pairs in Å; of padding, far outside the cutoff.
    held : array, shape (N, n_most, 3)
        Vectors at which functions are taken in Å: `plan.clamp` of the distance, in the same direction.
    scale : array, shape (N, n_most), optional
        f/r of the clamp f; None where f = r for all pairs.
    bend : array, shape (N, n_most), optional
        (f′ − f/r)/f² per Å²; None where f = r for all pairs.
    neighbor : array of int, shape (N, n_most)
        The other atom; of padding, the centre.
    reverse : array of int, shape (N, n_most)
        Where the way back stands in a flattened table of all pairs.
    real : array, shape (N, n_most)
        1, or 0 for padding.
    """

    vectors: Array
    held: Array
    scale: Array | None
    bend: Array | None
    neighbor: Array
    reverse: Array
    real: Array


def _padded(system: System, neighbors: Neighbors, cutoff: float) -> tuple[NDArray[Any], ...]:
    """Vectors, neighbours, reverse and whether real, on the host, without what is beyond the cutoff."""
    n = len(system)
    counts = np.diff(neighbors.first)
    i = np.repeat(np.arange(n), counts)
    vectors = system.positions[neighbors.second] - system.positions[i] + neighbors.shifts @ system.cell
    near = np.einsum("pa,pa->p", vectors, vectors) < cutoff**2
    counts = np.bincount(i[near], minlength=n)
    most = max(1, int(counts.max(initial=1)))
    first = np.concatenate([[0], np.cumsum(counts)])
    i = i[near]
    place = i * most + np.arange(len(i)) - first[i]
    where = np.zeros(neighbors.n_pairs, dtype=np.int64)
    where[near] = place
    padded = np.full((n * most, 3), 2.0 * cutoff)
    padded[place] = vectors[near]
    second = np.repeat(np.arange(n), most)
    second[place] = neighbors.second[near]
    reverse = np.arange(n * most)
    reverse[place] = where[neighbors.reverse[near]]
    real = np.zeros(n * most)
    real[place] = 1.0
    shape = (n, most)
    return padded.reshape(n, most, 3), second.reshape(shape), reverse.reshape(shape), real.reshape(shape)


class PaddedEnvironments:
    """One structure under one plan: forward, adjoint and what the Jacobian needs.

    Parameters
    ----------
    layout : Layout
        Tables of the transform.
    system : System
        The structure.
    neighbors : Neighbors
        Pairs of atoms within the cutoff, or farther.
    kind : ndarray of int, shape (N,)
        Which of the elements each atom is.
    backend : Backend
        Where the arrays are.
    dtype : str
        "float64" or "float32".
    """

    def __init__(
        self,
        layout: Layout,
        system: System,
        neighbors: Neighbors,
        kind: NDArray[Any],
        backend: Backend,
        dtype: str,
    ) -> None:
        self.layout = layout
        self.plan = plan = layout.plan
        self.backend = backend
        self.xp = backend.xp
        self.dtype = dtype
        self.n = len(system)
        self.kind = kind
        vectors, second, reverse, real = _padded(system, neighbors, plan.cutoff)
        self.neighbor = second
        r = np.sqrt(np.einsum("nma,nma->nm", vectors, vectors))
        f, rise = clamp(r, plan.closest[kind[:, None], kind[second]])
        scale = f / r
        bent = bool((f > r).any())
        self.pairs = _Pairs(
            backend.to_device(vectors, dtype),
            backend.to_device(vectors * scale[:, :, None], dtype),
            backend.to_device(scale, dtype) if bent else None,
            backend.to_device((rise - scale) / f**2, dtype) if bent else None,
            backend.to_device(second),
            backend.to_device(reverse),
            backend.to_device(real, dtype),
        )
        charges = plan.charges[:, kind[second]] * real
        self.charges = backend.to_device(charges.transpose(1, 0, 2), dtype)  # (N, channels, n_most)
        # Which wavelet and which harmonic each pair function φ_λm is made of.
        self._wavelet = np.repeat(np.arange(len(plan.l)), 2 * plan.l + 1)
        self._harmonic = np.concatenate([np.arange(l * l, (l + 1) ** 2) for l in plan.l])

    # ---- pair functions -------------------------------------------------------------------------

    def _functions(self, which: slice) -> tuple[Array, Array, Array, Array]:
        """ρ and its derivative over r, over r, (n, n_wavelets, n_most); Y and ∇Y of these atoms."""
        xp, plan = self.xp, self.plan
        vectors = self.pairs.held[which]
        square = (vectors * vectors).sum(axis=2)
        r = xp.sqrt(square)
        fade, fade_slope = switched((r - (plan.cutoff - plan.switch)) * (1.0 / plan.switch), xp)
        fade_slope *= 1.0 / (plan.switch * r)
        values, slopes = [], []
        for row, scale in zip(plan.polynomial, plan.scale, strict=True):
            inverse = float(plan.betas[scale] ** -2)
            s = square * inverse
            envelope = xp.exp(-0.5 * s)
            value, rise = float(row[-1]) * xp.ones_like(s), 0.0 * s
            for coefficient in row[-2::-1]:
                rise = rise * s + value
                value = value * s + float(coefficient)
            values.append(fade * envelope * value)
            slopes.append(fade * envelope * ((2.0 * rise - value) * inverse) + fade_slope * envelope * value)
        harmonics, gradients = solid_harmonics_of(vectors, plan.l_max, xp)
        return xp.stack(values, axis=1), xp.stack(slopes, axis=1), harmonics, gradients

    def _phi(self, which: slice) -> Array:
        """φ_λm (n, n_phi, n_most)."""
        rho, _, harmonics, _ = self._functions(which)
        return rho[:, self.index(self._wavelet)] * harmonics[:, self.index(self._harmonic)]

    def index(self, indices: NDArray[Any]) -> Array:
        """Move indices to the device.

        Parameters
        ----------
        indices : ndarray of int
            Any shape.

        Returns
        -------
        array of int
            The same on the device.
        """
        return self.backend.to_device(np.asarray(indices, dtype=np.int64))

    def gradient_of_phi(self, which: slice) -> tuple[Array, Array]:
        """Evaluate the pair functions φ_λm and their gradients at the pairs of some atoms.

        Parameters
        ----------
        which : slice or array of int
            The n atoms.

        Returns
        -------
        phi : array, shape (n, n_phi, n_most)
            φ.
        gradient : array, shape (n, n_phi, 3, n_most)
            ∂φ/∂r_ij, per Å.
        """
        rho, slope, harmonics, gradients = self._functions(which)
        wavelet, harmonic = self.index(self._wavelet), self.index(self._harmonic)
        rho, slope = rho[:, wavelet], slope[:, wavelet]
        y = harmonics[:, harmonic]
        vectors = self.pairs.held[which].transpose(0, 2, 1)
        gradient = rho[:, :, None] * gradients[:, harmonic] + (slope * y)[:, :, None] * vectors[:, None]
        if self.pairs.scale is not None and self.pairs.bend is not None:
            along = (gradient * vectors[:, None]).sum(axis=2) * self.pairs.bend[which][:, None]
            gradient = (
                gradient * self.pairs.scale[which][:, None, None] + along[:, :, None] * vectors[:, None]
            )
        return rho * y, gradient

    # ---- fields ---------------------------------------------------------------------------------

    def fields(self) -> tuple[Array, Array, Array]:
        """Convolve, and take the moduli that are convolved again.

        Returns
        -------
        phi : array, shape (N, n_phi, n_most)
            The pair functions.
        a : array, shape (N, n_channels·n_phi)
            A, normalised.
        g : array, shape (N, n_sources)
            The moduli g.
        """
        xp, plan = self.xp, self.plan
        phi = self._phi(slice(None))
        a = xp.matmul(self.charges, phi.transpose(0, 2, 1)) * self.backend.to_device(plan.scale_a, self.dtype)
        a = a.reshape(self.n, -1)
        return phi, a, self._messages(a)

    def _messages(self, a: Array) -> Array:
        """g (N, n_sources) of the fields that are convolved again."""
        xp, plan = self.xp, self.plan
        g = xp.zeros((self.n, len(plan.source)), dtype=self.dtype)
        for s, row in enumerate(plan.source.tolist()):
            at, size = plan.moduli[row].tolist()
            part = a[:, at : at + size]
            g[:, s], _ = modulus((part * part).sum(axis=1) + plan.epsilon2, 1.0, plan.epsilon2, xp)
        return g

    def received(self, g: Array) -> Array:
        """Look up what each atom receives from its neighbours.

        Parameters
        ----------
        g : array, shape (N, n_sources)
            The moduli g.

        Returns
        -------
        array, shape (N, n_sources, n_most)
            g of the neighbours, 0 for padding.
        """
        return g[self.pairs.neighbor].transpose(0, 2, 1) * self.pairs.real[:, None]

    def second(self, phi: Array, g: Array) -> Array:
        """Convolve the moduli g once more.

        Parameters
        ----------
        phi : array, shape (N, n_phi, n_most)
            The pair functions.
        g : array, shape (N, n_sources)
            The moduli g.

        Returns
        -------
        array, shape (N, n_sources·n_outer)
            B, normalised.
        """
        plan = self.plan
        outer = phi[:, : plan.n_outer].transpose(0, 2, 1)
        b = self.xp.matmul(self.received(g), outer) * self.backend.to_device(plan.scale_b, self.dtype)
        return b.reshape(self.n, -1)

    # ---- terms ----------------------------------------------------------------------------------

    def invariants(self, a: Array, b: Array) -> Iterator[tuple[Term, Array, list[tuple[Any, Array]]]]:
        """Evaluate every term and its derivatives with respect to the fields.

        Parameters
        ----------
        a : array, shape (n, n_channels·n_phi)
            A of some atoms.
        b : array, shape (n, n_sources·n_outer)
            B of these atoms.

        Yields
        ------
        term : Term
            A term.
        values : array, shape (n,)
            Its values at the atoms.
        slopes : list of (Field or (Field, Wavelet), array of shape (n, 2l + 1))
            Fields of order 1 or 2, and the derivatives with respect to them.
        """
        xp, layout, epsilon2 = self.xp, self.layout, self.plan.epsilon2

        def of(key: Any) -> Array:
            if isinstance(key, Field):
                at, size = layout.fields[key]
                return a[:, at : at + size]
            at, size = layout.pairs[key]
            return b[:, at : at + size]

        squares: dict[Any, Array] = {}
        for kind in ("modulus", "modulus2"):
            for term in layout.terms[kind]:
                key: Any = term.fields[0] if kind == "modulus" else (term.fields[0], term.second)
                field = of(key)
                if key not in squares:
                    squares[key] = (field * field).sum(axis=1) + epsilon2
                assert term.exponent is not None
                value, slope = modulus(squares[key], term.exponent, epsilon2, xp)
                yield term, value, [(key, (2.0 * slope)[:, None] * field)]
        for kind in ("cross", "cross2"):
            for term in layout.terms[kind]:
                one: Any = term.fields[0] if kind == "cross" else (term.fields[0], term.second)
                two = term.fields[1]
                yield term, (of(one) * of(two)).sum(axis=1), [(one, of(two)), (two, of(one))]
        if layout.terms["triple"]:
            directions = self.backend.to_device(self.plan.directions, self.dtype)
            areas = self.backend.to_device(self.plan.areas, self.dtype)
            sphere: dict[Field, tuple[Array, Array]] = {}
            for term in layout.terms["triple"]:
                for f in term.fields:
                    if f not in sphere:
                        l = f.wavelet.l
                        y = directions[l * l : (l + 1) * (l + 1)]
                        sphere[f] = xp.matmul(of(f), y), (y * areas).T
            for term in layout.terms["triple"]:
                x, y, z = (sphere[f][0] for f in term.fields)
                products = (y * z, x * z, x * y)
                yield (
                    term,
                    xp.matmul(x * products[0], areas),
                    [(f, xp.matmul(p, sphere[f][1])) for f, p in zip(term.fields, products, strict=True)],
                )

    def features(self) -> Iterator[tuple[Term, NDArray[Any]]]:
        """Evaluate every term.

        Yields
        ------
        term : Term
            A term.
        values : ndarray, shape (N,)
            Its values at the atoms, on the host.
        """
        phi, a, g = self.fields()
        b = self.second(phi, g)
        for term, values, _ in self.invariants(a, b):
            yield term, self.backend.to_host(values)

    def evaluate(
        self, weights: dict[Term, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Evaluate the energy and its derivatives.

        Parameters
        ----------
        weights : dict of Term to ndarray, shape (n_elements,)
            Weights in eV of each term and element.

        Returns
        -------
        energies : ndarray, shape (N,)
            Energies of the atoms in eV.
        forces : ndarray, shape (N, 3)
            In eV/Å.
        strain : ndarray, shape (3, 3)
            Strain gradient in eV.
        """
        xp, plan, backend = self.xp, self.plan, self.backend
        phi, a, g = self.fields()
        b = self.second(phi, g)
        energies = xp.zeros(self.n, dtype=self.dtype)
        d_a, d_b = xp.zeros(a.shape, dtype=self.dtype), xp.zeros(b.shape, dtype=self.dtype)
        for term, values, slopes in self.invariants(a, b):
            w = backend.to_device(weights[term][self.kind], self.dtype)
            energies += w * values
            for key, slope in slopes:
                at, size = self.layout.fields[key] if isinstance(key, Field) else self.layout.pairs[key]
                target = d_a if isinstance(key, Field) else d_b
                target[:, at : at + size] += w[:, None] * slope
        n_sources, n_outer = len(plan.source), plan.n_outer
        outer = phi[:, :n_outer]
        d_b = d_b.reshape(self.n, n_sources, n_outer) * backend.to_device(plan.scale_b, self.dtype)
        if n_sources:
            # What the neighbours' messages do here, looked up from the neighbours' side.
            back = xp.matmul(d_b, outer).transpose(0, 2, 1).reshape(-1, n_sources)
            d_g = (back[self.pairs.reverse] * self.pairs.real[:, :, None]).sum(axis=1)
            for s, row in enumerate(plan.source.tolist()):
                at, size = plan.moduli[row].tolist()
                slope = a[:, at : at + size] * (d_g[:, s] / (g[:, s] + plan.epsilon2**0.5))[:, None]
                d_a[:, at : at + size] += slope
        d_a = d_a.reshape(self.n, -1, plan.n_phi) * backend.to_device(plan.scale_a, self.dtype)
        d_phi = xp.matmul(d_a.transpose(0, 2, 1), self.charges)
        if n_sources:
            d_phi[:, :n_outer] += xp.matmul(d_b.transpose(0, 2, 1), self.received(g))
        _, gradient = self.gradient_of_phi(slice(None))
        force = (gradient * d_phi[:, :, None]).sum(axis=1).transpose(0, 2, 1)  # (N, n_most, 3)
        force *= self.pairs.real[:, :, None]
        flat = force.reshape(-1, 3)
        forces = (force - flat[self.pairs.reverse] * self.pairs.real[:, :, None]).sum(axis=1)
        strain = xp.matmul(flat.T, self.pairs.vectors.reshape(-1, 3))
        return (
            backend.to_host(energies).astype(np.float64),
            backend.to_host(forces).astype(np.float64),
            backend.to_host(strain).astype(np.float64),
        )
