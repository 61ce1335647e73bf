#!/usr/bin/env python3
"""Distils what the tests hold OCSF events against from a checkout of github.com/ocsf/ocsf-schema (Apache-2.0).

    git clone https://github.com/ocsf/ocsf-schema && git -C ocsf-schema checkout 3dcb905d   # version 1.8.0
    ./distill.py ocsf-schema > schema.json

Per class and object: every attribute with its type, requirement and enum, and the constraints. Extends and profile
includes are resolved as the OCSF server does it. Objects that no event of ours has are left out.
"""
import json
import os
import sys

ROOT = sys.argv[1]
CLASSES = ["base_event", "process_activity", "file_activity", "kernel_activity", "kernel_extension_activity",
           "network_activity", "detection_finding"]
PROFILES = {"host", "security_control"}
OBJECTS = """metadata product feature device actor process user file network_endpoint network_connection_info network_traffic
kernel kernel_driver policy finding_info analytic related_event evidences""".split()


def load(path):
    with open(os.path.join(ROOT, path)) as file:
        return json.load(file)


DICTIONARY = load("dictionary.json")
FILES = {}
for folder in ("events", "objects"):
    for directory, _, names in os.walk(os.path.join(ROOT, folder)):
        for name in names:
            if name.endswith(".json"):
                path = os.path.relpath(os.path.join(directory, name), ROOT)
                FILES[(folder, load(path)["name"])] = path


def merge(base, more):
    for name, attribute in more.items():
        base[name] = {**base.get(name, {}), **{k: v for k, v in attribute.items() if k != "enum"}}
        if "enum" in attribute:
            base[name]["enum"] = {**base.get(name, {}).get("enum", {}), **attribute["enum"]}


def resolve(folder, name):
    """Attributes and constraints of a class or object, what it extends included."""
    source = load(FILES[(folder, name)])
    parent = source.get("extends")
    attributes, constraints = resolve(folder, parent) if parent else ({}, {})
    own = dict(source["attributes"])
    for include in own.pop("$include", []):
        profile = load(include)
        if profile["name"] in PROFILES:
            merge(attributes, profile["attributes"])
    # An attribute that a profile outside ours brings is there only if the class itself has it, too.
    merge(attributes, own)
    return attributes, source.get("constraints", constraints)


def distil(folder, name):
    attributes, constraints = resolve(folder, name)
    out = {}
    for key, attribute in sorted(attributes.items()):
        if attribute.get("profile") not in (None, *PROFILES):
            continue
        known = DICTIONARY["attributes"][key]
        if "@deprecated" in known or "@deprecated" in attribute:
            continue
        entry = {"type": attribute.get("type", known["type"])}
        if known.get("is_array"):
            entry["array"] = True
        if attribute.get("requirement", known.get("requirement")) == "required":
            entry["required"] = True
        enum = {**known.get("enum", {}), **attribute.get("enum", {})}
        # Of classes and categories the schema's server makes the lists, for each class its own.
        if enum and key not in ("class_uid", "category_uid"):
            entry["enum"] = {number: value["caption"] for number, value in enum.items()}
        out[key] = entry
    result = {"attributes": out}
    if constraints:
        result["constraints"] = constraints
    return result


def main():
    classes = {}
    categories = load("categories.json")["attributes"]
    for name in CLASSES:
        entry = distil("events", name)
        source = load(FILES[("events", name)])
        category, at = None, source
        while category is None:
            category = at.get("category")
            at = load(FILES[("events", at["extends"])]) if "extends" in at else at
        number = categories.get(category, {"uid": 0})["uid"]
        classes[str(number * 1000 + source.get("uid", 0))] = {
            "name": source["caption"], "category": number, **entry}
    schema = {
        "version": load("version.json")["version"],
        "classes": classes,
        "objects": {name: distil("objects", name) for name in OBJECTS},
    }
    json.dump(schema, sys.stdout, indent=0, sort_keys=True)
    print()


main()
