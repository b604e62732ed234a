"""Makes Debian's torchrun work. Run as a program it prints which repairs this Python and torch need; set-up then writes
a .pth file into .venv that calls `install` with them whenever that Python starts.

std    Debian 12, torch < 2.0 on Python >= 3.11: `Std.from_str("0")`, the default of --redirects and --tee, gives None,
       since iterating a Flag no longer yields the zero and composite members that torch looks for. torchrun then ends
       in "'NoneType' object has no attribute 'get'".
libuv  Debian 13, torch 2.6 built without libuv: torchrun's store asks for it all the same, and neither USE_LIBUV nor
       --rdzv-conf reaches that call.
"""

import functools
import importlib.util
import sys


def std_is_broken():
    from torch.distributed.elastic.multiprocessing.api import Std

    return Std.from_str("0") is None


def repair_std(module):
    def from_str(cls, text):
        """As torch documents it: "0" for all ranks, or "0:1,1:3" by local rank."""
        if ":" not in text:
            return cls(int(text))
        return {int(rank): cls(int(value)) for rank, value in (pair.split(":") for pair in text.split(","))}

    module.Std.from_str = classmethod(from_str)


def libuv_is_missing():
    from torch.distributed import TCPStore

    try:
        TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    except RuntimeError as error:
        return "libuv" in str(error)
    return False


def repair_libuv(module):
    init = module.TCPStore.__init__

    @functools.wraps(init)
    def without_libuv(self, *args, **options):
        init(self, *args, **{**options, "use_libuv": False})

    module.TCPStore.__init__ = without_libuv


REPAIRS = {
    # name: the module after whose import it is applied, whether it is needed, the repair
    "std": ("torch.distributed.elastic.multiprocessing.api", std_is_broken, repair_std),
    "libuv": ("torch.distributed.rendezvous", libuv_is_missing, repair_libuv),
}


class RepairFinder:
    """Repairs a module when it is imported, so that programs without torch pay nothing."""

    def __init__(self, target, repair):
        self.target = target
        self.repair = repair

    def find_spec(self, name, path=None, target=None):
        if name != self.target:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_repair(module):
            load(module)
            self.repair(module)

        spec.loader.exec_module = load_and_repair
        return spec


def install(*names):
    for name in names:
        target, _, repair = REPAIRS[name]
        sys.meta_path.insert(0, RepairFinder(target, repair))


if __name__ == "__main__":
    print(*(name for name, (_, is_needed, _) in REPAIRS.items() if is_needed()))
