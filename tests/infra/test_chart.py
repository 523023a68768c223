"""The Helm chart: rendered by two versions of Helm, and validated against the schemas of Kubernetes and of the operators."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from hub import __version__
from hub.settings import Settings
from tests.infra.tools import INFRA, NPM, Done, find_tool, run_tool

CHART = INFRA / "helm" / "notification-hub"
VALUE_SETS = sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*.yaml"))
HELMS = ("helm3", "helm4")
KUBERNETES_VERSIONS = [f"1.{minor}" for minor in range(31, 38)]
CUSTOM_GROUPS = ("keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io")
WORKLOADS = ("serve", "work", "intake")
Document = dict[str, Any]


@cache
def render(helm: str, values: str) -> str:
    """Return the output of `helm template`, as it is."""
    file = CHART / "ci" / f"{values}-values.yaml"
    done = run_tool(find_tool(helm), "template", "hub", CHART, "--namespace", "messaging", "--values", file)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(values: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(render("helm4", values)) if document]


def of_kind(found: list[Document], kind: str) -> dict[str, Document]:
    """Return the documents of a kind by the name of their component, or by their own name."""
    labelled = [document for document in found if document["kind"] == kind]
    component = "app.kubernetes.io/component"
    return {one["metadata"]["labels"].get(component, one["metadata"]["name"]): one for one in labelled}


def test_five_value_sets_use_every_part_of_the_chart() -> None:
    assert len(VALUE_SETS) >= 5
    kinds = {document["kind"] for values in VALUE_SETS for document in documents(values)}
    assert kinds == {
        *("ConfigMap", "CronJob", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy"),
        *("PodDisruptionBudget", "PodMonitor", "PrometheusRule", "ScaledObject", "Service", "ServiceAccount"),
    }


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", VALUE_SETS)
def test_chart_passes_lint(helm: str, values: str) -> None:
    done = run_tool(find_tool(helm), "lint", CHART, "--strict", "--values", CHART / "ci" / f"{values}-values.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUE_SETS)
def test_both_versions_of_helm_render_the_same(values: str) -> None:
    rendered = {json.dumps(list(yaml.safe_load_all(render(helm, values))), sort_keys=True) for helm in HELMS}
    assert len(rendered) == 1


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_resources_are_valid_for_kubernetes(version: str, tmp_path: Path) -> None:
    validate = find_tool("kubernetes-validate")
    built_in = [
        document
        for values in VALUE_SETS
        for document in documents(values)
        if document["apiVersion"].partition("/")[0] not in CUSTOM_GROUPS
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(built_in))
    done = run_tool(validate, "--strict", "--kubernetes-version", version, tmp_path / "all.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    built_in[0]["unknownField"] = 1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(built_in[0]))
    assert run_tool(validate, "--strict", "--kubernetes-version", version, tmp_path / "wrong.yaml").returncode != 0


def validate_custom(*resources: Document) -> Done:
    """Check resources of operators and of the Gateway API against their definitions."""
    if not (NPM / "node_modules" / "typescript").exists():
        pytest.skip("the packages of infra/npm are not installed: run make infra")
    return run_tool(find_tool("node"), "custom-resources.js", cwd=NPM, input=json.dumps(resources))


def test_custom_resources_are_valid() -> None:
    kinds = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}
    found = [document for values in VALUE_SETS for document in documents(values) if document["kind"] in kinds]
    assert {document["kind"] for document in found} == kinds
    done = validate_custom(*found)
    assert done.returncode == 0, done.stdout + done.stderr
    scaled = next(document for document in found if document["kind"] == "ScaledObject")
    scaled["spec"]["maxReplicas"] = scaled["spec"].pop("maxReplicaCount")
    assert '"maxReplicas"' in validate_custom(scaled).stdout  # an unknown field


def test_deployments_omit_replicas_if_they_are_scaled() -> None:
    for values in VALUE_SETS:
        found = documents(values)
        scaled = {*of_kind(found, "HorizontalPodAutoscaler"), *of_kind(found, "ScaledObject")}
        for component, deployment in of_kind(found, "Deployment").items():
            assert ("replicas" in deployment["spec"]) == (component not in scaled), (values, component)
    assert "replicas" not in of_kind(documents("hpa"), "Deployment")["serve"]["spec"]
    assert "replicas" not in of_kind(documents("keda"), "Deployment")["work"]["spec"]


def test_deployments_never_have_fewer_processes_during_an_update() -> None:
    for values in VALUE_SETS:
        found = documents(values)
        deployments = of_kind(found, "Deployment")
        assert deployments.keys() == of_kind(found, "PodDisruptionBudget").keys()
        for component, deployment in deployments.items():
            assert component in WORKLOADS
            spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
            assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
            assert len(pod["topologySpreadConstraints"]) == 2
            assert of_kind(found, "PodDisruptionBudget")[component]["spec"]["maxUnavailable"] == 1
            assert pod["containers"][0]["args"] == [component]
            assert pod["containers"][0]["image"].endswith(f":{__version__}")


def test_pods_have_time_to_stop() -> None:
    pod = of_kind(documents("production"), "Deployment")["work"]["spec"]["template"]["spec"]
    timeout_s = int(
        of_kind(documents("production"), "ConfigMap")["hub-notification-hub"]["data"]["HUB_SHUTDOWN_TIMEOUT_S"]
    )
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= timeout_s + Settings.model_fields["drain_s"].default + sleep_s + 5


def test_pods_run_without_privileges() -> None:
    for values in VALUE_SETS:
        for deployment in of_kind(documents(values), "Deployment").values():
            pod = deployment["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            for container in (*pod["initContainers"], *pod["containers"]):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }


def test_pods_create_indexes_before_they_start_with_the_settings_of_their_process() -> None:
    for values in VALUE_SETS:
        for deployment in of_kind(documents(values), "Deployment").values():
            pod = deployment["spec"]["template"]["spec"]
            [migrate], [process] = pod["initContainers"], pod["containers"]
            assert (migrate["args"], migrate["image"]) == (["migrate"], process["image"])
            assert migrate["envFrom"] == process["envFrom"]
            assert all(variable in process["env"] for variable in migrate.get("env", []))


def test_chart_takes_secrets_only_from_an_existing_secret() -> None:
    for values in VALUE_SETS:
        found = documents(values)
        assert not of_kind(found, "Secret")
        for deployment in of_kind(found, "Deployment").values():
            sources = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
            assert {"secretRef": {"name": "hub"}} in sources


def test_backup_is_off_by_default_and_runs_like_the_other_processes() -> None:
    assert {values for values in VALUE_SETS if of_kind(documents(values), "CronJob")} == {"aws"}
    job = of_kind(documents("aws"), "CronJob")["backup"]["spec"]
    assert (job["schedule"], job["concurrencyPolicy"]) == ("30 3 * * *", "Forbid")
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    worker = of_kind(documents("aws"), "Deployment")["work"]["spec"]["template"]["spec"]
    [container], [migrate] = pod["containers"], worker["initContainers"]
    assert container["args"] == ["backup", "s3://backups.example.org/hub/{date}"]
    for name in ("image", "envFrom", "env", "securityContext"):
        assert container[name] == migrate[name], name
    for name in ("securityContext", "serviceAccountName", "imagePullSecrets", "automountServiceAccountToken"):
        assert pod[name] == worker[name], name


def fails(*options: str) -> str:
    """Return the error of `helm template`."""
    done = run_tool(find_tool("helm4"), "template", "hub", CHART, *options)
    assert done.returncode != 0, options
    return done.stderr


def test_wrong_values_are_rejected() -> None:
    assert "existingSecret" in fails()
    secret = ("--set", "existingSecret=hub")
    assert "serve" in fails(*secret, "--set", "serve.replica=3")
    assert "replicas" in fails(*secret, "--set", "work.replicas=0")
    assert "tag" in fails(*secret, "--set", "image.tag=latest")
    assert "host" in fails(*secret, "--set", "ingress.enabled=true")
    for target in ("", "s3://backups.example.org/hub"):  # the second day would have the same target
        assert "target" in fails(*secret, "--set", "backup.enabled=true", "--set", f"backup.target={target}")
    assert "prometheusUrl must be set" in fails(*secret, "--set", "work.autoscaling.type=keda")


def test_secret_settings_are_rejected_as_plain_settings() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    rejected = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    secret = {
        f"HUB_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if SecretStr.__name__ in repr(field.annotation)
    }
    assert len(secret) > 3
    assert secret | {"HUB_MONGO_URL", "HUB_REDIS_URL", "HUB_SMTP_URL"} <= rejected
    assert {name.removeprefix("HUB_").lower() for name in rejected} <= set(Settings.model_fields)
    assert "HUB_JWT_SECRET" in fails("--set", "existingSecret=hub", "--set", "settings.HUB_JWT_SECRET=x")


def test_settings_of_the_value_sets_exist() -> None:
    for values in VALUE_SETS:
        for config in of_kind(documents(values), "ConfigMap").values():
            names = {name.removeprefix("HUB_").lower() for name in config["data"] or {}}
            assert names <= set(Settings.model_fields), values


def test_jobs_of_the_pod_monitor_have_the_names_that_the_alerts_use() -> None:
    endpoint = of_kind(documents("production"), "PodMonitor")["hub-notification-hub"]["spec"]["podMetricsEndpoints"][0]
    assert endpoint["relabelings"][0]["replacement"] == "hub-$1"
    assert endpoint["authorization"]["credentials"] == {"name": "hub", "key": "HUB_METRICS_TOKEN"}


def test_alerts_have_the_runbook_url_of_the_values() -> None:
    groups = of_kind(documents("production"), "PrometheusRule")["hub-notification-hub"]["spec"]["groups"]
    urls = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(urls) > 20
    assert all(url.startswith("https://docs.acme.example/hub/operations/runbooks/") for url in urls)


def test_network_policies_allow_only_the_given_peers() -> None:
    policies = of_kind(documents("production"), "NetworkPolicy")
    assert len(policies["serve"]["spec"]["ingress"][0]["from"]) == 2
    assert len(policies["work"]["spec"]["ingress"][0]["from"]) == 1
    ports = {port["port"] for port in policies["work"]["spec"]["egress"][0]["ports"]}
    assert ports == {53, 27017, 6379, 80, 443, 465, 587, 4318}
    assert not of_kind(documents("hpa"), "NetworkPolicy")
    backup = of_kind(documents("aws"), "NetworkPolicy")["backup"]["spec"]
    assert backup["ingress"] == []
    assert {port["port"] for port in backup["egress"][0]["ports"]} == ports


def test_autoscaler_without_an_answer_of_prometheus_keeps_the_processes() -> None:
    for scaled in of_kind(documents("keda"), "ScaledObject").values():
        assert scaled["spec"]["fallback"]["replicas"] == scaled["spec"]["minReplicaCount"] == 2
        queries = [trigger for trigger in scaled["spec"]["triggers"] if trigger["type"] == "prometheus"]
        assert queries
        for trigger in queries:
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            assert 'namespace="messaging"' in trigger["metadata"]["query"]
            assert "vector(0)" not in trigger["metadata"]["query"]
