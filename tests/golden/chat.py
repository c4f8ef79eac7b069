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

STATEMENTS = r"""
a{% if t %}b{% endif %}c
{% if no %}1{% elif n == 3 %}2{% else %}3{% endif %}
{% if no %}1{% elif no %}2{% elif nil %}3{% else %}4{% endif %}
{% for x in l %}{{ x }},{% endfor %}
{% for x in l %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}:{{ loop.length }}{{ loop.last }} {% else %}none{% endfor %}
{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for x in nothing %}{{ x }}{% else %}empty{% endfor %}
{% for x in missing %}{{ x }}{% else %}undefined{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for c in u8 %}[{{ c }}]{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a + b * c }} {% endfor %}
{% for a, b in l %}{{ a }}{% endfor %}
{% for x in nil %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{{ loop.index }}{% endfor %}
{% for x in l %}{% for y in ls %}{% if y == 'c' %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}|{% endfor %}
{% for x in l %}{% set a %}{% if x == 2 %}{% break %}{% endif %}{% endset %}{{ x }}{% endfor %}
{% for i in range(3) %}{{ i }}{% endfor %}{{ i }}
{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}
{% for i in range(100001) %}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}
{% for i in l %}{% if loop.first %}{% set q = 9 %}{% endif %}{{ q }}-{% endfor %}{{ q }}
{% set ns = namespace(a=0, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns }}
{% set ns = namespace({'a': 1}, b=2) %}{% set ns.c = [1] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns['a'] }}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set d.x = 1 %}
{% set ns = namespace(found=false) %}{% for x in l if not ns.found %}{{ x }}{% if x == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1, 2, 3] %}
{% set a = 1, 2 %}{{ a }}
{% set x %}  block {{ n }} {% endset %}[{{ x }}]
{% set x | upper | trim %}  block {{ n }} {% endset %}[{{ x }}]
{% set x %}{% set y = 5 %}{{ y }}{% endset %}{{ x }}{{ y }}
{% filter upper %}abc {{ s }}{% endfilter %}
{% filter replace('a', 'b') | upper %}aaa{% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with %}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}
{% with a = 1 %}{% with a = a + 1, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}
{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=5) }} {{ m(b=1, a=0) }} {{ m() }}
{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(7) }}
{% macro m(x) %}{{ x }}{% if x > 0 %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}
{% macro m() %}{{ s }}{{ later }}{% endmacro %}{% set later = 'L' %}{{ m() }}
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}inside {{ n }}{% endcall %}
{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b=5) m() %}{{ a }}+{{ b }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}inside{% endcall %}
{% macro m() %}[{{ caller is defined }}{{ caller }}]{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m }}{{ m.name }}{{ m is callable }}
{% macro m() %}{% for x in l %}{{ x }}{% endfor %}{% endmacro %}{{ m() | length }}{{ m() + 'x' }}
{% macro m(x) %}  {{ x }}  {% endmacro %}[{{ m('a') | trim }}][{{ m('b').strip() }}]
{% for x in ls %}{% macro m() %}{{ x }}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}
{% for item in [{'n': 1, 'c': [{'n': 2, 'c': []}]}, {'n': 3, 'c': []}] recursive %}{{ item.n }}{{ loop.depth }}({{ loop(item.c) }}){% endfor %}
{% for x in l %}{{ loop(x) }}{% endfor %}
{% raw %}{{ not }} {% neither %}{% endraw %}x
a {%- raw -%} {{ b }} {%- endraw -%} c
{# comment #}a{# {{ x }} {% if %} #}b
  {% if t %}
  x
  {% endif %}
y
  {%- if t -%}
  x
  {%- endif -%}
y
  {%+ if t +%}
  x
  {%+ endif +%}
y
	{% if t %}	x	{% endif %}	y
 {# c #}
 z
{{ n }}
 {{- n -}}
 x
a
{#- c -#}
b
{{ '{{' }}{{ "}}" }}{{ '%}' }}
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': {'b': 1}} }}
{% print n, s %}
{{ strftime_now('%Y-%m-%d %H:%M:%S %d %B %b %A %j %%') }}
{{ raise_exception('no') }}
{% if no %}{{ raise_exception('no') }}{% endif %}fine
{{ d|from_json }}
{% if no %}{{ d|from_json }}{% endif %}fine
{% if t %}{{ d|from_json }}{% endif %}
{{ d is nonsense }}
{{ undefined_function() }}
{% if no %}{{ undefined_function() }}{% endif %}fine
{{ missing }}{{ missing | default('d') }}{{ missing is defined }}{{ d.nope }}{{ d['nope'] is undefined }}
{{ missing.x }}
{{ missing['x'] }}
{{ missing() }}
{{ missing + 1 }}
{{ 1 + missing }}
{{ missing ~ 'x' }}
{{ missing == missing2 }}{{ missing == none }}{{ missing | length }}{{ missing | list }}{{ not missing }}{{ 'x' in missing }}
{{ -missing }}
{{ missing < 1 }}
{{ nil.x }}{{ nil['x'] }}{{ n.x }}{{ l.x }}{{ l[9] }}{{ l['x'] }}{{ s[99] }}{{ s.nope }}
{{ nil.x.y }}
{{ d.a.pop }}{{ d.a.append is defined }}{{ d.pop is defined }}
{{ d.a.append(1) }}
{{ d.pop('a') }}
{{ d.update({}) }}
{{ d.__class__ }}{{ s.__class__ }}
{{ s.__class__.mro }}
{{ d.items }}
{{ d['items'] }}{{ d.items() }}{{ d.keys() }}{{ d.values() }}
{{ d.items()|list }}{{ d.keys()|list|sort }}{{ d|length }}{{ d.get('b') }}{{ d.get('q') }}{{ d.get('q', 5) }}
{% generation %}{{ s }}{% endgeneration %}
x{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.role }}{% endif %}
{% endfor %}
a{% generation %}b{% endgeneration %}{% generation %}é{% endgeneration %}c{% generation %}{% endgeneration %}
a{%- generation -%} b {%- endgeneration -%} c
{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% generation %}{% set inner = 1 %}{% endgeneration %}{{ inner }}
{% break %}
{% macro m() %}{% break %}{% endmacro %}
{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% if %}{% endif %}
{% if t %}
{% endif %}
{% for x %}{% endfor %}
{% for loop in l %}{% endfor %}
{% for 1 in l %}{% endfor %}
{% set 1 = 2 %}
{% set true = 2 %}
{% unknown %}
{{ }}
{{ 1 2 }}
{{ (1 }}
{{ [1, 2 }}
{{ {'a' 1} }}
{{ 'open }}
{{ s
{# open
{% raw %}
{{ s | }}
{{ s.  }}
{{ s[ }}
{{ m(a=1, 2) }}
{{ m(a=1, a=2) }}
{{ ! }}
{{ a ? b }}
{{ s is not }}
{{ 01 }}
{{ 1__0 }}
{{ cycler('a', 'b').next() }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2) }}{{ dict([('p', 1)]) }}
{{ range(3) }}{{ range(1, 10, 3)|list }}{{ range(3)|length }}{{ 2 in range(3) }}{{ range(5)[1] }}{{ range(5)[-1] }}{{ range(0)|list }}
{{ l|map('string')|join('-') }}{{ rows|map(attribute='k')|list }}{{ rows|map(attribute='in.v')|sum }}{{ rows|map(attribute='q', default=7)|list }}
{{ l|select('odd')|list }}{{ l|reject('odd')|list }}{{ l|select|list }}{{ l|select('gt', 1)|list }}{{ rows|selectattr('k', 'eq', 'x')|map(attribute='n')|list }}{{ rows|rejectattr('k', 'equalto', 'x')|list }}{{ rows|selectattr('q')|list }}
{{ messages|selectattr('role', 'in', ['user', 'tool'])|list|length }}{{ (messages|first).role }}{{ (messages|last).content[0].text }}{{ messages[-1]['content'][1] }}
{{ l|sort }}{{ ls|sort }}{{ ls|sort(case_sensitive=true) }}{{ l|sort(reverse=true) }}{{ rows|sort(attribute='n')|map(attribute='n')|list }}{{ rows|sort(attribute='k,n')|map(attribute='n')|list }}
{{ l|unique|list }}{{ ls|unique|list }}{{ rows|unique(attribute='k')|list|length }}
{{ l|min }}{{ l|max }}{{ ls|min }}{{ ls|max }}{{ rows|max(attribute='n') }}{{ nothing|max }}
{{ l|batch(3)|list }}{{ l|batch(3, 'x')|list }}{{ l|slice(3)|list }}{{ l|slice(3, 'x')|list }}
{{ d|dictsort }}{{ d|dictsort(true) }}{{ {'a': 2, 'b': 1}|dictsort(by='value') }}{{ {'a': 2, 'b': 1}|dictsort(reverse=true) }}
{{ l|reverse|list }}{{ s|reverse }}{{ u8|reverse }}{{ l|first }}{{ l|last }}{{ s|first }}{{ s|last }}{{ nothing|first }}
{{ d|tojson }}{{ d|tojson(indent=2) }}{{ d|tojson(ensure_ascii=true) }}{{ d|tojson(sort_keys=true) }}{{ d|tojson(separators=(',', ':')) }}{{ html|tojson }}{{ w|tojson }}{{ floats|tojson }}{{ mixed|tojson }}
{{ missing|tojson }}
{{ d.items()|tojson }}
{{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}
{{ {}|tojson(indent=2) }}{{ []|tojson(indent=1) }}{{ [[], {}]|tojson(indent='--') }}{{ (1, 2)|tojson }}
{{ floats }}{{ mixed }}{{ (1,) }}{{ () }}{{ 'a\'b"c' }}{{ ['a\'b', 'a"b', 'a\'b"c', '\\', '\n\t\x00\x7f', 'é\u200b\ud7ff'] }}
{{ html|safe }}{{ html|e }}{{ (html|safe) + '<' }}{{ '<' + (html|safe) }}{{ (html|e) ~ '<' }}{{ '<%s>'|safe % html }}{{ ('<{}>'|safe).format(html) }}{{ (html|safe).replace('<', '<b>') }}{{ [html|safe] }}{{ html|safe|upper }}{{ ['<', '>']|join(html|safe) }}{{ ('<'|safe).join(['<', html|safe]) }}{{ html|forceescape }}{{ (html|e)|e }}
{{ 'a\nb'|indent }}{{ 'a\n\nb'|indent(2, true) }}{{ 'a\n\nb\n'|indent(2, blank=true) }}{{ 'a\nb'|indent('>>') }}
{{ nil|indent }}
{{ s|wordcount }}{{ 'a_b c-d é'|wordcount }}{{ s|capitalize }}{{ s|title }}{{ 'it\'s o\'neil x-ray (foo) <bar'|title }}{{ 'it\'s o\'neil x-ray'.title() }}{{ u8|upper }}{{ u8|lower }}{{ u8.swapcase() }}{{ 'ΑΣ ΑΣΑ Σ'.lower() }}{{ 'ǆ ŉ ﬁ'.title() }}
{{ s|replace('o', '0') }}{{ s|replace('o', '0', 1) }}{{ s|replace('', '-') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 123|replace(2, 'x') }}
{{ w|trim }}|{{ s|trim('Hd') }}|{{ w.strip() }}|{{ w.lstrip() }}|{{ w.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ '\u2003a\u00a0'.strip() }}|{{ none|trim }}
{{ s.split() }}{{ s.split(' ', 1) }}{{ s.split('<|im_end|>') }}{{ ' a  b '.split() }}{{ ' a  b '.split(' ') }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.split(none, 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.partition('x') }}{{ 'abc'.rpartition('x') }}
{{ s.split('') }}
{{ s.startswith('He') }}{{ s.endswith(('x', 'ld')) }}{{ s.startswith('l', 2) }}{{ s.find('o') }}{{ s.rfind('o') }}{{ u8.find('日') }}{{ s.find('zz') }}{{ s.count('l') }}{{ s.count('') }}{{ s.index('W') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}
{{ s.index('zz') }}
{{ '12'.isdigit() }}{{ '²'.isdigit() }}{{ '½'.isnumeric() }}{{ 'ab'.isalpha() }}{{ 'a1'.isalnum() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'aB'.islower() }}{{ ''.isdigit() }}
{{ '7'.zfill(3) }}{{ '-7'.zfill(4) }}{{ 'a'.ljust(3, '.') }}{{ 'a'.rjust(3) }}{{ 'ab'.center(5, '*') }}{{ 'abc'.center(6, '*') }}{{ 'a'|center(4) }}|
{{ '%s %d %5.2f %-5s| %05d %x %r %%' % ('a', 3, 2.5, 'b', 42, 255, 'q') }}{{ '%(a)s' % {'a': 1} }}{{ '%s' % 5 }}{{ '%s' % [1] }}{{ '%s %s'|format('a', 2) }}{{ '%(x)s'|format(x=1) }}{{ '%e %g %+d % d %o %X %i' % (12345.678, 0.00001, 5, 5, 8, 255, 2.9) }}{{ '%.3s' % 'abcdef' }}{{ '%5s' % 'é' }}
{{ '%s %s' % ('a',) }}
{{ '%s' % ('a', 'b') }}
{{ '%d' % 'a' }}
{{ '{} {1}'.format(1, 2) }}
{{ '{} {}'.format(1, 'b') }}{{ '{0}{1}{0}'.format('a', 'b') }}{{ '{x}'.format(x=5) }}{{ '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}|{:x}|{!r}'.format('a', 'b', 'c', 42, 3.14159, 1234567, 255, 'q') }}{{ '{0.a}{0[b]}'.format({'a': 1, 'b': 2}) }}{{ '{{}}'.format() }}{{ '{:+d}{:e}{:%}{:g}'.format(3, 12345.6789, 0.25, 1e20) }}
{{ '{}'.format() }}
{{ '1'|int }}{{ ' 42 '|int }}{{ 'x'|int }}{{ 'x'|int(7) }}{{ '42.9'|int }}{{ 3.9|int }}{{ '0x1f'|int(base=16) }}{{ '1_000'|int }}{{ true|int }}{{ nil|int }}{{ '1.5'|float }}{{ 'x'|float }}{{ '1e3'|float }}{{ 'inf'|float }}{{ 5|float }}{{ ' 1_0.5 '|float }}
{{ 2.567|round(2) }}{{ 2.5|round }}{{ 3.5|round }}{{ 2.1|round(0, 'ceil') }}{{ 2.9|round(method='floor') }}{{ 5|round }}{{ 1234|round(-2) }}{{ 1250.0|round(-2) }}{{ 0.1|round(20) }}{{ -3|abs }}{{ -2.5|abs }}
{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 % -3 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 6 / 3 }}{{ 1 / 3 }}{{ 2 ** 10 }}{{ 2 ** -1 }}{{ 2.0 ** 3 }}{{ -2 ** 2 }}{{ 1e3 }}{{ 10 ** 18 }}{{ 0x1F }}{{ 0b101 }}{{ 0o17 }}{{ 1_000 }}{{ 1.5e-7 }}{{ true + 1 }}{{ +true }}{{ -true }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 5.0 // 0 }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ 'a' * 3 }}{{ 3 * 'ab' }}{{ [1] * 2 }}{{ [1] + [2] }}{{ (1,) + (2,) }}{{ 'a' * -1 }}{{ 'a' 'b' "c" }}
{{ [1] + (2,) }}
{{ {} + {} }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 }}{{ 1 == true }}{{ '1' == 1 }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ none == none }}{{ 2 not in [1] }}{{ 'a' in 'abc' }}{{ 'k' in {'k': 1} }}{{ (1, 2) == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ 1 != 2 }}{{ not 1 == 2 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ 1 in 'abc' }}
{{ 'a' in nil }}
{{ [] in {} }}
{{ 1 if t }}{{ 1 if no }}{{ 1 if no else 2 }}{{ 1 if no else 2 if no else 3 }}{{ t and 'x' }}{{ no or 'y' }}{{ '' or nil or 0 or 'z' }}{{ 1 and 0 and 2 }}{{ not no and t }}{{ 1 or 1 / 0 }}
{{ 1 ~ 2 ~ 'a' + 'b' }}{{ 2 * 3 ~ 4 }}{{ 1 + 2 ~ 3 }}{{ 2 ** 3 ** 2 }}{{ 'a' ~ nil ~ t ~ 1.0 ~ [] }}
{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[:-1] }}{{ s[::2] }}{{ u8[7:10] }}{{ u8[-5:] }}{{ l[1:] }}{{ l[::-1] }}{{ l[5:] }}{{ l[-2:] }}{{ l[3:0:-1] }}{{ s[10:2] }}{{ l[:99] }}{{ (1, 2, 3)[1:] }}{{ l[none:2] }}{{ l[true] }}
{{ l[::0] }}
{{ d[1:] }}
{{ nil[1:] }}
{{ missing[1:] }}
{{ l['a':] }}
{{ deep.a.b.c[2].d }}{{ deep['a'].b['c'].1 }}{{ l.0 }}{{ l.1 }}{{ deep.a.b.c.2.d }}{{ rows.0.in.v }}
{{ d.items is defined }}{{ empty.x is defined }}{{ nil is none }}{{ n is number }}{{ t is number }}{{ t is boolean }}{{ t is true }}{{ 1 is true }}{{ n is integer }}{{ f is float }}{{ s is string }}{{ d is mapping }}{{ l is iterable }}{{ s is iterable }}{{ n is iterable }}{{ l is sequence }}{{ d is sequence }}{{ s is sequence }}{{ d.items() is sequence }}{{ missing is sequence }}{{ missing is iterable }}{{ n is odd }}{{ n is even }}{{ 9 is divisibleby 3 }}{{ n is eq 3 }}{{ n is gt(2) }}{{ n is in [3] }}{{ 'a' is lower }}{{ 'A' is upper }}{{ none is sameas none }}{{ s is callable }}{{ range is callable }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ n is not none }}{{ html|safe is escaped }}{{ missing is not defined }}
{{ n is defined and n is number or no }}{{ not n is defined }}{{ n is none or true }}{{ 4 is divisibleby(2) and t }}
{{ s|length }}{{ u8|length }}{{ l|count }}{{ 5|default(1) }}{{ missing|d }}{{ ''|default('x', true) }}{{ nil|default('x') }}{{ nil|default('x', boolean=true) }}{{ d|attr('b') }}
{{ 5|length }}
{{ l|join }}{{ l|join(', ') }}{{ rows|join(',', attribute='k') }}{{ l|string }}{{ s|list }}{{ d|list }}{{ d|items|list }}{{ l|sum }}{{ rows|sum(attribute='n') }}{{ l|sum(start=10) }}{{ s|truncate(9) }}{{ s|truncate(9, true) }}{{ s|truncate(9, true, '') }}
{{ nil|join }}
{{ ls|map('upper')|map('lower')|join }}{{ l|map('float')|list }}{{ rows|map(attribute='in')|map(attribute='v')|list }}{{ ls|map('replace', 'a', 'z')|list }}{{ nil|map('x')|list }}{{ missing|map('x')|list }}
{{ l|map('nonsense')|list }}
{{ l|select('nonsense')|list }}
{% filter length %}abc{% endfilter %}
{% set q | length %}abc{% endset %}{{ q + 1 }}
{% call dict(a=1) %}{% endcall %}
{% set g = l|map('string') %}{{ g|list }}{{ g|list }}{{ g is iterable }}
{{ l|map('string')|length }}
{{ l|map('string')|first }}
{{ l|map('string')|last }}
{{ '\x41\u00e9\U0001f600\101\a\'\"\\\q\é' }}{{ "a\
b" }}
{{ '\ud83d' }}
{{ '\N{BULLET}' }}
{{ '\x4' }}
{{ m.n }}{% set m = namespace(n=1) %}{{ m.n }}
{{ loop }}
{% for x in l %}{{ loop }}{% endfor %}
{{ (l, d)|length }}{{ [1, [2, [3]]]|string }}{{ [1, 2,] }}{{ (1, 2,) }}{{ {'a': 1,} }}{{ {1: 'x', 'y': none}[1] }}{{ {'a': 1, 'a': 2} }}
{{ {[]: 1} }}
{{ f(*l) }}
{% macro m(a, b, c, d) %}{{ a }}{{ b }}{{ c }}{{ d }}{% endmacro %}{{ m(*l) }}{{ m(1, *[2, 3], **{'d': 4}) }}{{ m(**{'a': 1, 'b': 2, 'c': 3, 'd': 4}) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**{'a': 1, 'z': 2}) }}
{{ true }}{{ True }}{{ false }}{{ none }}{{ None }}{{ big }}{{ big * 1000 }}{{ -0.0 }}{{ 1e400 }}{{ 'x' is string is string }}
{% set tools = tools or [] %}{{ tools }}{% set x = x | default(5) %}{{ x }}
{% set loop_messages = messages %}{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% set loop_messages = messages[1:] %}{% endif %}{{ system_message }}{{ loop_messages|length }}
{%- for message in messages -%}
    {%- if message.content is string -%}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' -}}
    {%- else -%}
        {%- for part in message.content -%}
            {%- if part.type == 'text' %}{{ part.text }}{% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endfor -%}
{% if messages[0].role == 'system' %}
    {{- messages[0].content }}
{% endif %}
{% for m in messages[1:] %}
<|{{ m.role }}|>
{{ m.content if m.content is string else (m.content | map(attribute='text') | join('')) }}<|end|>
{% endfor %}
{% import 'x' as y %}
{% include 'x' %}
{% extends 'x' %}
"""


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
