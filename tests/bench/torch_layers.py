"""The layers of tests/bench/gpu in PyTorch, for times beside ours: bf16 weights, its own attention and fused AdamW.

    why = torch_layers.missing()            # None: PyTorch and a device are there
    seconds = torch_layers.median_s(case)   # ("decode" | "prefill" | "train", shape, layers, rows or sequences, context, steps, vocabulary)

Decoding adds one position to full caches and draws a token, by a CUDA graph, as it is usual there."""
import statistics
import time

SHAPES = {"sort": (29, 64, 176, 2, 2, 2), "smollm2": (49152, 576, 1536, 30, 9, 3), "8B": (128256, 4096, 14336, 32, 32, 8)}


def missing():
    try:
        import torch
    except ImportError as error:
        return "there is no PyTorch: %s" % error
    return None if torch.cuda.is_available() else "PyTorch %s finds no device" % torch.__version__


def model_of(torch, case):
    mode, shape, layers, _, context, _, vocabulary = case
    V, C, F, L, H, K = SHAPES[shape]
    V, L, D = vocabulary or V, layers or L, C // H
    nn, functional = torch.nn, torch.nn.functional

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(C, 1e-5), nn.RMSNorm(C, 1e-5)
            self.qkv, self.out = nn.Linear(C, (H + 2 * K) * D, bias=False), nn.Linear(H * D, C, bias=False)
            self.up, self.down = nn.Linear(C, 2 * F, bias=False), nn.Linear(F, C, bias=False)

        def forward(self, x, turn, cache):
            B, T, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(B, T, H + 2 * K, D).transpose(1, 2).split([H, K, K], 1)
            q, k = turned(q, turn), turned(k, turn)
            if cache is not None:
                cache[0][:, :, -1:], cache[1][:, :, -1:] = k, v
                k, v = cache
            o = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None, enable_gqa=H != K)
            x = x + self.out(o.transpose(1, 2).reshape(B, T, H * D))
            gate, up = self.up(self.norm2(x)).chunk(2, -1)
            return x + self.down(functional.silu(gate) * up)

    def turned(x, turn):
        a, b = x.chunk(2, -1)
        return torch.cat([a * turn[0] - b * turn[1], b * turn[0] + a * turn[1]], -1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.head = nn.Embedding(V, C), nn.RMSNorm(C, 1e-5), nn.Linear(C, V, bias=False)
            self.layers = nn.ModuleList(Layer() for _ in range(L))
            self.head.weight = self.embed.weight

        def forward(self, token, turn, caches):
            x = self.embed(token)
            for i, layer in enumerate(self.layers):
                x = layer(x, turn, caches[i] if caches else None)
            return self.norm(x)

    model = Model().to("cuda", torch.bfloat16)
    angle = torch.rand(context, D // 2, device="cuda")
    turn = [f(angle).to(torch.bfloat16) for f in (torch.cos, torch.sin)]
    return model, turn, (V, L, K, D)


def step_of(torch, case):
    mode, _, _, rows, context, _, _ = case
    model, turn, (V, L, K, D) = model_of(torch, case)
    functional = torch.nn.functional
    if mode == "train":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        token = torch.randint(V, (rows, context), device="cuda")

        def train():
            hidden = model(token, turn, None)[:, :-1]
            loss = functional.cross_entropy(model.head(hidden).float().view(-1, V), token[:, 1:].reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return train
    if mode == "prefill":
        token = torch.randint(V, (1, context), device="cuda")
        return torch.no_grad()(lambda: model.head(model(token, turn, None)[:, -1]).argmax(-1))
    caches = [[torch.zeros(rows, K, context, D, device="cuda", dtype=torch.bfloat16) for _ in range(2)] for _ in range(L)]
    token, last = torch.randint(V, (rows, 1), device="cuda"), [t[-1:] for t in turn]

    def decode():
        logits = model.head(model(token, last, caches)[:, -1]).float()
        token.copy_(torch.multinomial(torch.softmax(logits, -1), 1))
    with torch.no_grad():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            decode()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decode()
    return graph.replay


def median_s(case):
    import torch
    step, took = step_of(torch, case), []
    for i in range(case[5] + 2):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        took.append(time.perf_counter() - begin)
    del step
    torch.cuda.empty_cache()
    return statistics.median(took[2:])
