#!/usr/bin/env python3
# needs: rouge-score==0.1.2
"""Writes rouge.json: ROUGE-L F1 of text pairs, by Google's rouge_score without stemming."""
import json
import os
import random

from rouge_score import rouge_scorer

HERE = os.path.dirname(os.path.abspath(__file__))


def pairs():
    yield from [
        ("a small tool for signing zip files", "tool for signing zip files"),
        ("Command line tool for signing Android ZIP/JAR/APK", " tool for signing zip files"),
        ("the cat sat on the mat", "the the the the"),
        ("", "words"), ("words", ""), ("", ""), ("!!! ...", "?"), ("a", "a"), ("a", "b"),
        ("x86-64, C++ and don't", "X86 64 c and dont don t"),
        ("one\ttwo\nthree", "one two  three"),
        ("3.14159", "3 14159"),
        # What lower-casing does outside ASCII: two characters become ASCII letters, the others separate.
        ("\u212aelvin \u0130stanbul", "kelvin i stanbul istanbul"),
        ("na\u00efve caf\u00e9 \u00c9t\u00e9", "na ve caf t"),
        ("\u65e5\u672c\u8a9e a \U0001f600 b", "a b"),
        ("a_b__c", "a b c"),
        ("A" * 300 + " b", "a" * 300),
    ]
    # Long ones: sets of places longer than one machine word, with repeats.
    draw = random.Random(1)
    for words, vocabulary in [(5, 3), (63, 5), (64, 5), (65, 5), (128, 2), (129, 40), (700, 30), (400, 1000)]:
        for _ in range(4):
            text = lambda n: " ".join("w%d" % draw.randrange(vocabulary) for _ in range(n))
            yield text(words), text(max(1, words + draw.randrange(-words // 2, words)))


def main():
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    cases = [
        {"reference": reference, "text": text, "f1": scorer.score(reference, text)["rougeL"].fmeasure}
        for reference, text in pairs()
    ]
    with open(os.path.join(HERE, "rouge.json"), "w", encoding="ascii") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
