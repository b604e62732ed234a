"""What one rank does to prove torchrun: join a gloo world and add something up."""

import os
import sys

import torch
import torch.distributed as dist

if sys.platform == "linux":
    # The machine's name need not resolve, least of all in a container.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
dist.init_process_group("gloo")
total = torch.ones(1) * (dist.get_rank() + 1)
dist.all_reduce(total)
world = dist.get_world_size()
assert total.item() == world * (world + 1) / 2
print(f"torch {torch.__version__}, {world} rank(s): ok")
