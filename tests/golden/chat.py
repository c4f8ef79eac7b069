#!/usr/bin/env python3
# needs: jinja2==3.1.6
"""Writes tests/golden/chat/cases.jsonl: templates, and the texts that jinja2 makes of them in the environment that transformers 5
gives it (utils/chat_template_utils.py). The first line has the variables of all; then {"template", "text"} or {"template", "error"},
"with" more variables where "template" is the number of one of "families", and "generation": pairs of the first and the last code point of {% generation %}, where a template has it.

    tests/golden/chat.py [--random N] [--seed N]     -- so many random expressions beside those written here
"""
import argparse
import copy
import datetime
import json
import os
import random

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat")
NOW = 1785000000


def environment():
    class Tracker(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            lineno = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(lineno)

        @jinja2.pass_eval_context
        def _mark(self, context, caller):
            text = caller()
            begin = len("".join(environment.blocks))
            environment.spans.append([begin, begin + len(text)])
            return text

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    class Dict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            self, attrs = args[0], dict(*args[1:], **kwargs)
            for name in attrs:
                Namespace.check(name)
            jinja2.utils.Namespace.__init__(self, attrs)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(name)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Tracker, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)
    made.globals["dict"] = Dict()
    made.globals["namespace"] = Namespace
    return made


ENVIRONMENT = environment()


def not_constant(*_):
    raise jinja2.nodes.Impossible()


# A slice of a literal that cannot be sliced is undefined where jinja2 computes it beforehand, and an error where it does not.
jinja2.nodes.Getitem.as_const = not_constant

