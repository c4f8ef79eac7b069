"""How far PyTorch's bfloat16 is from float64, op by op and for a decoder layer: tests/golden/cuda_errors.json. A GPU's ops of ours may
be off by half as much again at most (tests/cuda/error_test.c), on the same inputs, which both sides make from one counter hash.

`sum` and `size` are the sum and the mean magnitude of the float64 results: the test's own float64 must agree with them."""
# needs: torch==2.15.0 numpy==2.4.6
import json
import math
import os

import numpy
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_num_threads(1)  # sums in one order
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cuda_errors.json")
cases = []


def noise(stream, count, scale, shift=0.0):
    """Sums of four uniform numbers, of variance scale^2 / 3, rounded to bfloat16; held as float64."""
    with numpy.errstate(over="ignore"):
        h = (numpy.uint64(stream) << numpy.uint64(32)) + numpy.arange(count, dtype=numpy.uint64)
        h = h * numpy.uint64(0x9E3779B97F4A7C15) + numpy.uint64(0x632BE59BD9B4E019)
        for shift_by, times in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            h = (h ^ (h >> numpy.uint64(shift_by))) * numpy.uint64(times)
        h ^= h >> numpy.uint64(31)
    total = sum((h >> numpy.uint64(part)) & numpy.uint64(0xFFFF) for part in (0, 16, 32, 48)).astype(numpy.float64)
    values = (shift + scale * ((total - 131070) / 65536)).astype(numpy.float32)
    return torch.from_numpy(values).bfloat16().double()


def case(name, got, want, **sizes):
    off = (got.double() - want).abs()
    cases.append({"name": name, **sizes, "mean": off.mean().item(), "max": off.max().item(), "sum": want.sum().item(),
                  "size": want.abs().mean().item()})


def bf16(*tensors):
    return [t.bfloat16() for t in tensors]


def product(K, M=16, N=64):
    x, w = noise(1, M * K, 1).view(M, K), noise(2, N * K, 2 / math.sqrt(K)).view(N, K)
    case(f"matmul_{K}", F.linear(*bf16(x, w)), F.linear(x, w), M=M, N=N, K=K)


