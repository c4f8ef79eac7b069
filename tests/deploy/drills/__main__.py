"""Runs one drill: python3 -m drills [--manifests FILE] [--say] NAME; without a name, a list."""
import argparse
import os
import sys
import traceback

from . import faults, life, restore
from .drill import Drill

DRILLS = {f.__name__.replace("_", "-"): f for module in (life, faults, restore) for f in module.DRILLS}


def main(drills, make):
    """The words of the command line; make(name, options) gives the Drill."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(prog="drill", description=__doc__)
    parser.add_argument("--manifests", default=os.path.join(here, "../../../deploy/k8s/rendered/minimal.yaml"))
    parser.add_argument("--say", action="store_true", help="events on standard error as they come")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="?")
    options = parser.parse_args()
    if not options.name:
        for name, f in drills.items():
            print(name if options.list else f"{name:12} {f.__doc__.splitlines()[0]}")
        return 0
    if options.name not in drills:
        sys.exit(f"drill: '{options.name}' is none of: all, {', '.join(drills)}")
    drill = make(options.name, options)
    try:
        drills[options.name](drill)
    except Exception as e:  # a promise that was broken, or a wait that ended
        drill.broken(f"{type(e).__name__}: {e}")
        if not isinstance(e, (TimeoutError, AssertionError)):
            traceback.print_exc()
    finally:
        drill.close()
    return 0 if drill.whole else 1


if __name__ == "__main__":
    sys.exit(main(DRILLS, Drill))
