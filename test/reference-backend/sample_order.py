"""Builds random index caches and compares them with Megatron's own loops, written out here; prints how many agreed."""

import json

import numpy as np

from reference.dataset import build_index


def main() -> None:
    draw = np.random.RandomState(0)
    compared = apart = 0
    while compared < 200:
        lengths = draw.randint(1, 400, draw.randint(1, 30)).astype(np.int32)
        length = int(draw.randint(2, 80))
        if lengths.sum() < 2 * length + 2:
            continue
        wanted = int(draw.randint(1, int(lengths.sum() // length * 4) + 2))
        expected = megatron(lengths, length, wanted, seed=compared)
        documents = np.arange(len(lengths), dtype=np.int32)
        own = build_index(lengths, documents, wanted, length, seed=compared)
        for ours, theirs in zip(own, expected, strict=True):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), compared
        compared += 1
        apart += last_epoch_apart(lengths, length, wanted)[1]
    print("\n" + json.dumps({"compared": compared, "apart": apart}))


def last_epoch_apart(lengths: np.ndarray, length: int, wanted: int) -> tuple[int, bool]:
    tokens, epochs = int(lengths.sum()), 1
    while epochs * tokens < wanted * length + 1:
        epochs += 1
    from_last = wanted - ((epochs - 1) * tokens - 1) // length
    return epochs, epochs > 1 and from_last < int(0.80 * ((tokens - 1) // length))


def megatron(lengths: np.ndarray, length: int, wanted: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    epochs, apart = last_epoch_apart(lengths, length, wanted)
    random, tokens = np.random.RandomState(seed), int(lengths.sum())
    parts = []
    for count in (epochs - 1, 1) if apart else (epochs,):
        parts.append(np.mgrid[0:count, 0 : len(lengths)][1].reshape(-1).astype(np.int32))
        random.shuffle(parts[-1])
    documents = np.concatenate(parts)
    samples = (epochs * tokens - 1) // length
    starts = [(0, 0)]
    document = offset = 0
    while len(starts) <= samples:
        remaining = length + 1
        while remaining != 0:
            here = lengths[documents[document]] - offset
            remaining -= here
            if remaining <= 0:
                offset += remaining + here - 1
                remaining = 0
            else:
                document, offset = document + 1, 0
        starts.append((document, offset))
    before_last = ((epochs - 1) * tokens - 1) // length if apart else samples
    halves = [np.arange(0, before_last, dtype=np.uint32), np.arange(before_last, samples, dtype=np.uint32)]
    for half in halves[: 1 if before_last == samples else 2]:
        random.shuffle(half)
    return documents, np.array(starts, dtype=np.int32), np.concatenate(halves)


if __name__ == "__main__":
    main()
