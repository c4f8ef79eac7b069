#!/usr/bin/env python3
# needs: tokenizers==0.23.3
"""Writes tests/golden/tokenizer/: tokenizers trained by Hugging Face, what they were trained on, and the ids they give."""
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
BYTE_LEVEL = pre_tokenizers.ByteLevel

WORDS = ("the quick brown fox jumps over lazy dogs while tokenizers merge bytes into tokens and don't we're they've I'll it's "
         "internationalization aaaa aaaaa aaaaaaa banana bandana abab ababab cabbage Zürich naïve café Straße größer "
         "привет мир токен данные слово מילה שלום مرحبا عالم नमस्ते दुनिया 你好 世界 数据 日本語 トークン 한국어 토큰 😀 👍🏽 👩‍👩‍👧 🇩🇪 "
         "0 1 23 456 7890 3.14 2024-01-31 x86-64 C++ a_b__c foo(bar) {baz} === --- ... !!! ?").split()

TEXTS = ["", " ", "  ", "\n", "a", " a", "the quick brown fox", "The  Quick   Brown", "tabs\tand\t\ttabs", "line\nline\r\n\r\nline\n  x",
         "   leading", "trailing   ", "don't we're they've I'll it's I'm he'd DON'T WE'RE 'S 's''s'", "'\u017f 'K \u212a", "a'", "'",
         "x=1;y=22;z=333;w=4444;55555", "\u0661\u0662\u0663 \u00bd \u2167 \u4e00", "naïve café Zürich", "e\u0301 u\u0308 \u1e9b\u0323",
         "\u212b \u2126 \ufb01 \u0958 \u1100\u1161\u11a8", "привет, мир!", "שלום عالم", "नमस्ते दुनिया", "你好，世界。日本語トークン", "한국어 토큰",
         "😀😀 👍🏽 👩‍👩‍👧 🇩🇪", "\u00a0\u3000\u2003x\u2028y\u0085z", "\u200b\u200d\ufeff", "\x00\x01\x7f", "a\u0300\u0301\u0302b", "<eos>", "a<eos>b",
         "<eos><pad> <eos>", "<eo", "<eos", "<|tool|> x <|tool call|>", "Über<|tool|>Über", "caf\u00e9caf e\u0301", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "ab" * 80, "!" * 70, "\U0010ffff\U000e0001", "\u0301", " \u0301", "1\u0301 2", "a" * 48, "a" * 49, "banana" * 9]


def corpus():
    draw = random.Random(7)
    return [" ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 14))) + draw.choice(["", ".", "\n", "  ", "?!"])
            for _ in range(400)]


def mixed(count, seed):
    """Texts out of what cutting rules treat differently."""
    draw = random.Random(seed)
    parts = ["'", "'s", "'S", "'\u017f", "'ll", "'LL", "'rE", " ", " ", "  ", "\n", "\r", "\t", "\u00a0", "\u3000", "a", "B", "é", "ж", "中",
             "1", "22", "٣", "½", "!", "-", "…", "😀", "\u0301", "\u200d", "_", ".", "\x00", "the", "abc"]
    return ["".join(draw.choice(parts) for _ in range(draw.randrange(1, 16))) for _ in range(count)]


def train(texts, pre, vocab, alphabet, normalizer=None, special=("<pad>", "<eos>"), **options):
    tokenizer = Tokenizer(models.BPE(ignore_merges=options.pop("ignore_merges", False)))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(special), show_progress=False,
        initial_alphabet=sorted(BYTE_LEVEL.alphabet()) if alphabet else [], **options))
    return tokenizer


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), BYTE_LEVEL(add_prefix_space=False, use_regex=False)])


def tokenizers(texts):
    gpt2 = BYTE_LEVEL(add_prefix_space=False)
    letters = ["sort these letters", "aabbcc", "abcabcabc banana"]
    yield "gpt2", train(texts, gpt2, 600, True)
    yield "frequent", train(texts, gpt2, 2000, True, min_frequency=9)
    yield "short", train(texts, gpt2, 500, True, max_token_length=5)
    yield "seen", train(letters, gpt2, 40, False)
    yield "prefix", train(texts, BYTE_LEVEL(add_prefix_space=True), 500, True, normalizer=normalizers.NFC())
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
    yield "digits", train(texts, digits, 500, True)
    yield "qwen2", train(texts, split(QWEN2), 500, True, normalizer=normalizers.NFC())
    llama3 = train(texts, split(LLAMA3), 500, True, ignore_merges=True)
    llama3.add_tokens([AddedToken("<|tool|>", normalized=False), AddedToken("<|tool call|>"), AddedToken("Über", normalized=True)])
    yield "llama3", llama3


def write(path, value):
    with open(os.path.join(HERE, path), "w") as out:
        json.dump(value, out, ensure_ascii=True, indent=0)
        out.write("\n")


def main():
    texts, cases = corpus(), []
    os.makedirs(HERE, exist_ok=True)
    write("corpus.json", texts)
    for name, tokenizer in tokenizers(texts):
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        tokenizer.save(os.path.join(HERE, name, "tokenizer.json"), pretty=False)
        write(name + "/tokenizer_config.json",
              {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>", "pad_token": {"content": "<pad>"}, "bos_token": None})
        tried = ["sort", "abc banana", "tel sort<eos>"] if name == "seen" else TEXTS + mixed(150, 11) + texts[:20]
        cases += [{"tokenizer": name, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in tried]
    with open(os.path.join(HERE, "cases.jsonl"), "w") as out:
        for case in cases:
            out.write(json.dumps(case) + "\n")


main()