def attention(D, T=300, H=4, K=2):
    def heads(stream, count, scale):
        return noise(stream, T * count * D, scale).view(T, count, D).transpose(0, 1)[None]
    q, k, v = heads(3, H, 2), heads(4, K, 2), heads(5, K, 2)

    def run(q, k, v):
        k, v = (t.repeat_interleave(H // K, 1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    case(f"attention_{D}", run(*bf16(q, k, v)), run(q, k, v), T=T, H=H, K=K, D=D)


def attention_gradients(kind, D, T=300, H=4, K=2):
    """kind: PyTorch's way. On a CPU MATH multiplies in float32."""
    def heads(stream, count, scale):
        return noise(stream, T * count * D, scale).view(T, count, D).transpose(0, 1)[None]
    rows = heads(3, H, 2), heads(4, K, 2), heads(5, K, 2)
    grad = heads(40, H, 1)

    def run(dtype):
        q, k, v = (t.to(dtype).requires_grad_() for t in rows)
        wide = (t.repeat_interleave(H // K, 1) for t in (k, v))
        with sdpa_kernel(kind):
            F.scaled_dot_product_attention(q, *wide, is_causal=True).backward(grad.to(dtype))
        return [t.grad for t in (q, k, v)]
    for name, got, want in zip(("dq", "dk", "dv"), run(torch.bfloat16), run(torch.float64)):
        case(f"attention_{kind.name.split('_')[0].lower()}_{name}_{D}", got, want, T=T, H=H, K=K, D=D)


def norms(N=8, eps=1e-5):
    for C in (576, 4096):
        x, w = noise(6, N * C, 3).view(N, C), noise(7, C, 0.5, 1)
        case(f"rmsnorm_{C}", F.rms_norm(x.bfloat16(), (C,), w.bfloat16(), eps), F.rms_norm(x, (C,), w, eps), N=N, C=C)
    C = 768
    x, w = noise(8, N * C, 3, 1).view(N, C), noise(7, C, 0.5, 1)
    case("layernorm_768", F.layer_norm(x.bfloat16(), (C,), w.bfloat16(), None, eps), F.layer_norm(x, (C,), w, None, eps), N=N, C=C)


def activations(count=8192):
    gate, up = noise(9, count, 4), noise(10, count, 2)
    low_gate, low_up = bf16(gate, up)
    case("swiglu", F.silu(low_gate) * low_up, F.silu(gate) * up, count=count)
    for name, how in (("gelu", "none"), ("gelu_tanh", "tanh")):
        case(name, F.gelu(low_gate, approximate=how), F.gelu(gate, approximate=how), count=count)


def token_logp(N=4, V=49152):
    logits = noise(11, N * V, 6).view(N, V)
    token = torch.arange(N)[:, None] * 7919 % V
    case("token_logp", F.log_softmax(logits.bfloat16(), -1).gather(1, token), F.log_softmax(logits, -1).gather(1, token), N=N, V=V)


def backward(names, function, dy, *inputs):
    """A case for the gradient of each input that has a name; the others are indices or constants."""
    gradients = []
    for low in (True, False):
        leaves = [t.bfloat16() if low and t.is_floating_point() else t for t in inputs]
        leaves = [t.clone().requires_grad_() if name else t for t, name in zip(leaves, names, strict=True)]
        function(*leaves).backward(dy.bfloat16() if low else dy)
        gradients.append([t.grad for t in leaves])
    for name, got, want in zip(names, *gradients, strict=True):
        if name:
            case(name, got, want)


def product_slopes(rows, N, K):
    """dx sums over N, dw over the rows."""
    x, w = noise(1, rows * K, 1).view(rows, K), noise(2, N * K, 2 / math.sqrt(K)).view(N, K)
    backward((f"matmul_dx_{N}", f"matmul_dw_{rows}"), F.linear, noise(16, rows * N, 1).view(rows, N), x, w)


def slopes(N=64, C=576, count=8192, rows=512, V=7, width=64, eps=1e-5):
    x, w, dy = noise(6, N * C, 3).view(N, C), noise(7, C, 0.5, 1), noise(12, N * C, 1).view(N, C)
    backward(("rmsnorm_dx", "rmsnorm_dweight"), lambda x, w: F.rms_norm(x, (C,), w, eps), dy, x, w)
    x = noise(8, N * C, 3, 1).view(N, C)
    backward(("layernorm_dx", "layernorm_dweight"), lambda x, w: F.layer_norm(x, (C,), w, None, eps), dy, x, w)
    gate, up, dy = noise(9, count, 4), noise(10, count, 2), noise(13, count, 1)
    backward(("swiglu_dgate", "swiglu_dup"), lambda gate, up: F.silu(gate) * up, dy, gate, up)
    for name, how in (("gelu_dx", "none"), ("gelu_tanh_dx", "tanh")):
        backward((name,), lambda x, how=how: F.gelu(x, approximate=how), dy, gate)
    dy = noise(14, rows * width, 1).view(rows, width)
    backward((None, "bias_dbias"), lambda x, b: x + b, dy, torch.zeros(rows, width, dtype=torch.float64), noise(7, width, 1))
    token = torch.arange(rows) * 7919 % V
    backward((None, "embed_dtable"), F.embedding, dy, token, noise(7, V * width, 1).view(V, width))


def token_logp_slopes(N=4, V=49152):
    logits = noise(11, N * V, 6).view(N, V)
    token = torch.arange(N)[:, None] * 7919 % V
    backward(("token_logp_dlogits",), lambda x: F.log_softmax(x, -1).gather(1, token)[:, 0], noise(15, N, 1), logits)


def layer(T=48, C=576, H=9, K=3, D=64, FF=1536, eps=1e-5, theta=10000.0):
    """SmolLM2's, as transformers computes it: an embedding's rows, one layer, the final norm."""
    def matrix(stream, rows, cols):
        return noise(stream, rows * cols, 2 / math.sqrt(cols)).view(rows, cols)
    weights = {"x": noise(20, T * C, 2).view(T, C), "norm1": noise(21, C, 0.5, 1), "q": matrix(22, H * D, C), "k": matrix(23, K * D, C),
               "v": matrix(24, K * D, C), "o": matrix(25, C, H * D), "norm2": noise(26, C, 0.5, 1), "gate": matrix(27, FF, C),
               "up": matrix(28, FF, C), "down": matrix(29, C, FF), "norm": noise(30, C, 0.5, 1)}
    angle = torch.arange(T).double()[:, None] * theta ** (-torch.arange(0, D, 2).double() / D)
    cos, sin = (torch.cat((f(angle), f(angle)), -1) for f in (torch.cos, torch.sin))

    def run(w, cos, sin):
        def norm(x, weight):  # LlamaRMSNorm: statistics in float32, the product in the model's type
            wide = x if x.dtype == torch.float64 else x.float()
            return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)

        def turned(x):
            half = torch.cat((-x[..., D // 2:], x[..., :D // 2]), -1)
            return x * cos[:, None] + half * sin[:, None]
        x = w["x"]
        h = norm(x, w["norm1"])
        q, k, v = (F.linear(h, w[name]).view(T, -1, D) for name in "qkv")
        q, k, v = (t.transpose(0, 1)[None] for t in (turned(q), turned(k), v))
        k, v = (t.repeat_interleave(H // K, 1) for t in (k, v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0].transpose(0, 1).reshape(T, H * D)
        x = x + F.linear(o, w["o"])
        h = norm(x, w["norm2"])
        x = x + F.linear(F.silu(F.linear(h, w["gate"])) * F.linear(h, w["up"]), w["down"])
        return norm(x, w["norm"])
    low = run({name: t.bfloat16() for name, t in weights.items()}, *bf16(cos, sin))
    case("layer", low, run(weights, cos, sin), T=T, C=C, H=H, K=K, D=D, F=FF)


for K in (64, 512, 4096, 14336):
    product(K)
attention(64)
attention(128)
for D in (64, 128):
    attention_gradients(SDPBackend.FLASH_ATTENTION, D)
    attention_gradients(SDPBackend.MATH, D)
norms()
activations()
token_logp()
slopes()
product_slopes(16, 4096, 64)
product_slopes(4096, 40, 24)
token_logp_slopes()
layer()
with open(PATH, "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]\n")
