#!/usr/bin/env python3
"""Coefficients of src/kernels/vec_math.h: interpolation at Chebyshev nodes, which is within a factor
of about 2 of the minimax error, in 50-digit arithmetic rounded to float. Standard library only:
erf, exp and sin come from their series."""
from decimal import Decimal as D, getcontext
import math
import struct

getcontext().prec = 60
PI = D("3.14159265358979323846264338327950288419716939937510582097494")


def erf(x):
    """2/sqrt(pi) * sum (-1)^n x^(2n+1) / (n! (2n+1)); x up to 5 loses 11 digits of 60."""
    term, total, n = x, x, 0
    while abs(term) > D(10) ** -58:
        n += 1
        term = -term * x * x / n
        total += term / (2 * n + 1)
    return 2 / PI.sqrt() * total


def sin(x):
    """The Taylor series; x up to pi / 2."""
    term, total, n = x, x, 1
    while abs(term) > D(10) ** -58:
        n += 2
        term = -term * x * x / (n * (n - 1))
        total += term
    return total


def interpolate(f, low, high, degree):
    """Monomial coefficients, lowest first, through Newton's divided differences."""
    nodes = [D(low + high) / 2 + D(high - low) / 2 * D(math.cos(math.pi * (i + 0.5) / (degree + 1)))
             for i in range(degree + 1)]
    table = [f(x) for x in nodes]
    for step in range(1, degree + 1):
        for i in range(degree, step - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (nodes[i] - nodes[i - step])
    poly = [table[degree]]
    for i in range(degree - 1, -1, -1):  # poly * (x - node) + table
        poly = [table[i] - nodes[i] * poly[0]] + [
            poly[j] - nodes[i] * (poly[j + 1] if j + 1 < len(poly) else 0) for j in range(len(poly))]
    return poly


def report(name, f, low, high, degree):
    poly = interpolate(f, D(low), D(high), degree)
    rounded = [struct.unpack("f", struct.pack("f", float(c)))[0] for c in poly]
    worst = 0.0
    for i in range(2001):
        x = D(low) + (D(high) - D(low)) * i / 2000
        if x == 0:
            continue
        y = D(0)
        for c in reversed(rounded):
            y = y * x + D(c)
        worst = max(worst, abs(float(y - f(x))))
    print(f"{name}: degree {degree} on {low}..{high}, error {worst:.2g}")
    print("    " + ", ".join(f"{c:.9g}f" for c in rounded))


half_ln2 = "0.34658"
report("(exp(r) - 1 - r) / r^2", lambda r: (r.exp() - 1 - r) / (r * r), "-" + half_ln2, half_ln2, 4)
report("erf(sqrt(s)) / sqrt(s) - 1", lambda s: erf(s.sqrt()) / s.sqrt() - 1, "1e-9", "1", 6)
report("ln(1 - erf(t))", lambda t: (1 - erf(t)).ln(), "1", "4", 8)
report("(sin(sqrt(s)) / sqrt(s) - 1) / s", lambda s: (sin(s.sqrt()) / s.sqrt() - 1) / s, "1e-9", "2.4675", 3)
report("sin(pi sqrt(s)) / sqrt(s)", lambda s: sin(PI * s.sqrt()) / s.sqrt(), "1e-9", "0.25", 4)
