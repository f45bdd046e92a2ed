"""The shipped manifests: valid by Kubernetes's own schemas, and as careful as they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import tree_sitter_powershell
import yaml
from click import Command, Context, Group, Option
from tree_sitter import Language, Parser

from market_spine.cli import spine
from market_spine.cli.weekly import command as weekly_run

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "ops" / "deploy"
MANIFESTS = sorted(path for folder in ("kubernetes", "openshift") for path in (DEPLOY / folder).glob("*.yaml"))
VERSIONS = ("1.31", "1.37")  # podFailurePolicy is stable since 1.31

Document = dict[str, Any]


def documents() -> Iterator[tuple[str, Document]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            yield f"{path.parent.name}/{path.name} {document['kind']}", document


DOCUMENTS = dict(documents())
CRON_JOBS = {name: document for name, document in DOCUMENTS.items() if document["kind"] == "CronJob"}


def pod(document: Document) -> Document:
    spec: Document = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Document = spec["template"]["spec"]
    return found


PODS = {name: pod(document) for name, document in DOCUMENTS.items() if document["kind"] in ("CronJob", "Deployment")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_manifest_fits_kubernetes_own_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], version, strict=True)


def test_a_misspelt_field_would_not_fit() -> None:
    """The validator is awake."""
    document = yaml.safe_load((DEPLOY / "kubernetes" / "cronjob.yaml").read_text("utf-8"))
    document["spec"]["concurencyPolicy"] = document["spec"].pop("concurrencyPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_there_is_one_of_each() -> None:
    assert set(DOCUMENTS) == {
        "kubernetes/cronjob.yaml CronJob", "kubernetes/cronjob-postgresql.yaml CronJob", "kubernetes/worker.yaml Deployment",
        "kubernetes/secret.yaml Secret", "kubernetes/volume.yaml PersistentVolumeClaim",
        "kubernetes/cronjob-backup.yaml CronJob", "kubernetes/cronjob-backup.yaml PersistentVolumeClaim",
        "kubernetes/cronjob-enqueue.yaml CronJob", "kubernetes/api.yaml Deployment", "kubernetes/api.yaml Service",
        "openshift/cronjob.yaml ServiceAccount", "openshift/cronjob.yaml CronJob",
    }


@pytest.mark.parametrize("name", CRON_JOBS)
def test_a_run_is_alone_and_has_an_end(name: str) -> None:
    spec = CRON_JOBS[name]["spec"]
    job = spec["jobTemplate"]["spec"]
    schedule = "30 20 * * 1-6" if "backup" in name else "0 8 * * 5"
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (schedule, "America/New_York", "Forbid")
    assert spec["startingDeadlineSeconds"] >= 3600
    assert job["activeDeadlineSeconds"] == (600 if "enqueue" in name else 7200)
    assert pod(CRON_JOBS[name])["restartPolicy"] == "Never"  # podFailurePolicy wants it


@pytest.mark.parametrize("name", CRON_JOBS)
def test_what_happens_next_is_decided_by_our_exit_codes(name: str) -> None:
    rules = CRON_JOBS[name]["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    containers = {container["name"] for container in pod(CRON_JOBS[name])["containers"]}
    actions: dict[int, str] = {}
    for rule in rules:
        if codes := rule.get("onExitCodes"):
            assert codes["containerName"] in containers
            actions |= dict.fromkeys(codes["values"], rule["action"])
    assert actions == {1: "FailJob", 2: "FailJob", 75: "Count", 130: "Count", 137: "Count", 143: "Count"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_bounds_and_no_privileges(name: str) -> None:
    spec = PODS[name]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"cpu": "2000m", "memory": "2Gi"},
        }


@pytest.mark.parametrize("name", PODS)
def test_secrets_come_as_files_and_what_is_mounted_is_there(name: str) -> None:
    spec = PODS[name]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    (container,) = spec["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert [entry for entry in container["env"] if "valueFrom" in entry] == []
    assert volumes["settings"]["secret"]["secretName"] == "market-spine"
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
    of_sqlite = ["market-spine-data", *["market-spine-backups"] * ("backup" in name)]
    assert claims == ([] if any(part in name for part in ("postgresql", "worker", "enqueue", "api")) else of_sqlite)


@pytest.mark.parametrize("name", PODS)
def test_the_command_has_only_options_there_are(name: str) -> None:
    (container,) = PODS[name]["containers"]
    program, *arguments = container["command"]
    command: Command = weekly_run if program == "run_finra_weekly_schedule" else spine.command
    while isinstance(command, Group):
        member = command.get_command(Context(command), arguments.pop(0))
        assert member is not None
        command = member
    options = {option for param in command.params if isinstance(param, Option) for option in param.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_the_service_leads_to_the_api() -> None:
    service, api = DOCUMENTS["kubernetes/api.yaml Service"]["spec"], DOCUMENTS["kubernetes/api.yaml Deployment"]["spec"]
    assert service["selector"] == api["template"]["metadata"]["labels"]
    (container,) = api["template"]["spec"]["containers"]
    hosts = {container[probe]["httpGet"]["httpHeaders"][0]["value"] for probe in ("livenessProbe", "readinessProbe")}
    allowed = container["command"][container["command"].index("--allow-host") + 1]
    assert hosts == {allowed} == {f"{DOCUMENTS['kubernetes/api.yaml Service']['metadata']['name']}:8000"}


def test_on_openshift_nobody_asks_for_a_user() -> None:
    """The restricted SCC gives one of the project's own range and refuses any other."""
    text = (DEPLOY / "openshift" / "cronjob.yaml").read_text("utf-8")
    assert not re.search(r"runAsUser|runAsGroup|fsGroup|hostPath|privileged", text)
    spec = PODS["openshift/cronjob.yaml CronJob"]
    assert spec["serviceAccountName"] == DOCUMENTS["openshift/cronjob.yaml ServiceAccount"]["metadata"]["name"]
    assert spec["containers"][0]["image"].startswith("image-registry.openshift-image-registry.svc:5000/")


