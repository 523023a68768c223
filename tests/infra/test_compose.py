"""infra/Dockerfile and infra/compose.yaml pass their linters, and their images have fixed tags."""

import re

import yaml

from tests.infra.test_rules import RULES_FILE
from tests.infra.tools import DCLINT, INFRA, find_tool, run_tool

COMPOSE = INFRA / "compose.yaml"


def test_dockerfile_passes_hadolint() -> None:
    done = run_tool(find_tool("hadolint"), "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_compose_file_passes_dclint() -> None:
    program = DCLINT if DCLINT.exists() else find_tool("dclint")
    done = run_tool(program, "--max-warnings", "0", "--config", "npm/dclint.json", "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_have_fixed_tags() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        assert re.fullmatch(r"[\w./-]+:(v?\d+\.\d+\.\d+|local)", service["image"]), name


def test_metrics_profile_is_not_started_by_default() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    profiled = {name for name, service in services.items() if service.get("profiles") == ["metrics"]}
    assert profiled == {"prometheus", "grafana", "redis-exporter", "mongodb-exporter"}
    scrapes = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    hosts = {target.partition(":")[0] for job in scrapes for one in job["static_configs"] for target in one["targets"]}
    assert hosts <= set(services)
    assert {"hub-serve", "hub-work"} <= {job["job_name"] for job in scrapes}


def test_prometheus_configuration_is_valid() -> None:
    done = run_tool(find_tool("promtool"), "check", "config", "prometheus.yml", cwd=RULES_FILE.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mounted_files_exist() -> None:
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (INFRA / volume.partition(":")[0]).exists(), volume
