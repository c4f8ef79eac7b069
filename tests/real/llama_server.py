"""llama.cpp by its own server inside this process (PyPI's xllamacpp has it built): a GGUF file, then requests over loopback.

    with LlamaServer("model.gguf", threads=2) as server:
        ids = server.tokenize("The quick")
        tokens, timings = server.greedy(ids, 24)

Keys and values are in float32 with kv="f32", in float16 (llama.cpp's default) with "f16", in bf16 with "bf16".
"""
# needs: xllamacpp==2026.10.11549
import json
import os
import urllib.request


def version():
    from importlib.metadata import version as of
    return "xllamacpp " + of("xllamacpp")


class LlamaServer:
    def __init__(self, path, threads=2, context=512, kv="f32"):
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = path
        settings.n_ctx, settings.n_parallel, settings.warmup = context, 1, False
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + kv.upper())
        settings.cache_type_k = settings.cache_type_v = kind
        stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)  # it logs every step
        os.dup2(sink, 2)
        try:
            self.server = xllamacpp.Server(settings)
        finally:
            self.stderr, self.sink = stderr, sink
        self.address = self.server.listening_address

    def __enter__(self):
        return self

    def __exit__(self, *error):
        del self.server
        os.dup2(self.stderr, 2)
        os.close(self.stderr)
        os.close(self.sink)

    def ask(self, path, **body):
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def tokenize(self, text):
        return self.ask("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]

    def greedy(self, ids, count, ignore_eos=False):
        """(tokens, timings)"""
        answer = self.ask("/completion", prompt=ids, n_predict=count, temperature=0, top_k=1, repeat_penalty=1, return_tokens=True,
                          cache_prompt=False, ignore_eos=ignore_eos)
        return answer["tokens"], answer["timings"]
