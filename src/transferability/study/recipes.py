"""Recipes: what `recipes` of the params says of each, checked, and in the form that jobs get."""

from transferability.data.patching import Patching
from transferability.errors import InputError
from transferability.networks.notation import SCORES, TREATMENTS, Network
from transferability.networks.recipes import Recipe, check_recipe, check_stage_names, recipe_of, stages_learning
from transferability.networks.stages import AlexNet, architecture_of
from transferability.study.architectures import stages_of
from transferability.study.sections import schedule_of

SCHEDULED = ("steps", "optimizer", "weight_decay", "warmup")
"""What a recipe says of the schedule."""
MATCHED = "matched"
"""As many steps as base network and fine-tuning take together."""
RESERVED = (SCORES,)


def is_recipe(params: dict, option: str) -> bool:
    """Whether a network's option is a recipe, by which it is trained; what is none is a probe, which trains nothing."""
    return option in params.get("recipes", {})


def options_in_words(params: dict) -> str:
    """The names of all probes and recipes, for a sentence."""
    return ", ".join([*params.get("probes", {}), *params.get("recipes", {})]) or "none"


def is_trained(params: dict, network: Network) -> bool:
    """Whether a network is trained: it is no probe."""
    return not network.option or is_recipe(params, network.option)


def recipe_section(params: dict, option: str) -> dict:
    """A recipe without its schedule: the keys of `networks.recipes.Recipe`; nothing for a network without one."""
    recipe = params.get("recipes", {}).get(option, {})
    section = {key: value for key, value in recipe.items() if key not in (*SCHEDULED, "learning_rate")}
    if isinstance(recipe.get("learning_rate"), list):
        section["learning_rates"] = recipe["learning_rate"]
    return section


def network_schedule(params: dict, split: str, network: Network) -> dict:
    """The schedule by which a network is trained."""
    return recipe_schedule(params, split, "base" if network.source is None else "transferred", network.option)


def recipe_schedule(params: dict, split: str, kind: str, option: str) -> dict:
    """The schedule of a split's base or transferred networks, and what their recipe, if any, says of it."""
    schedule, recipe = schedule_of(params, split, kind), params.get("recipes", {}).get(option, {})
    changed = {key: recipe[key] for key in SCHEDULED if key in recipe}
    rate = recipe.get("learning_rate")
    if rate is not None:
        # Of several rates each replaces it in turn.
        changed["learning_rate"] = rate[0] if isinstance(rate, list) else rate
    if changed.get("steps") == MATCHED:
        changed["steps"] = matched_steps(params, split)
    return schedule | changed


def matched_steps(params: dict, split: str) -> int:
    """The steps in which a base network sees as many images as one that is fine-tuned, and its source, see together."""
    base, transferred = (schedule_of(params, split, kind) for kind in ("base", "transferred"))
    images = sum(schedule["steps"] * schedule["batch_size"] for schedule in (base, transferred))
    return -(-images // base["batch_size"])


def trials_of(params: dict, network: Network) -> int:
    """How often a network is trained, once for each learning rate that its recipe tries."""
    rate = params.get("recipes", {}).get(network.option, {}).get("learning_rate")
    return len(rate) if isinstance(rate, list) else 1


def network_recipe(params: dict, network: Network) -> Recipe:
    """The recipe of a network."""
    return recipe_of(recipe_section(params, network.option))


def network_patches(params: dict, network: Network) -> int:
    """How many patches a network reads of an image; one that sees images whole reads one."""
    patches = network_recipe(params, network).patches
    return 1 if patches is None else Patching.of(patches).count


def patched_recipes(params: dict) -> list[str]:
    """The names of the recipes by which networks learn patches."""
    return [name for name, recipe in params.get("recipes", {}).items() if "patches" in recipe]


def check_recipe_names(params: dict) -> None:
    """Refuse names of recipes that mean something else; an InputError names the key."""
    for name in params.get("recipes", {}):
        if name in params.get("probes", {}):
            raise InputError(f"params: recipes.{name} is the name of a probe too; rename one of the two")
        if name in (*TREATMENTS, *RESERVED):
            raise InputError(f"params: recipes.{name} is the name of something else; choose another")


def check_steps(params: dict, split: str, network: Network) -> None:
    """Refuse a recipe by which a network would have fewer steps than its warm-up or validations."""
    if network.source and params["recipes"][network.option].get("steps") == MATCHED:
        raise InputError(f"{network.name}: steps is {MATCHED}, which is for base networks; give it a number")
    schedule = network_schedule(params, split, network)
    for key in ("warmup", "validations"):
        if schedule[key] > schedule["steps"]:
            raise InputError(f"{network.name}: {schedule['steps']} steps are fewer than the {schedule[key]} of {key}")


def check_trained(params: dict, architecture: str, split: str, network: Network) -> None:
    """Refuse a network to which its recipe cannot be applied; an InputError names the recipe."""
    if not is_recipe(params, network.option):
        return
    recipe = network_recipe(params, network)
    stages = stages_of(params, architecture, params["study"]["dataset"][0], 2)
    try:
        check_steps(params, split, network)
        check_recipe(network, recipe)
        check_batch_norm(architecture_of(params["architectures"][architecture]), recipe)
        if stages:
            names = tuple(stage.name for stage in stages)
            check_stage_names(recipe, names)
            stages_learning(network, recipe, names)
    except InputError as error:
        raise InputError(f"params: recipes.{network.option}: {error}") from None


def check_batch_norm(architecture: object, recipe: Recipe) -> None:
    """Refuse what a recipe says of batch norm where a network of the AlexNet family has none."""
    if recipe.batch_norm and isinstance(architecture, AlexNet) and architecture.norm != "batch":
        raise InputError(f"batch_norm is {recipe.batch_norm}, but the architecture has no batch norm; leave it out")
