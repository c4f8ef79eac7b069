#!/usr/bin/env python3
# needs: tokenizers==0.23.3
"""Writes tests/golden/datasets/model/: a small tokenizer with ChatML's tokens and one before each text, and a chat template that marks
the assistant's text. tests/golden/datasets.sh then asks TRL for tokens and masks (cases.jsonl)."""
import json
import os

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "datasets", "model")
WORDS = ("what color is the sky it is blue green be short hi hello and so turn on the lights done think no begin once upon a time system user "
         "assistant tool which number is larger the fractional part of hence one two three together naïve café Zürich привет 你好 \n\n {\"name\": }").split(" ")
TEMPLATE = """{%- if tools %}
    {{- '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '\\n' }}
    {%- endif %}
{%- endif %}
"""


def main():
    os.makedirs(HERE, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in ("<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>")]
    trainer = trainers.BpeTrainer(vocab_size=460, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", 0)])
    tokenizer.save(os.path.join(HERE, "tokenizer.json"), pretty=False)
    with open(os.path.join(HERE, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|end|>",
                   "clean_up_tokenization_spaces": False}, file, indent=1)
        file.write("\n")
    with open(os.path.join(HERE, "chat_template.jinja"), "w", encoding="utf-8") as file:
        file.write(TEMPLATE)


if __name__ == "__main__":
    main()
