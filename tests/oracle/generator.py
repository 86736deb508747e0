"""Numbers that Rust and Python draw alike, bit for bit, so that big tensors need not be committed.

The specification is in README.md beside this file. numpy only.
"""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
PROJECTIONS = 16


def fnv1a(text):
    """The 64-bit FNV-1a hash of the text's UTF-8 bytes."""
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 % (1 << 64)
    return state


def words(key, count):
    """The first `count` outputs of SplitMix64 started from the hash of `key`."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * GAMMA
        z = steps + np.uint64(fnv1a(key))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(key, shape, bound, centre=0.0):
    """float32 in (centre - bound, centre + bound), row-major; each operation rounds to float32."""
    high = (words(key, int(np.prod(shape))) >> np.uint64(40)).astype(np.int64)
    unit = (2 * high + 1 - (1 << 24)).astype(np.float32) / np.float32(1 << 24)
    values = np.float32(centre) + np.float32(bound) * unit
    return values.reshape(shape)


def below(key, count, bound):
    """int64 in 0..bound."""
    return (words(key, count) >> np.uint64(40)).astype(np.int64) % bound


def pixels(key, shape):
    """uint8, the whole range."""
    return (words(key, int(np.prod(shape))) >> np.uint64(56)).astype(np.uint8).reshape(shape)


def projections(key, values):
    """Sums of all values under 16 sets of signs, and their L2 norm.

    The expected square of the difference of two tensors' sums is the squared norm of the tensors'
    difference, so a few numbers measure the distance of tensors too big to keep.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    bits = words(key, flat.size)
    signs = ((bits >> np.uint64(48 + j)) & np.uint64(1) for j in range(PROJECTIONS))
    sums = [float((flat * (1.0 - 2.0 * sign.astype(np.float64))).sum()) for sign in signs]
    return np.array(sums), np.array(np.linalg.norm(flat))
