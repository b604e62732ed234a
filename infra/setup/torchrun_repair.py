"""Loaded at start-up by .venv's Python where needed: makes torchrun work with torch < 2.0 on Python >= 3.11.

There `Std.from_str("0")`, the default of --redirects and --tee, gives None and torchrun ends in
"'NoneType' object has no attribute 'get'": iterating a Flag no longer yields its zero and composite members, which is
how torch looks the value up. Replaced when that module is imported, so that other programs pay nothing.
"""

import importlib.util
import sys

TARGET = "torch.distributed.elastic.multiprocessing.api"


def from_str(cls, text):
    """As torch documents it: "0" for all ranks, or "0:1,1:3" by local rank."""
    if ":" not in text:
        return cls(int(text))
    return {int(rank): cls(int(value)) for rank, value in (pair.split(":") for pair in text.split(","))}


class RepairFinder:
    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_repair(module):
            load(module)
            module.Std.from_str = classmethod(from_str)

        spec.loader.exec_module = load_and_repair
        return spec


sys.meta_path.insert(0, RepairFinder())
