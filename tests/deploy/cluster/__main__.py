"""Runs one drill on the cluster that up.sh made: python3 -m cluster [--manifests FILE] [--say] NAME; without a name, a list."""
import sys

from drills.__main__ import main

from .drills import DRILLS, RealDrill

if __name__ == "__main__":
    sys.exit(main(DRILLS, RealDrill))
