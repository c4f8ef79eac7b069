#!/usr/bin/env python3
# needs: tokenizers==0.23.3
"""Writes tests/golden/tokenizer/: tokenizers trained by Hugging Face, what they were trained on, and the ids they give."""
import itertools
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

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


SPACE = "\u2581"
LATER = ["<s>", "a<s>b", " <s> x</s>", "<s></s>\n\n<s>", "Q<mask>R  <mask>  s", "x <mask>", "<w>", "a<w>b", "a <w> b", "<w>\u00e9 <w>.", "_<w>", "<N>", "<n>", "a<N>b",
         "  two  spaces ", "\u2581a\u2581b", "A\u212bB \ufb01n", "\u0130\u0130 \u01c5 \u1e9e", "x, y; z! (w) $5 + 6 = _", "\U0001f600 \u4e2d\u6587 z",
         "e\u0301\u0327 \u0958", "a\u200db \u200c", "\t\ttabs\t", "\u00a0nbsp\u3000wide", "123 4567 8", "\u0661\u0662a", "\U0001d7d8x", "--a--", "a, b", ",,a,,", "  ,", "b word\n\nx", "word \n\n\n\n y", "a \n\n\n word word<mask> \n\n"]


def characters(texts, normalizer, pre, **options):
    """Llama-2's kind: BPE over characters, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(texts[:200], trainers.BpeTrainer(
        vocab_size=700, show_progress=False, limit_alphabet=60,
        special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)], **options))
    made = json.loads(tokenizer.to_str())
    made["added_tokens"] = made["added_tokens"][:3]  # tokens of bytes are no added ones
    return Tokenizer.from_str(json.dumps(made))


def unigram(texts, normalizer, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=500, show_progress=False, unk_token="<unk>", special_tokens=["<pad>", "<eos>", "<unk>", "<s>", "</s>"]))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 4)])
    return tokenizer


def steps(texts, normalizer, pre):
    tokenizer = characters(texts, normalizer, pre)
    tokenizer.add_tokens([AddedToken("<w>", single_word=True, normalized=False), AddedToken("<N>", normalized=True)])
    tokenizer.add_tokens([AddedToken("\n\n", lstrip=True, rstrip=True, normalized=False), AddedToken("word", rstrip=True, normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
    return tokenizer


KINDS = ("llama2", "mistral", "gemma", "unigram", "accents", "punctuation", "contiguous")


def later(texts):
    """Those that are not of bytes."""
    metaspace, n, p = pre_tokenizers.Metaspace, normalizers, pre_tokenizers
    yield "llama2", characters(texts, n.Sequence([n.Prepend(SPACE), n.Replace(" ", SPACE)]), None, max_token_length=8)
    yield "mistral", characters(texts, None, metaspace(prepend_scheme="first", split=False), max_token_length=8)
    yield "gemma", characters(texts, n.Replace(" ", SPACE), p.Split(" ", "merged_with_previous"), max_token_length=8)
    yield "unigram", unigram(texts, n.Sequence([n.NFKC(), n.Lowercase(), n.Replace(Regex(" {2,}"), " ")]))
    yield "accents", steps(texts, n.Sequence([n.NFD(), n.StripAccents(), n.Strip(), n.Lowercase()]), p.Sequence([p.Whitespace(), p.Digits(individual_digits=False)]))
    yield "punctuation", steps(texts, n.NFKD(), p.Sequence([p.Punctuation("merged_with_next"), metaspace(prepend_scheme="never")]))
    yield "contiguous", steps(texts, n.NFKC(), p.Sequence([p.Split(Regex(r"[\p{P}\s]"), "contiguous"), p.Split(Regex(r"\d(?=(?:\d{3})+(?!\d))|(?<=a)b"), "merged_with_previous")]))


# Of files in use: cl100k and its kin, o200k and Llama 4, DeepSeek's three, StarCoder's, Bloom's, Mistral's, Falcon's, ChatGLM's, SuperBPE's; then
# what the language has besides.
PATTERNS = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", r"\p{N}{1,3}", "[\r\n]", "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6]+", "\\s+$",
    r" ?[^(\s|[.,!?…。，、।۔،])]+", r"[0-9][0-9][0-9]", r"(?=(\d{3})+(?!\d))", r"\s", r"(?<=\s)a|(?<!\p{L})b|(?<=ab)c", r"[^\S\n]+",
    r"\p{N}{1,2}+|x{2,}?y|a{,2}b", r"(?>a+)b|a++c|[a-c]?+d", r"(?:ab|a)(?:bc|c)?", r"(?i)the|[k-s]+(?-i)x", r"^.|.$", r"\A.|.\z", r"\w+|\W", r"\P{L}+",
    r"\p{Han}+|[^\p{Han}\s]+", r"[\x41-\x{5A}\u00e9]+", r"a(?=b)|(?!ab)[ab]", r"[\p{^L}]+", r"(a|b)*c",
]


def patterns():
    texts = TEXTS[4:] + mixed(60, 5) + ["ab abc aab aaab aacc abcc xxy xxxxy aad", "1234567 12,345,678 1234", "theTHE kite\u212aSs\u017fX RSTx", "a\nb\nc", "ab b ab",
                                        "Hello_World(x)  fooBar FOOBar fooBAR's I'M", "# x\n\n  y\r\n", "\u3053\u3093\u4e2d\u6587abc", "ab,cd.ef"]
    for regex in PATTERNS:
        split = pre_tokenizers.Split(Regex(regex), "isolated")
        yield {"regex": regex, "texts": [[text, [piece for piece, _ in split.pre_tokenize_str(text)]] for text in texts]}


def write(path, value):
    with open(os.path.join(HERE, path), "w") as out:
        json.dump(value, out, ensure_ascii=True, indent=0)
        out.write("\n")


def main():
    texts, cases = corpus(), []
    os.makedirs(HERE, exist_ok=True)
    write("corpus.json", texts)
    with open(os.path.join(HERE, "patterns.jsonl"), "w") as out:
        for pattern in patterns():
            out.write(json.dumps(pattern) + "\n")
    for name, tokenizer in itertools.chain(tokenizers(texts), later(texts)):
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        path = os.path.join(HERE, name, "tokenizer.json")
        if name in KINDS and os.path.exists(path):  # training breaks ties by chance: the first one stays
            tokenizer = Tokenizer.from_file(path)
        else:
            tokenizer.save(path, pretty=False)
        write(name + "/tokenizer_config.json",
              {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>" if tokenizer.token_to_id("<eos>") else "</s>",
               "pad_token": {"content": "<pad>"} if tokenizer.token_to_id("<pad>") is not None else None, "bos_token": None})
        tried = ["sort", "abc banana", "tel sort<eos>"] if name == "seen" else TEXTS + mixed(150, 11) + texts[:20]
        tried += LATER if name in KINDS else []
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special and token.content != "<unk>"}
        for text in tried:
            case = {"tokenizer": name, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            tokenizer.encode_special_tokens = True
            data = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
            if data != case["ids"]:
                # tokenizers drops what "seen" has no token for, and Unigram finds special tokens in any text: rlhfd does neither
                case["data"] = None if name == "seen" or set(data) & special else data
            back = tokenizer.decode(case["ids"], skip_special_tokens=False)
            if back != text:
                case["back"] = back
            cases.append(case)
    with open(os.path.join(HERE, "cases.jsonl"), "w") as out:
        for case in cases:
            out.write(json.dumps(case) + "\n")


main()
