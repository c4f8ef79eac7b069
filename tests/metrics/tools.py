"""Prometheus' programs: in PATH, or where ./dev has unpacked Debian's package.

    promtool = tools.find("promtool")        -- None: it is not there
"""
import os
import shutil

UNPACKED = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build/tools/usr/bin")


def find(name):
    return shutil.which(name) or shutil.which(name, path=UNPACKED)
