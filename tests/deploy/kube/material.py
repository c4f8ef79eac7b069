"""Model and data of the base's recipe: the example's shape and rows, with a model that has learned nothing."""
import os
import subprocess

from objects import ROOT


def rlhfctl(binaries, *words):
    return subprocess.run([os.path.join(binaries, "rlhfctl")] + list(words), check=True, stdout=subprocess.PIPE, text=True).stdout


def make(binaries, top):
    """top/data and top/sft, as they lie on the volume `data`."""
    os.makedirs(top, exist_ok=True)
    model = os.path.join(top, "sft")
    subprocess.run([os.path.join(ROOT, "examples", "sort", "prepare"), "--seed", "1", "--out", os.path.join(top, "data")],
                   check=True, stdout=subprocess.DEVNULL)
    rlhfctl(binaries, "tokenizer", "train", "--vocab", "29", "--special", "<pad>", "--special", "<eos>", "--alphabet", "data",
            "--out", model, os.path.join(top, "data", "sft.jsonl"))
    rlhfctl(binaries, "model", "new", "--layers", "2", "--width", "64", "--heads", "2", "--ff", "192", "--tied",
            "--max-positions", "32", model)
    return model
