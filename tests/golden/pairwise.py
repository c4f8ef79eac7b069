#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
"""Writes pairwise/: a small language model as a pairwise preference model, and what PyTorch and transformers make of it.

    python tests/golden/pairwise.py

Texts and probabilities are made as RLHFlow's example of its pair-preference-model does: its two templates, both orders, the softmax
of the labels' two logits. pairwise.json has for each row and format the tokens and log-odds of each two answers, for one row the mean
probability of each answer to beat the others, and of a step of AdamW on all preferences in both orders the loss and the change of
every tensor: its norm, and each STRIDE-th element. Where annotators disagree, the loss is of the share that prefers an answer. eps is large beside most slopes, so that the step shows an error in them. Weights
are bfloat16's at the beginning."""
import json
import os
import shutil

import torch
from torch.nn.functional import logsigmoid as log_sigmoid
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
TO, FROM = os.path.join(HERE, "pairwise"), os.path.join(HERE, "datasets", "model")
STRIDE, LR, EPS = 61, 0.1, 1.0
PLAIN = ("\n{% for message in messages %}{% if loop.index0 % 2 == 0 %}\n\n<turn> user\n {{ message['content'] }}{% else %}"
         "\n\n<turn> assistant\n {{ message['content'] }}{% endif %}{% endfor %}\n\n\n")
PROMPT = "[CONTEXT] {context} [RESPONSE A] {response_A} [RESPONSE B] {response_B} \n"
torch.set_num_threads(1)


def said(role, *texts):
    return [{"role": role, "content": text} for text in texts]


def user(text):
    return said("user", text)


# A row of each format, and its prompt and answers as the example takes them.
ROWS = [
    ({"prompt": "The sky is", "chosen": " blue, as a rule.", "rejected": " a kind of soup"},
     user("The sky is"), [" blue, as a rule.", " a kind of soup"]),
    ({"prompt": user("Name a colour."), "chosen": said("assistant", "Red"), "rejected": said("assistant", "A chair, perhaps."),
      "labels": [1, 1, 0, 1]},
     user("Name a colour."), ["Red", "A chair, perhaps."]),
    ({"chosen": user("Hi") + said("assistant", "Hello!") + user("And you?") + said("assistant", "Fine, thanks"),
      "rejected": user("Hi") + said("assistant", "Hello!") + user("And you?") + said("assistant", "No."), "labels": [0, False, True]},
     user("Hi") + said("assistant", "Hello!") + user("And you?"), ["Fine, thanks", "No."]),
    ({"prompt": "2+2=", "completions": ["4", " four,\nI think", "5", "4"], "scores": [3, 2.5, -1, 3]},
     user("2+2="), ["4", " four,\nI think", "5", "4"]),
]


def model_files():
    os.makedirs(TO, exist_ok=True)
    for name in os.listdir(FROM):
        shutil.copy(os.path.join(FROM, name), TO)
    torch.manual_seed(11)
    config = LlamaConfig(vocab_size=458, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None,
                         eos_token_id=None, pad_token_id=None)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.to(torch.bfloat16).save_pretrained(TO)


def shown(tokenizer, plain, messages, answers, first, second, form):
    """The ids that the model reads."""
    context = plain.apply_chat_template(messages, tokenize=False)
    text = PROMPT.format(context=context, response_A=answers[first], response_B=answers[second])
    if form == "text":
        return tokenizer.encode(text)
    chat = tokenizer.apply_chat_template(user(text), tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(chat, add_special_tokens=False)


def main():
    model_files()
    tokenizer, plain = PreTrainedTokenizerFast.from_pretrained(TO), PreTrainedTokenizerFast.from_pretrained(TO)
    plain.chat_template = PLAIN
    labels = [tokenizer.encode(label, add_special_tokens=False) for label in "AB"]
    assert all(len(label) == 1 for label in labels)
    a, b = (label[0] for label in labels)
    model = LlamaForCausalLM.from_pretrained(TO, dtype=torch.float32, attn_implementation="eager")

    def log_odds(ids):
        logits = model(torch.tensor([ids])).logits[0, -1]
        return logits[a] - logits[b]

    made = {"labels": [a, b], "stride": STRIDE, "lr": LR, "eps": EPS, "rows": []}
    for row, messages, answers in ROWS:
        entry = {"row": row, "answers": answers}
        for form in ("chat", "text"):
            entry[form] = []
            for i in range(len(answers)):
                for j in range(len(answers)):
                    ids = shown(tokenizer, plain, messages, answers, i, j, form)
                    with torch.no_grad():
                        entry[form].append({"first": i, "second": j, "ids": ids, "log_odds": float(log_odds(ids))})
        made["rows"].append(entry)

    # the last row's answers against each other; equal ones are a tie
    row, messages, answers = ROWS[-1]
    odds = {(e["first"], e["second"]): torch.tensor(e["log_odds"]).sigmoid().item() for e in made["rows"][-1]["chat"]}
    wins = [[0.5 if answers[i] == answers[j] else (odds[i, j] + 1 - odds[j, i]) / 2 for j in range(len(answers))]
            for i in range(len(answers))]
    made["wins"] = wins
    made["scores"] = [sum(wins[i][j] for j in range(len(answers)) if j != i) / (len(answers) - 1) for i in range(len(answers))]

    # a step on the preferences, each in both orders; of the ranked row each two whose scores differ
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    losses = []
    for row, messages, answers in ROWS:
        scores, labels = row.get("scores", [1, 0]), row.get("labels", [1])
        share = sum(labels) / len(labels)
        for i in range(len(answers)):
            for j in range(len(answers)):
                if scores[i] > scores[j]:
                    first = log_odds(shown(tokenizer, plain, messages, answers, i, j, "chat"))
                    second = log_odds(shown(tokenizer, plain, messages, answers, j, i, "chat"))
                    losses += [-share * log_sigmoid(z) - (1 - share) * log_sigmoid(-z) for z in (first, -second)]
    loss = torch.stack(losses).mean()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, eps=EPS, weight_decay=0.0)
    loss.backward()
    optimizer.step()
    made["step"] = {"comparisons": len(losses), "loss": float(loss.detach()), "change": {}}
    for name, value in model.named_parameters():
        moved = (value.detach() - before[name]).flatten().double()
        made["step"]["change"][name] = {"norm": float(moved.norm()), "at": [float(f"{x:.9g}") for x in moved[::STRIDE]]}
    with open(os.path.join(TO, "pairwise.json"), "w") as file:
        json.dump(made, file, indent=None, separators=(",", ":"), ensure_ascii=False)
        file.write("\n")


main()