def test_the_image_is_slim_and_nobody_is_root_in_it() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    assert {line.split()[1] for line in lines if line.startswith("FROM ")} == {"python:3.12-slim"}
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    sources = [part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]]
    assert [source for source in sources if not (DEPLOY.parents[2] / source).exists()] == []


def test_the_users_of_image_and_manifests_are_one() -> None:
    users = {spec["securityContext"].get("runAsUser") for name, spec in PODS.items() if name.startswith("kubernetes/")}
    assert users == {10001}


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not here")
    for unit in (DEPLOY / "systemd").iterdir():
        text = (
            unit.read_text("utf-8")
            .replace("/opt/market-spine/.venv/bin/run_finra_weekly_schedule", "/bin/true")
            .replace("/opt/market-spine/.venv/bin/spine", "/bin/true")
        )
        (tmp_path / unit.name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    ran = subprocess.run([tool, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_systemd_and_cron_agree_on_friday_morning_in_new_york() -> None:
    timer = (DEPLOY / "systemd" / "market-spine.timer").read_text("utf-8")
    assert "OnCalendar=Fri 08:00:00 America/New_York\n" in timer
    crontab = (DEPLOY / "cron" / "market-spine.crontab").read_text("utf-8")
    assert "CRON_TZ=America/New_York\n" in crontab
    assert re.search(r"^0 8 \* \* 5 \S+/weekly_scheduler\.sh ", crontab, re.M)


def test_the_hourly_guard_of_the_crontab_lets_one_hour_a_week_through() -> None:
    """For a cron that knows no zones: run as it stands, with `date` told the hour."""
    crontab = (DEPLOY / "cron" / "market-spine.crontab").read_text("utf-8")
    (guard,) = re.findall(r"^# 0 \* \* \* \* (\[ .*? \]) &&", crontab, re.M)
    guard = guard.replace("\\%", "%").replace("date +", 'date -d "@$MOMENT" +')
    begin = 1772409600  # 2026-03-02 00:00 UTC, a Monday; the clocks of New York change on the 8th
    script = f'for h in $(seq 0 335); do MOMENT=$(({begin} + h * 3600)); if {guard}; then echo "$h"; fi; done'
    ran = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "TZ": "Asia/Tokyo"}
    )
    assert ran.stdout.split() == [str(4 * 24 + 13), str(11 * 24 + 12)]  # 8:00 in winter and in summer time


POWERSHELL = sorted([*(DEPLOY / "windows").glob("*.ps1"), *(DEPLOY.parents[2] / "scripts").glob("*.ps1")])


def faults_of(script: bytes) -> list[str]:
    """What a grammar of PowerShell cannot read."""
    todo, found = [Parser(Language(tree_sitter_powershell.language())).parse(script).root_node], []
    while todo:
        node = todo.pop()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point.row + 1}: {node.type}")
        todo += node.children
    return found


@pytest.mark.parametrize("path", POWERSHELL, ids=lambda path: path.name)
def test_each_powershell_script_can_be_read(path: Path) -> None:
    script = path.read_bytes()
    assert faults_of(script) == []
    assert faults_of(script + b"}\n")  # and it would be noticed