VARIABLES = {
    "s": "Hello <|im_end|> World", "w": "  pad \n\t", "e": "", "u8": "Zürich naïve 日本語 😀 ßΣ ŉ", "html": "<a href='x'>&\"</a>", "n": 3, "neg": -7, "f": 2.5, "z": 0,
    "big": 123456789012, "t": True, "no": False, "nil": None, "l": [3, 1, 2, 1], "ls": ["b", "A", "c", "a"], "mixed": [1, "1", 2.0, None, True, [1], {"k": 1}],
    "d": {"b": 1, "a": [1, 2], "Z": None, "items": "mine", "é": "ü"}, "empty": {}, "nothing": [],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <|im_end|>"},
                 {"role": "assistant", "content": "Hello!", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": "é"}}}]},
                 {"role": "tool", "content": "42\n"}, {"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]}],
    "rows": [{"k": "x", "n": 2, "in": {"v": 1}}, {"k": "Y", "n": 1, "in": {"v": 3}}, {"k": "x", "n": 3, "in": {"v": 2}}],
    "floats": [1.0, 0.1, 1e16, 1e15, 1.5e300, 1e-5, 0.0001, -0.0, 123456.789, 1e22, 5e-324, 0.30000000000000004],
    "deep": {"a": {"b": {"c": [10, 20, {"d": "end"}]}}},
}

with open(os.path.join(HERE, "statements.txt"), encoding="utf-8", newline="") as written:
    STATEMENTS = written.read()


def templates():
    """The lines above; those that begin as MULTILINE says go on to the next template's first line."""
    lines = STATEMENTS.strip("\n").split("\n")
    ends = {"  {% if t %}": 4, "  {%- if t -%}": 4, "  {%+ if t +%}": 4, " {# c #}": 2, "{{ n }}": 3, "a": 3, "{%- for message in messages -%}": 9,
            "{% if messages[0].role == 'system' %}": 7}
    i = 0
    while i < len(lines):
        count = ends.get(lines[i], 1)
        if lines[i].startswith("x{% for m in messages") or lines[i].startswith("{{ '\\x41"):
            count = 2
        yield "\n".join(lines[i:i + count])
        i += count
    yield from ("  {{ n }}  ", "", "\n", "\n\n", "a\n", "a\n\n", "a\r\nb\rc\r\n", "{% if t %}\n\nx{% endif %}\n", "{{ n }}\n\n", "  \n  {% if t %}x{% endif %}", "x  {% if t %}y{% endif %}",
                "{% if t -%}\n\n  x  \n\n{%- endif %}", "{% if t %}\u2003\u00a0{%- endif %}x", "{#a#}\n{#b#}\nc", "{% raw %}\n{{ x }}\n{% endraw %}\ny", "{{ 'a\r\nb' }}", "{%if t%}x{%endif%}",
                "{{n}}{{-n-}}{{ n-}} x", "{% set x = 1 -%}\n   {{ x }}", "\ufeffx", "{{ '\u2028' }}\u2028{% if t %}\n{% endif %}", "{% set é = 1 %}{{ é }}", "{{ a\u0301 }}")


# ---- templates in the manner of model families, and conversations for them

CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "You may call these functions:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] if message.role == 'user' and message.content is string and not message.content.startswith('<result>') %}
    {%- if loop.first %}{% set ns.last = messages.index(message) %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content if message.content is string else '' %}
        {%- set thought = message.reasoning_content | default('', true) %}
        {%- if not thought and '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
            {%- if thought and loop.index0 > ns.last %}
                {{- '<think>\\n' + thought.strip() + '\\n</think>\\n\\n' }}
            {%- endif %}
            {{- content }}
            {%- for call in message.tool_calls or [] %}
                {%- set call = call.function if call.function else call %}
                {{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
                {{- call.arguments if call.arguments is string else call.arguments | tojson }}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
            {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{% endif %}
        {{- '\\n<result>\\n' + message.content + '\\n</result>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{% endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}
"""
HEADERS = """{{- bos_token }}
{%- if not date is defined %}{% set date = strftime_now("%d %b %Y") %}{% endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system, rest = messages[0]['content'] | trim, messages[1:] %}
{%- else %}
    {%- set system, rest = '', messages %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday: " ~ date ~ "\\n\\n" ~ system ~ "<|eot_id|>" }}
{%- for message in rest %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}{{- raise_exception("one call at a time") }}{% endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- call.name + "(" }}
        {%- for name, value in call.arguments | items %}
            {{- name + '=' + value | tojson }}{% if not loop.last %}{{- ", " }}{% endif %}
        {%- endfor %}
        {{- ")<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
"""
INST = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages if message.role in ("user", "assistant") and not message.tool_calls is defined %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("roles must alternate, " + message.role + " at " ~ ns.index) }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" and message.tool_calls %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function | tojson %}
            {{- out[:-1] + ', "id": "' + (tool_call.id or "none") + '"}' + (", " if not loop.last else "]" + eos_token) }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- else %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | string + "}[/TOOL_RESULTS]" }}
    {%- endif %}
{%- endfor %}
"""
TURNS = """{{ bos_token }}{% macro parts(content) -%}
    {%- if content is string -%}
        {{ content | trim }}
    {%- else -%}
        {%- for item in content -%}
            {%- if item['type'] == 'image' -%}<image>{%- elif item.type == 'text' -%}{{ item.text | trim }}{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{% macro describe(schema, indent=0) %}
{{ '  ' * indent }}{{ schema.type | upper }}{% if schema.enum %} {{ schema.enum | map('string') | join('|') }}{% endif %}

{% for name, child in (schema.properties or {}) | dictsort %}
{{ '  ' * indent }}- {{ name }}: {{ describe(child, indent + 1) | trim }}

{% endfor %}
{% endmacro %}
{% for tool in tools or [] %}
<tool>{{ tool.function.name }}
{{ describe(tool.function.parameters) -}}
</tool>
{% endfor %}
{%- for message in messages -%}
    {%- set role = 'model' if message.role == 'assistant' else message.role -%}
    <start_of_turn>{{ role }}
{{ parts(message.content) }}<end_of_turn>
{% endfor %}
{% if add_generation_prompt %}<start_of_turn>model
{% endif %}
"""
FAMILIES = [CHATML, HEADERS, INST, TURNS]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "How it is\nthere", "parameters": {"type": "object", "properties": {
    "place": {"type": "string", "description": "a «town»"}, "days": {"type": "integer"}, "how": {"type": "string", "enum": ["c", "f"]},
    "at": {"type": "object", "properties": {"x": {"type": "number"}}}}, "required": ["place"]}}}]
CALL = [{"type": "function", "id": "abc123", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}]
USER, ASSISTANT = {"role": "user", "content": "  Hi <|im_end|>\n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello! "}
CONVERSATIONS = [
    [USER], [USER, ASSISTANT], [USER, ASSISTANT, {"role": "user", "content": "你好"}], [{"role": "system", "content": "Be brief. "}, USER],
    [{"role": "system", "content": "Be brief."}, USER, ASSISTANT, USER], [USER, USER], [ASSISTANT],
    [USER, {"role": "assistant", "content": "", "tool_calls": CALL}, {"role": "tool", "content": "21 °C", "name": "weather"}],
    [USER, {"role": "assistant", "content": "Let me see.", "reasoning_content": "weather?", "tool_calls": CALL * 2}, {"role": "tool", "content": "1"},
     {"role": "tool", "content": "[2]"}, {"role": "assistant", "content": "It rains.", "reasoning_content": " so "}],
    [{"role": "user", "content": [{"type": "text", "text": "what is "}, {"type": "image"}, {"type": "text", "text": " this?"}]}],
    [{"role": "user"}], [{"role": "stranger", "content": "x"}],
]


def families():
    for template in FAMILIES:
        for i, messages in enumerate(CONVERSATIONS):
            for more in ({}, {"add_generation_prompt": True}, {"tools": TOOLS, "add_generation_prompt": i % 2 == 0, "enable_thinking": False}):
                yield template, {"bos_token": "<s>", "eos_token": "</s>", "messages": messages, **more}


# ---- random expressions

ATOMS = ["0", "1", "2", "-1", "3", "7", "2.5", "-0.5", "1e3", "true", "false", "none", "''", "'a'", "'abc'", "'Ab cd'", "' x y '", "'é日😀'", "'a,b,,c'", "'<b>'", "'12'", "'%s'", "'{}'",
         "[]", "[1]", "[3, 1, 2]", "['b', 'a']", "[1, 'a', none]", "[[1, 2], [3]]", "(1, 2)", "()", "{}", "{'a': 1}", "{'b': 'x', 'a': [1]}", "range(3)", "missing",
         "s", "w", "e", "u8", "html", "n", "neg", "f", "z", "t", "no", "nil", "l", "ls", "mixed", "d", "rows", "floats", "deep", "(html|safe)", "(s|e)"]
FILTERS = ["trim", "length", "count", "upper", "lower", "title", "capitalize", "first", "last", "list", "string", "int", "float", "abs", "round", "sort", "unique|list", "reverse", "reverse|list",
           "dictsort", "tojson", "indent", "safe", "e", "forceescape", "sum", "min", "max", "wordcount", "items|list", "default('q')", "default('q', true)", "d", "join", "join(',')", "replace('a', 'b')",
           "map('upper')|list", "map('string')|join('/')", "map('length')|list", "select|list", "reject('none')|list", "select('string')|list", "select('number')|list", "selectattr('k')|list",
           "map(attribute='k')|list", "map(attribute=0)|list", "batch(2)|list", "slice(2)|list", "tojson(indent=1)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)", "round(1)",
           "int(5)", "float(1.5)", "center(9)", "truncate(5)", "indent(2, true)", "format(1)", "format('a', 2)", "trim('a ')", "sort(reverse=true)", "sort(case_sensitive=true)", "items", "attr('a')"]
TESTS = ["defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "iterable", "sequence", "callable", "escaped", "lower", "upper", "odd", "even",
         "divisibleby(2)", "eq(1)", "ne('a')", "lt(2)", "gt(1)", "le(1)", "ge('a')", "in([1, 'a'])", "in('abc')", "sameas(none)", "equalto(2)"]
METHODS = [".strip()", ".lstrip('a ')", ".rstrip()", ".split()", ".split(',')", ".split(' ', 1)", ".rsplit(none, 1)", ".splitlines()", ".startswith('a')", ".endswith(('c', 'd'))", ".replace('a', 'zz')",
           ".upper()", ".lower()", ".title()", ".capitalize()", ".swapcase()", ".join(['x', 'y'])", ".join('ab')", ".find('b')", ".rfind('a')", ".count('a')", ".index('a')", ".format(1)", ".format('a', b=2)",
           ".isdigit()", ".isalpha()", ".isalnum()", ".isspace()", ".isupper()", ".islower()", ".zfill(4)", ".ljust(4, '.')", ".rjust(5)", ".center(5)", ".partition('b')", ".rpartition(' ')",
           ".removeprefix('a')", ".removesuffix('c')", ".items()", ".keys()", ".values()", ".get('a')", ".get('q', 4)", ".copy()", ".index(1)", ".count(1)", ".a", ".items", ".0", ".q", ".real",
           "[0]", "[-1]", "['a']", "[1:]", "[:-1]", "[::-1]", "[::2]", "[5:1:-2]", "[-2:]", "[1.5]", "[none]", "[true]", "['k']", "[9]"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


def expression(draw, depth):
    kind = draw.randrange(10) if depth else 0
    if kind < 2:
        return draw.choice(ATOMS)
    inner = expression(draw, depth - 1)
    if kind < 4:
        return f"({inner})|{draw.choice(FILTERS)}"
    if kind == 4:
        return f"({inner}) is {draw.choice(['', 'not '])}{draw.choice(TESTS)}"
    if kind < 7:
        return f"({inner}){draw.choice(METHODS)}"
    other = expression(draw, depth - 1)
    if kind < 9:
        return f"({inner}) {draw.choice(OPERATORS)} ({other})"
    return draw.choice([f"({inner}) if ({other}) else ({expression(draw, depth - 1)})", f"[{inner}, {other}]", f"{{'a': {inner}, 'k': {other}}}", f"not ({inner})", f"-({inner})", f"({inner}, {other})",
                        f"('%s|%s' % ({inner}, {other}))", f"('{{}}|{{}}'.format({inner}, {other}))", f"({inner})|join({other})", f"({inner})|default({other})", f"({inner}) * 2"])


def random_template(draw):
    made = expression(draw, draw.randrange(1, 4))
    shape = draw.randrange(6)
    if shape == 0:
        return f"{{% for x in {made} %}}{{{{ loop.index }}}}{{{{ x }}}}{{% if not loop.last %}},{{% endif %}}{{% else %}}-{{% endfor %}}"
    if shape == 1:
        return f"{{% set x = {made} %}}{{{{ x|tojson if x is mapping else x }}}}"
    if shape == 2:
        return f"{{{{ [{made}] }}}}"
    return f"{{{{ {made} }}}}"


def layout(draw, depth=0):
    """Tags with every sign, and white space around them."""
    spaces = ["", "", " ", "\n", "\n\n", "  ", "\t", " \n ", "a", "b\n", "\n  c", "x ", "\r\n", "\u00a0", "\u2003\n"]
    made = []
    for _ in range(draw.randrange(1, 5)):
        begin, end = (draw.choice(["", "", "-", "+"]) for _ in range(2))
        other, last = (draw.choice(["", "", "-", "+"]) for _ in range(2))
        kind = draw.randrange(6 if depth < 2 else 4)
        made.append(draw.choice(spaces) + draw.choice(spaces))
        if kind == 0:
            made.append(f"{{{{{begin.replace('+', '')} n {end.replace('+', '')}}}}}")
        elif kind == 1:
            made.append(f"{{#{begin} note {end}#}}")
        elif kind == 2:
            made.append(f"{{%{begin} set q = 1 {end}%}}")
        elif kind == 3:
            made.append(f"{{%{begin} raw {end.replace('+', '')}%}}{draw.choice(spaces)}{{{{ r }}}}{draw.choice(spaces)}{{%{other} endraw {last}%}}")
        elif kind == 4:
            made.append(f"{{%{begin} if t {end}%}}{layout(draw, depth + 1)}{{%{other} endif {last}%}}")
        else:
            made.append(f"{{%{begin} for i in l {end}%}}{layout(draw, depth + 1)}{{%{other} endfor {last}%}}")
    return "".join(made) + draw.choice(spaces)


def case(template, more):
    made = {"template": FAMILIES.index(template), "with": more} if more else {"template": template}
    environment.blocks, environment.spans = [], []
    try:
        compiled = ENVIRONMENT.from_string(template)
        for block in compiled.generate(**copy.deepcopy({**VARIABLES, **more})):
            environment.blocks.append(block)
        made["text"] = "".join(environment.blocks)
        made["text"].encode("utf-8")
        if "generation" in template:
            made["generation"] = [span for span in environment.spans if span[0] < span[1]]
    except Exception as error:  # whatever Python raises is an error of the template
        made.pop("text", None)
        made["error"] = f"{type(error).__name__}: {error}"[:120]
    return made


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--random", type=int, default=3000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", default=os.path.join(HERE, "cases.jsonl"))
    options = arguments.parse_args()
    draw = random.Random(options.seed)
    os.makedirs(os.path.dirname(options.out), exist_ok=True)
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(json.dumps({"variables": VARIABLES, "now": NOW, "families": FAMILIES}) + "\n")
        every = list(templates())
        every += [layout(draw) if i % 5 == 0 else random_template(draw) for i in range(options.random)]
        for template, more in [*families(), *((template, {}) for template in dict.fromkeys(every))]:
            made = case(template, more)
            # An address, or a set's order, is another each time; Python's whole numbers have no end.
            if " at 0x" in made.get("text", "") or len(made.get("text", "")) > 20000:
                continue
            file.write(json.dumps(made, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
