"""Run: the record beside a trained network."""

from typing import TypedDict

from transferability.forms.fields import Count, Many, Seconds, Sha256, Text


class NetworkIdentity(TypedDict):
    """What a network is; `networks.notation.Network` has the words."""

    name: Text
    treatment: Text
    source: str | None
    n: Count
    target: Text


class Job(TypedDict):
    """The job that trained a network: how many networks it trained, and its seconds."""

    networks: Many
    seconds: Seconds
    training_seconds: Seconds


class Run(TypedDict):
    """models/.../{network}/run.json: what a network was made from, with what, and by which job."""

    network: NetworkIdentity
    model_sha256: Sha256
    parameters: dict
    inputs: dict[str, str]
    code: Text
    versions: dict[str, str | None]
    device: Text
    threads: Many
    git: str | None
    images_seen: Count
    job: Job
