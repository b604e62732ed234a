"""Sums over all devices of two nodes: is every one right, and how long does the shortest take?

Started by torchrun on both nodes, one rank a device, as training is. HCCL on NPUs, gloo on CPU. The first rank of each
node prints one line of JSON when all are done: {"seconds": ...}.
"""

import argparse
import json
import os
import signal
import time
from datetime import timedelta

import torch
import torch.distributed as dist

ELEMENTS = 4 * 2**20
TURNS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["hccl", "gloo"], required=True)
    parser.add_argument("--limit", type=int, required=True, help="seconds after which a rank ends, whatever it waits for")
    args = parser.parse_args()
    # Python's own handler would wait for a driver that hangs; the default action of the kernel does not.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(args.limit)

    local = int(os.environ["LOCAL_RANK"])
    device = torch.device("cpu")
    if args.backend == "hccl":
        import torch_npu  # noqa: F401

        device = torch.device(f"npu:{local}")
        torch.npu.set_device(device)
    dist.init_process_group(args.backend, timeout=timedelta(seconds=args.limit))
    rank, world = dist.get_rank(), dist.get_world_size()
    expected = world * (world + 1) / 2
    seconds = []
    for _ in range(TURNS):
        values = torch.full((ELEMENTS,), float(rank + 1), device=device)
        values[0].item()
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(values)
        # Reading one waits for the device.
        values[0].item()
        seconds.append(time.perf_counter() - started)
        wrong = int((values != expected).sum().item())
        if wrong:
            raise RuntimeError(f"rank {rank}: {wrong} of {ELEMENTS} sums are wrong")
    dist.barrier()
    # Nobody waits for this process any more, nor it for others: who reads this may end it.
    if local == 0:
        print(json.dumps({"seconds": min(seconds)}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
