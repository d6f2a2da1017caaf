"""Atomic-orbital wavelets: isotropic harmonic-oscillator functions, in real and in Fourier space.

    ψ^β_plm(u) = β^{-3/2} K_pl x^l L_p^{(l+1/2)}(x²) e^{-x²/2} Y_lm(û),   x = |u|/β,
    K_pl = [2 p! / Γ(p+l+3/2)]^{1/2},   so that ∫ψ² = 1.

They are their own Fourier transforms:

    ∫ψ e^{-ik·u} du = (2π)^{3/2} β^{3/2} (−1)^p (−i)^l K_pl y^l L_p^{(l+1/2)}(y²) e^{-y²/2} Y_lm(k̂),
    y = β|k|.

Both are a radial profile in s = x² (or y²) times the solid harmonic of the scaled vector, which is how
they are computed: nothing is singular at the origin. On a grid the transform is multiplied by a window
that goes to zero at y = band with two continuous derivatives, so that waves enter and leave the band
smoothly when a cell is strained.

Sources: Eickenberg et al., J. Chem. Phys. 148, 241732 (2018) for solid-harmonic scattering;
Brumwell et al., arXiv:1812.02320 (2018) and Sinz et al., J. Chem. Phys. 153, 084109 (2020) for these
wavelets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_genlaguerre, gammaln

from ..compute.functions import switched
from ..errors import InputError
from .harmonics import degree, solid_harmonics


@dataclass(frozen=True, order=True)
class Wavelet:
    """A wavelet without its order m.

    Parameters
    ----------
    scale : int
        Index into a ladder of β.
    p : int
        Radial order.
    l : int
        Angular degree.

    Raises
    ------
    InputError
        If one of them is negative.
    """

    scale: int
    p: int
    l: int

    def __post_init__(self) -> None:
        if min(self.scale, self.p, self.l) < 0:
            raise InputError(f"a wavelet's scale, p and l must not be negative: {self}")


MOST_ORDER = 30
"""Largest p and l: beyond them tables of polynomials lose their digits."""


def require_wavelets(wavelets: Iterable[Wavelet], n_scales: int) -> None:
    """Refuse wavelets that a ladder of scales does not have.

    Parameters
    ----------
    wavelets : iterable of Wavelet
        The wavelets.
    n_scales : int
        Number of scales.

    Raises
    ------
    InputError
        If a scale is not on the ladder, or p or l are above `MOST_ORDER`.
    """
    for wavelet in wavelets:
        if wavelet.scale >= n_scales or max(wavelet.p, wavelet.l) > MOST_ORDER:
            raise InputError(f"there is no {wavelet} on {n_scales} scales, or it is of too high an order")


def normalisation(p: int, l: int) -> float:
    """Compute K_pl, with which ∫ψ² = 1.

    Parameters
    ----------
    p : int
        Radial order.
    l : int
        Angular degree.

    Returns
    -------
    float
        K_pl.
    """
    return float(np.sqrt(2.0) * np.exp(0.5 * (gammaln(p + 1) - gammaln(p + l + 1.5))))


def profile(
    p: int,
    l: int,
    s: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate the radial profile K_pl L_p^{(l+1/2)}(s) e^{-s/2}.

    Parameters
    ----------
    p : int
        Radial order.
    l : int
        Angular degree.
    s : ndarray
        Squares of the scaled distance, any shape.

    Returns
    -------
    value : ndarray
        The profile, shaped like `s`.
    slope : ndarray
        Its derivative with respect to `s`.
    """
    envelope = normalisation(p, l) * np.exp(-0.5 * s)
    laguerre = eval_genlaguerre(p, l + 0.5, s)
    # dL_p^{(a)}/ds = −L_{p−1}^{(a+1)}
    slope = -eval_genlaguerre(p - 1, l + 1.5, s) if p else np.zeros_like(s)
    return envelope * laguerre, envelope * (slope - 0.5 * laguerre)


def window(s: NDArray[np.float64], band: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate the window of the band: 1 at y = 0, 0 from y = band on.

    Parameters
    ----------
    s : ndarray
        y², any shape.
    band : float
        Where the window ends, in y.

    Returns
    -------
    value : ndarray
        1 − 10t³ + 15t⁴ − 6t⁵ of t = s/band², shaped like `s`.
    slope : ndarray
        Its derivative with respect to `s`.

    Notes
    -----
    The window falls over the whole band: one that falls late leaves wavelets that ring far out in real
    space (measured: 1e-4 of the maximum at 8 β, against 1e-7).
    """
    value, slope = switched(s / band**2)
    return value, slope / band**2


def real_space(
    beta: float,
    p: int,
    l: int,
    vectors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate the wavelets ψ of one β, p and l in real space.

    Parameters
    ----------
    beta : float
        Scale β in Å.
    p : int
        Radial order.
    l : int
        Angular degree.
    vectors : ndarray, shape (n, 3)
        Where to evaluate them, in Å.

    Returns
    -------
    values : ndarray, shape (2l + 1, n)
        ψ in Å^{-3/2}.
    gradients : ndarray, shape (2l + 1, 3, n)
        ∇ψ in Å^{-5/2}.
    """
    return _assemble(beta**-1.5, beta, *_scaled(p, l, vectors / beta))


def fourier_space(
    beta: float,
    p: int,
    l: int,
    wave_vectors: NDArray[np.float64],
    band: float | None = None,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Evaluate the Fourier transforms ψ̂ of the wavelets of one β, p and l.

    Parameters
    ----------
    beta : float
        Scale β in Å.
    p : int
        Radial order.
    l : int
        Angular degree.
    wave_vectors : ndarray, shape (n, 3)
        Where to evaluate them, in 1/Å.
    band : float, optional
        Where the window ends, in y = β|k|. By default there is no window.

    Returns
    -------
    values : ndarray of complex, shape (2l + 1, n)
        ψ̂ in Å^{3/2}.
    gradients : ndarray of complex, shape (2l + 1, 3, n)
        ∂ψ̂/∂k in Å^{5/2}.
    """
    y = wave_vectors * beta
    values, gradients = _assemble((2.0 * np.pi * beta) ** 1.5, 1.0 / beta, *_scaled(p, l, y, band))
    factor = np.complex128(phase(p, l))
    return factor * values, factor * gradients


def phase(p: int, l: int) -> complex:
    """Compute the phase between a wavelet and its Fourier transform.

    Parameters
    ----------
    p : int
        Radial order.
    l : int
        Angular degree.

    Returns
    -------
    complex
        (−1)^p (−i)^l.
    """
    return complex((-1.0) ** p * (1, -1j, -1, 1j)[l % 4])


def _scaled(
    p: int,
    l: int,
    x: NDArray[np.float64],
    band: float | None = None,
) -> tuple[NDArray[np.float64], ...]:
    """Profile, its slope, harmonics of degree l and their gradients, at scaled vectors."""
    s = np.einsum("na,na->n", x, x)
    value, slope = profile(p, l, s)
    if band is not None:
        w, dw = window(s, band)
        value, slope = value * w, slope * w + value * dw
    harmonics, gradients = solid_harmonics(x, l)
    return x, value, slope, harmonics[degree(l)], gradients[degree(l)]


def _assemble(
    scale: float,
    length: float,
    x: NDArray[np.float64],
    value: NDArray[np.float64],
    slope: NDArray[np.float64],
    harmonics: NDArray[np.float64],
    gradients: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    radial = 2.0 * slope * harmonics
    gradient = value * gradients + radial[:, None, :] * x.T[None]
    return scale * value * harmonics, scale / length * gradient
