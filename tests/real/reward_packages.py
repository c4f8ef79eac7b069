"""Reward functions out of TRL's and verl's packages, without what those import beside them (PyTorch, Ray): the packages' own modules
of rewards, below packages that have a path and nothing else. For compare_rewards."""
import importlib
import importlib.util
import sys
import types

for name in ("trl", "verl", "verl.utils"):
    package = types.ModuleType(name)
    if "." in name:
        package.__path__ = [f"{path}/utils" for path in sys.modules["verl"].__path__]
    else:
        package.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
    sys.modules[name] = package

accuracy = importlib.import_module("trl.rewards.accuracy_rewards")
accuracy_reward, reasoning_accuracy_reward = accuracy.accuracy_reward, accuracy.reasoning_accuracy_reward
get_cosine_scaled_reward = accuracy.get_cosine_scaled_reward
think_format_reward = importlib.import_module("trl.rewards.format_rewards").think_format_reward
others = importlib.import_module("trl.rewards.other_rewards")
get_soft_overlong_punishment = others.get_soft_overlong_punishment
get_repetition_penalty_reward = others.get_repetition_penalty_reward
default_compute_score = importlib.import_module("verl.utils.reward_score").default_compute_score
gsm8k = importlib.import_module("verl.utils.reward_score.gsm8k").compute_score
