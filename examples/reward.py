#!/usr/bin/env python3
"""Reward functions of TRL and verl as a program of the rewarder: reward.py FILE.py|MODULE FUNCTION [KEY=VALUE...]

    scorers: [{kind: program, command: [python3, ./reward.py, ./mine.py, accuracy_reward]}]

TRL: f(prompts, completions, **columns) returns a number, or None, for each completion. verl: compute_score(data_source, solution_str,
ground_truth, extra_info) returns a number, or a dict with "score". Both may be async. With KEY=VALUE, in JSON, FUNCTION makes the function.
"""
import asyncio, importlib, inspect, json, os, sys, traceback

out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # lines of scores alone go to standard output: functions print to standard error
where, name, settings = sys.argv[1], sys.argv[2], {key: json.loads(value) for key, value in (word.split("=", 1) for word in sys.argv[3:])}
sys.path.insert(0, os.path.dirname(os.path.abspath(where)))
function = getattr(importlib.import_module(os.path.basename(where)[:-3] if where.endswith(".py") else where), name)
function, run = function(**settings) if settings else function, asyncio.new_event_loop().run_until_complete
logs = {"trainer_state": None, "log_extra": lambda *_: None, "log_metric": lambda *_: None}  # TRL hands them to every function

async def score(group):
    completions, columns, takes = group["completions"], group["columns"], inspect.signature(function).parameters
    if "solution_str" in takes:
        given = {"data_source": columns.get("data_source"), "extra_info": columns.get("extra_info"),
                 "ground_truth": columns.get("reward_model", columns)["ground_truth"]}
        given = {key: value for key, value in given.items() if key in takes or "kwargs" in takes}
        scores = [function(solution_str=one if isinstance(one, str) else one[-1]["content"], **given) for one in completions]
        scores = [await one if inspect.isawaitable(one) else one for one in scores]
    else:
        rows = {key: [value] * len(completions) for key, value in {**columns, "prompts": group["prompt"]}.items()}
        scores = function(completions=completions, completion_ids=group["completion_ids"], **logs, **rows)
        scores = await scores if inspect.isawaitable(scores) else scores
    scores = [one["score"] if isinstance(one, dict) else one for one in scores]
    return [None if one is None else float(one) for one in scores]
for line in sys.stdin:
    group = json.loads(line)
    try:
        answer = {"id": group["id"], "scores": run(score(group))}
    except Exception as error:
        traceback.print_exc()
        answer = {"id": group["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=out, flush=True)
